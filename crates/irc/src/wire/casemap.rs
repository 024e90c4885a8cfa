//! Names and masks: ASCII casemapping, `*` and `?`, `nick!user@host`, bans by account (`$a:`).

use std::borrow::Cow;

/// Casemapping `ascii` (ISUPPORT CASEMAPPING): A–Z are a–z, everything else is itself.
pub fn fold(name: &str) -> Cow<'_, str> {
    if name.bytes().any(|b| b.is_ascii_uppercase()) {
        Cow::Owned(name.to_ascii_lowercase())
    } else {
        Cow::Borrowed(name)
    }
}

/// True if both are the same name.
pub fn same(a: &str, b: &str) -> bool {
    a.eq_ignore_ascii_case(b)
}

/// True if `name` can be a channel: `#`, then at least one character; no space, comma, control
/// character, and no `*` or `?` (which LIST and bans read as wildcards); at most `max` bytes.
pub fn is_channel(name: &str, max: usize) -> bool {
    name.len() <= max
        && name.strip_prefix('#').is_some_and(|rest| {
            !rest.is_empty()
                && !rest
                    .chars()
                    .any(|c| c.is_control() || matches!(c, ' ' | ',' | '*' | '?'))
        })
}

/// A pattern of `*` (any characters, also none) and `?` (one character), folded.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Mask(String);

impl Mask {
    /// Folds the pattern and joins repeated `*`.
    pub fn new(pattern: &str) -> Self {
        let mut out = String::with_capacity(pattern.len());
        for c in pattern.chars() {
            if c != '*' || !out.ends_with('*') {
                out.push(c.to_ascii_lowercase());
            }
        }
        Self(out)
    }

    /// The folded pattern.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// True if `text` matches in whole. At most pattern × text steps, whatever the pattern.
    pub fn matches(&self, text: &str) -> bool {
        // On a mismatch only the latest `*` needs to take one character more: what earlier ones
        // took can stay. So there is one place to go back to, not one per `*`.
        let mut pattern = self.0.chars();
        let mut rest = text.chars();
        let mut retry: Option<(std::str::Chars<'_>, std::str::Chars<'_>)> = None;
        loop {
            let before = rest.clone();
            let step = match pattern.next() {
                Some('*') => {
                    retry = Some((pattern.clone(), before.clone()));
                    rest = before;
                    continue;
                }
                Some('?') => rest.next().is_some(),
                Some(want) => rest.next().is_some_and(|c| c.to_ascii_lowercase() == want),
                None if before.as_str().is_empty() => return true,
                None => false,
            };
            if step {
                continue;
            }
            let Some((after_star, from)) = &mut retry else {
                return false;
            };
            if from.next().is_none() {
                return false;
            }
            pattern = after_star.clone();
            rest = from.clone();
        }
    }
}

/// Who a ban is tested against.
#[derive(Debug, Clone, Copy)]
pub struct Who<'a> {
    /// The nick.
    pub nick: &'a str,
    /// The user part.
    pub user: &'a str,
    /// The host part.
    pub host: &'a str,
    /// The account, if signed in.
    pub account: Option<&'a str>,
}

/// An entry of a ban, exception or invite-exception list.
///
/// ISUPPORT: `EXTBAN=$,a ACCOUNTEXTBAN=a` (account-extban).
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Ban {
    /// `nick!user@host` with wildcards.
    Host {
        /// The nick's pattern.
        nick: Mask,
        /// The user's pattern.
        user: Mask,
        /// The host's pattern.
        host: Mask,
    },
    /// `$a:pattern`: who is signed in to such an account; `$~a:pattern` everybody else.
    Account {
        /// The account's pattern.
        account: Mask,
        /// Written with `~`.
        negated: bool,
    },
}

/// Why a mask is refused (696 ERR_INVALIDMODEPARAM).
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BanError {
    /// Empty, with spaces or control characters, or starting with `:`.
    #[error("malformed mask")]
    Malformed,
    /// Over [`Ban::MAX`] bytes.
    #[error("mask is too long")]
    TooLong,
    /// A `$` type that this server does not have.
    #[error("unknown extended ban")]
    UnknownExtban,
}

impl Ban {
    /// Bytes a mask can have.
    pub const MAX: usize = 300;
    /// The value of ISUPPORT EXTBAN.
    pub const EXTBAN: &str = "$,a";
    /// The value of ISUPPORT ACCOUNTEXTBAN.
    pub const ACCOUNTEXTBAN: &str = "a";

