//! Ban masks that people on IRC set, as they fit someone who comes in by XMPP; bans of a whole domain are such masks.

use sammen_core::address::{Address, AddressParts};
use sammen_core::conversation::Mask;

/// Whether a mask (`nick!user@host` with `*` and `?`, or `$a:account`) fits a person under a nick.
pub fn fits(mask: &Mask, who: &Address, nick: &str) -> bool {
    let text = mask.mask.to_lowercase();
    if let Some(account) = text
        .strip_prefix("$a:")
        .or_else(|| text.strip_prefix("~a:"))
    {
        return glob(account, who.name());
    }
    let domain = host(who);
    let name = match who.parts() {
        AddressParts::Remote { id, .. } => id.split('@').next().unwrap_or_default(),
        _ => who.name(),
    };
    let known = [
        format!("{}!{name}@{domain}", nick.to_lowercase()),
        format!("{name}!{name}@{domain}"),
    ];
    known.iter().any(|k| glob(&text, k))
}

/// The domain that an address belongs to; empty where its network has none.
fn host(who: &Address) -> &str {
    match who.parts() {
        AddressParts::Remote { id, .. } => id.rsplit_once('@').map_or("", |(_, host)| host),
        _ => who.domain().unwrap_or_default(),
    }
}

/// Whether an address belongs to a domain.
pub fn is_of(who: &Address, domain: &str) -> bool {
    host(who) == domain
}

/// The ban mask of a whole domain.
pub fn domain_mask(domain: &str) -> String {
    format!("*!*@{domain}")
}

/// The domain that a ban mask is about, where it is about a whole one.
pub fn domain_of(mask: &Mask) -> Option<&str> {
    let domain = mask.mask.strip_prefix("*!*@")?;
    let whole = mask.list == 'b' && !domain.is_empty() && !domain.contains(['*', '?']);
    whole.then_some(domain)
}

/// `*` is any text, `?` any character. Linear in practice: one place to go back to.
fn glob(pattern: &str, text: &str) -> bool {
    let (p, t): (Vec<char>, Vec<char>) = (pattern.chars().collect(), text.chars().collect());
    let (mut i, mut j) = (0, 0);
    let mut back: Option<(usize, usize)> = None;
    while let Some(c) = t.get(j) {
        match p.get(i) {
            Some('*') => {
                back = Some((i + 1, j));
                i += 1;
            }
            Some(w) if w == c || *w == '?' => {
                i += 1;
                j += 1;
            }
            _ => {
                let Some((after, from)) = back else {
                    return false;
                };
                back = Some((after, from + 1));
                i = after;
                j = from + 1;
            }
        }
    }
    p.iter().skip(i).all(|c| *c == '*')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn masks_fit_people() {
        for (pattern, text, fits) in [
            ("*!*@example.org", "bob!bob@example.org", true),
            ("b?b!*@*", "bob!x@y", true),
            ("*!*@*.net", "bob!bob@example.org", false),
            ("", "", true),
            ("a*b*c", "aXXbYYbZZc", true),
            ("a*b*c", "aXXbYYbZZ", false),
        ] {
            assert_eq!(glob(pattern, text), fits, "{pattern} {text}");
        }
    }
}
