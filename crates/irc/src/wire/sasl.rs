//! AUTHENTICATE: base64 in pieces of 400 bytes (IRCv3 sasl-3.1), both ways.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

/// Bytes of base64 on one AUTHENTICATE line.
pub const CHUNK: usize = 400;

/// What an AUTHENTICATE line of the client brought.
#[derive(PartialEq, Eq)]
pub enum SaslInput {
    /// More lines follow.
    More,
    /// A whole response, decoded. May hold a password.
    Done(Vec<u8>),
    /// `*`: 906 ERR_SASLABORTED.
    Aborted,
    /// A piece over 400 bytes or too many pieces: 905 ERR_SASLTOOLONG.
    TooLong,
    /// Not base64: 904 ERR_SASLFAIL.
    Malformed,
}

impl std::fmt::Debug for SaslInput {
    /// Never shows the response.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::More => "More",
            Self::Done(_) => "Done(..)",
            Self::Aborted => "Aborted",
            Self::TooLong => "TooLong",
            Self::Malformed => "Malformed",
        })
    }
}

/// Puts the pieces of a response together. Every outcome but [`SaslInput::More`] begins anew.
pub struct SaslCollector {
    pieces: String,
    /// Base64 bytes a response can have.
    max: usize,
}

impl SaslCollector {
    /// Accepts responses of up to `max` bytes of base64.
    pub fn new(max: usize) -> Self {
        Self {
            pieces: String::new(),
            max,
        }
    }

    /// Takes the parameter of one AUTHENTICATE.
    pub fn push(&mut self, piece: &str) -> SaslInput {
        if piece == "*" {
            self.pieces.clear();
            return SaslInput::Aborted;
        }
        let last = piece.len() < CHUNK;
        let piece = if piece == "+" { "" } else { piece };
        if piece.len() > CHUNK || self.pieces.len() + piece.len() > self.max {
            self.pieces.clear();
            return SaslInput::TooLong;
        }
        self.pieces.push_str(piece);
        if !last {
            return SaslInput::More;
        }
        match STANDARD.decode(std::mem::take(&mut self.pieces)) {
            Ok(response) => SaslInput::Done(response),
            Err(_) => SaslInput::Malformed,
        }
    }
}

/// The parameters of the AUTHENTICATE lines that carry `payload`: `+` if it is empty, and `+` after
/// a last piece of exactly 400 bytes.
pub fn chunks(payload: &[u8]) -> Vec<String> {
    let text = STANDARD.encode(payload);
    let mut out: Vec<String> = text
        .as_bytes()
        .chunks(CHUNK)
        .map(|c| String::from_utf8_lossy(c).into_owned())
        .collect();
    if out.last().is_none_or(|last| last.len() == CHUNK) {
        out.push("+".to_owned());
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_piece() {
        let mut sasl = SaslCollector::new(4000);
        // sasl-3.1: jilles, authorization the same, password sesame.
        assert_eq!(
            sasl.push("amlsbGVzAGppbGxlcwBzZXNhbWU="),
            SaslInput::Done(b"jilles\0jilles\0sesame".to_vec())
        );
        assert_eq!(sasl.push("+"), SaslInput::Done(vec![]));
        assert_eq!(sasl.push("*"), SaslInput::Aborted);
        assert_eq!(sasl.push("!!"), SaslInput::Malformed);
    }

    #[test]
    fn pieces_both_ways() {
        for n in [0, 1, 299, 300, 301, 599, 600, 601, 2000] {
            let payload: Vec<u8> = (0..n).map(|i| u8::try_from(i % 251).unwrap()).collect();
            let pieces = chunks(&payload);
            assert_eq!(pieces.last().unwrap() == "+", (n + 2) / 3 % 100 == 0, "{n}");
            let mut sasl = SaslCollector::new(4000);
            let (last, first) = pieces.split_last().unwrap();
            assert!(first.iter().all(|p| sasl.push(p) == SaslInput::More));
            assert_eq!(sasl.push(last), SaslInput::Done(payload));
        }
    }

    #[test]
    fn limits_and_aborts_begin_anew() {
        let mut sasl = SaslCollector::new(1000);
        let full = "A".repeat(400);
        assert_eq!(sasl.push(&"A".repeat(401)), SaslInput::TooLong);
        assert_eq!(sasl.push(&full), SaslInput::More);
        assert_eq!(sasl.push(&full), SaslInput::More);
        assert_eq!(sasl.push(&full), SaslInput::TooLong);
        assert_eq!(sasl.push(&full), SaslInput::More);
        assert_eq!(sasl.push("*"), SaslInput::Aborted);
        assert_eq!(sasl.push("YQ=="), SaslInput::Done(b"a".to_vec()));
        assert!(!format!("{:?}", SaslInput::Done(b"secret".to_vec())).contains("115"));
    }
}