    /// Reads a mask, completing it: `bob` is `bob!*@*`, `a@b` is `*!a@b`, `a!b` is `a!b@*`, a word
    /// with a dot is a host. `$a` alone means anyone signed in, `$~a` anyone not signed in.
    pub fn parse(raw: &str) -> Result<Self, BanError> {
        if raw.is_empty() || raw.starts_with(':') || raw.chars().any(|c| c == ' ' || c.is_control())
        {
            return Err(BanError::Malformed);
        }
        if raw.len() > Self::MAX {
            return Err(BanError::TooLong);
        }
        if let Some(ext) = raw.strip_prefix('$') {
            let (ext, negated) = ext
                .strip_prefix('~')
                .map_or((ext, false), |ext| (ext, true));
            let (kind, arg) = ext.split_once(':').unwrap_or((ext, "*"));
            return match kind {
                "a" | "A" if !arg.is_empty() => Ok(Self::Account {
                    account: Mask::new(arg),
                    negated,
                }),
                "a" | "A" => Err(BanError::Malformed),
                _ => Err(BanError::UnknownExtban),
            };
        }
        let (left, host) = raw
            .rsplit_once('@')
            .map_or((raw, None), |(l, h)| (l, Some(h)));
        let (nick, user, host) = match (left.split_once('!'), host) {
            (Some((nick, user)), host) => (nick, user, host.unwrap_or("*")),
            (None, Some(host)) => ("*", left, host),
            (None, None) if left.contains('.') || left.contains(':') => ("*", "*", left),
            (None, None) => (left, "*", "*"),
        };
        let mask = |part: &str| Mask::new(if part.is_empty() { "*" } else { part });
        Ok(Self::Host {
            nick: mask(nick),
            user: mask(user),
            host: mask(host),
        })
    }

    /// True if the entry means `who`.
    pub fn matches(&self, who: &Who<'_>) -> bool {
        match self {
            Self::Host { nick, user, host } => {
                nick.matches(who.nick) && user.matches(who.user) && host.matches(who.host)
            }
            Self::Account { account, negated } => {
                who.account.is_some_and(|a| account.matches(a)) != *negated
            }
        }
    }
}

impl std::fmt::Display for Ban {
    /// The completed form, as lists show it.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Host { nick, user, host } => write!(f, "{}!{}@{}", nick.0, user.0, host.0),
            Self::Account { account, negated } => {
                let not = if *negated { "~" } else { "" };
                if account.0 == "*" {
                    write!(f, "${not}a")
                } else {
                    write!(f, "${not}a:{}", account.0)
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folding_is_ascii_only() {
        assert_eq!(fold("#Straße[ÄÖ]"), "#straße[ÄÖ]");
        assert!(same("Alice", "aLICE") && !same("ä", "Ä") && !same("[", "{"));
    }

    #[test]
    fn channel_names() {
        for good in ["#town", "#Straße", "#🌻", "##"] {
            assert!(is_channel(good, 64), "{good}");
        }
        for bad in ["", "#", "town", "#a b", "#a,b", "#a\u{7}", "#a*", "&x"] {
            assert!(!is_channel(bad, 64), "{bad}");
        }
        assert!(!is_channel(&format!("#{}", "a".repeat(64)), 64));
    }

    #[test]
    fn masks() {
        for (mask, text, want) in [
            ("*", "", true),
            ("?", "", false),
            ("?", "é", true),
            ("a*b*c", "axxbyyc", true),
            ("a*b*c", "axxbyy", false),
            ("*abc", "ababc", true),
            ("*a?c*", "xxabcxx", true),
            ("BOB", "bob", true),
            ("bob", "bobb", false),
            ("b*b", "b", false),
            ("", "", true),
            ("", "a", false),
            ("***", "abc", true),
        ] {
            assert_eq!(Mask::new(mask).matches(text), want, "{mask} {text}");
        }
    }

    #[test]
    fn a_hostile_mask_costs_no_more_than_its_size() {
        // Exponential matchers do not come back from this one.
        let mask = Mask::new(&"*a".repeat(150));
        assert!(!mask.matches(&("a".repeat(149) + &"b".repeat(300))));
    }

    #[test]
    fn bans_are_completed() {
        for (raw, full) in [
            ("Bob", "bob!*@*"),
            ("*!*@host", "*!*@host"),
            ("u@h", "*!u@h"),
            ("n!u", "n!u@*"),
            ("evil.example", "*!*@evil.example"),
            ("2001:db8::1", "*!*@2001:db8::1"),
            ("@h", "*!*@h"),
            ("$a:Bob", "$a:bob"),
            ("$a", "$a"),
            ("$~a", "$~a"),
            ("$~a:b*", "$~a:b*"),
        ] {
            let ban = Ban::parse(raw).unwrap();
            assert_eq!(ban.to_string(), full, "{raw}");
            assert_eq!(Ban::parse(full).unwrap(), ban);
        }
        for (raw, error) in [
            ("", BanError::Malformed),
            ("a b", BanError::Malformed),
            (":a", BanError::Malformed),
            ("$a:", BanError::Malformed),
            ("$x:y", BanError::UnknownExtban),
            (&"x".repeat(301), BanError::TooLong),
        ] {
            assert_eq!(Ban::parse(raw), Err(error));
        }
    }

    #[test]
    fn bans_match_people() {
        let bob = Who {
            nick: "Bob",
            user: "bob",
            host: "example.org",
            account: Some("bob"),
        };
        let guest = Who {
            nick: "guest-1",
            user: "guest",
            host: "10.0.0.1",
            account: None,
        };
        for (ban, is_bob, is_guest) in [
            ("bob", true, false),
            ("*@10.*", false, true),
            ("$a:bob", true, false),
            ("$a", true, false),
            ("$~a", false, true),
            ("$~a:bob", false, true),
        ] {
            let ban = Ban::parse(ban).unwrap();
            assert_eq!(
                (ban.matches(&bob), ban.matches(&guest)),
                (is_bob, is_guest),
                "{ban}"
            );
        }
    }
}
