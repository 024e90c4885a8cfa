//! Ban masks that people on IRC set, as they fit someone who comes in by XMPP.

use sammen_core::address::Address;
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
    let domain = who.domain().unwrap_or_default();
    let name = who.name();
    let known = [
        format!("{}!{name}@{domain}", nick.to_lowercase()),
        format!("{name}!{name}@{domain}"),
    ];
    known.iter().any(|k| glob(&text, k))
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
