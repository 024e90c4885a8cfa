//! Tokens that leave the node: opaque to others, worthless after a restore.

use crate::ids::Seq;

/// A place in the log and in what lives, for clients that come back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Token {
    /// The store's epoch.
    pub epoch: u64,
    /// Everything up to here was seen.
    pub seq: Seq,
    /// A counter for volatile state.
    pub volatile: u64,
}

impl Token {
    /// The text: three numbers in base 36, joined by dots. Others must not read anything into it.
    pub fn encode(self) -> String {
        format!(
            "{}.{}.{}",
            base36(self.epoch),
            base36(self.seq.0),
            base36(self.volatile)
        )
    }

    /// Reads a token of this epoch; one of another epoch is no longer valid, so the client starts anew.
    pub fn decode(text: &str, epoch: u64) -> Option<Self> {
        let mut parts = text.split('.').map(|p| {
            if p.len() <= 13 {
                u64::from_str_radix(p, 36).ok()
            } else {
                None
            }
        });
        let token = Token {
            epoch: parts.next()??,
            seq: Seq(parts.next()??),
            volatile: parts.next()??,
        };
        (parts.next().is_none() && token.epoch == epoch).then_some(token)
    }
}

fn base36(mut n: u64) -> String {
    let mut digits = Vec::new();
    loop {
        digits.push(char::from_digit((n % 36) as u32, 36).unwrap_or('0'));
        n /= 36;
        if n == 0 {
            return digits.iter().rev().collect();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_of_another_epoch_are_worthless() {
        let token = Token {
            epoch: u64::MAX,
            seq: Seq(35),
            volatile: 0,
        };
        let text = token.encode();
        assert_eq!(Token::decode(&text, u64::MAX), Some(token));
        assert_eq!(Token::decode(&text, 1), None);
        for bad in ["", ".", "1.2", "1.2.3.4", "zzzzzzzzzzzzzzz.1.1", "-1.2.3"] {
            assert_eq!(Token::decode(bad, 1), None, "{bad}");
        }
    }
}
