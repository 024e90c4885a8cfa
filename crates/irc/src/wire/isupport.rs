//! 005 RPL_ISUPPORT: tokens in lines of at most 13, within 512 bytes, values escaped.

use super::line::Line;
use super::numeric::Numeric;

/// Tokens on one line: 15 parameters less nick and text (modern.ircdocs.horse, RPL_ISUPPORT).
const PER_LINE: usize = 13;

/// What the server tells about itself, in order.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Isupport {
    tokens: Vec<(String, Option<String>)>,
}

impl Isupport {
    /// Nothing yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets `KEY=value`, in place of an earlier value.
    pub fn set(&mut self, key: &str, value: impl std::fmt::Display) -> &mut Self {
        self.put(key, Some(value.to_string()))
    }

    /// Sets `KEY` without a value.
    pub fn flag(&mut self, key: &str) -> &mut Self {
        self.put(key, None)
    }

    fn put(&mut self, key: &str, value: Option<String>) -> &mut Self {
        match self.tokens.iter_mut().find(|(k, _)| k == key) {
            Some(slot) => slot.1 = value,
            None => self.tokens.push((key.to_owned(), value)),
        }
        self
    }

    /// The tokens as they stand on the wire.
    pub fn tokens(&self) -> Vec<String> {
        let written = |(key, value): &(String, Option<String>)| match value {
            Some(value) => format!("{key}={}", escape(value)),
            None => key.clone(),
        };
        self.tokens.iter().map(written).collect()
    }

    /// The lines that tell `nick` all of it.
    pub fn lines(&self, server: &str, nick: &str) -> Vec<Line> {
        render(&self.tokens(), server, nick)
    }

    /// The lines that bring a client from `self` to `new`: changed and new tokens, and `-KEY` for
    /// those that are gone. Empty if nothing changed.
    pub fn diff(&self, new: &Isupport, server: &str, nick: &str) -> Vec<Line> {
        let old = self.tokens();
        let mut tokens: Vec<String> = new
            .tokens()
            .into_iter()
            .filter(|t| !old.contains(t))
            .collect();
        let gone = self
            .tokens
            .iter()
            .filter(|(k, _)| !new.tokens.iter().any(|(n, _)| n == k));
        tokens.extend(gone.map(|(k, _)| format!("-{k}")));
        render(&tokens, server, nick)
    }
}

fn render(tokens: &[String], server: &str, nick: &str) -> Vec<Line> {
    const TEXT: &str = "are supported by this server";
    let begin = || Line::numeric(server, Numeric::RPL_ISUPPORT, nick);
    let mut out = Vec::new();
    let (mut line, mut count) = (begin(), 0);
    for token in tokens {
        if count > 0 && (count == PER_LINE || line.room() < token.len() + TEXT.len() + 3) {
            out.push(std::mem::replace(&mut line, begin()).trailing(TEXT));
            count = 0;
        }
        line = line.param(token);
        count += 1;
    }
    if count > 0 {
        out.push(line.trailing(TEXT));
    }
    out
}

/// `\xHH` for bytes that a value cannot hold: space, `\`, `=` and control characters.
fn escape(value: &str) -> String {
    let mut out = String::with_capacity(value.len());
    for c in value.chars() {
        match c {
            ' ' => out.push_str("\\x20"),
            '\\' => out.push_str("\\x5C"),
            // PREFIX, TARGMAX and others hold `:` and `,`, which stand as they are; `=` does not.
            '=' => out.push_str("\\x3D"),
            c if c.is_ascii_control() => {
                out.push_str("\\x");
                for nibble in [u32::from(c) >> 4, u32::from(c) & 15] {
                    out.extend(char::from_digit(nibble, 16).map(|d| d.to_ascii_uppercase()));
                }
            }
            c => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(lines: &[Line]) -> Vec<String> {
        lines
            .iter()
            .map(|l| String::from_utf8(l.finish()).unwrap())
            .collect()
    }

    #[test]
    fn tokens_and_escapes() {
        let mut support = Isupport::new();
        support
            .set("NETWORK", "Our Net")
            .set("NICKLEN", 64)
            .flag("UTF8ONLY")
            .set("NICKLEN", 32)
            .set("X", "a=b\\\n");
        assert_eq!(
            text(&support.lines("s", "bob")),
            [
                ":s 005 bob NETWORK=Our\\x20Net NICKLEN=32 UTF8ONLY X=a\\x3Db\\x5C\\x0A :are supported by this server\r\n"
            ]
        );
        assert!(Isupport::new().lines("s", "bob").is_empty());
    }

    #[test]
    fn at_most_13_tokens_and_512_bytes() {
        let mut support = Isupport::new();
        for n in 0..40 {
            support.set(&format!("TOKEN{n}"), "v".repeat(n * 2));
        }
        let lines = text(&support.lines("irc.example.org", "alice"));
        let mut seen = 0;
        for line in &lines {
            assert!(line.len() <= 512, "{line}");
            assert!(line.ends_with(" :are supported by this server\r\n"));
            let tokens = line.matches("TOKEN").count();
            assert!(tokens <= 13);
            seen += tokens;
        }
        assert_eq!(seen, 40);
    }

    #[test]
    fn a_change_says_only_what_changed() {
        let (mut old, mut new) = (Isupport::new(), Isupport::new());
        old.set("A", 1).set("B", 1).flag("C");
        new.set("A", 1).set("B", 2).flag("D");
        assert_eq!(
            text(&old.diff(&new, "s", "n")),
            [":s 005 n B=2 D -C :are supported by this server\r\n"]
        );
        assert!(old.diff(&old, "s", "n").is_empty());
    }
}
