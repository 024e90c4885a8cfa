//! The numbers and ids that core gives out.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

macro_rules! number {
    ($(#[$doc:meta])* $t:ident($inner:ty)) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $t(pub $inner);
        impl fmt::Display for $t {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }
    };
}

number!(
    /// Node-wide commit order, strictly increasing from 1: what "since" means.
    Seq(u64)
);
number!(
    /// The place of an event in its conversation's history. New events come [`Pos::STEP`] after the last;
    /// backfilled ones go between or before their neighbours.
    Pos(i64)
);
number!(
    /// A conversation of this node.
    ConversationId(u64)
);
number!(
    /// What an account signs in from.
    DeviceId(u64)
);
number!(
    /// One live connection of a device; never stored.
    SessionId(u64)
);

impl Pos {
    /// The distance between two neighbours that were appended: room for 32 halvings.
    pub const STEP: i64 = 1 << 32;

    /// `n` places strictly between two neighbours, evenly spread; `None` if there is no room for them.
    pub fn between(before: Option<Pos>, after: Option<Pos>, n: usize) -> Option<Vec<Pos>> {
        let n = i64::try_from(n).ok()?;
        let (start, step) = match (before, after) {
            (None, None) => (0, Self::STEP),
            (Some(b), None) => (b.0, Self::STEP),
            (None, Some(a)) => (
                a.0.checked_sub(Self::STEP.checked_mul(n.checked_add(1)?)?)?,
                Self::STEP,
            ),
            (Some(b), Some(a)) => (b.0, a.0.checked_sub(b.0)? / (n + 1)),
        };
        if step < 1 {
            return None;
        }
        (1..=n)
            .map(|i| Some(Pos(start.checked_add(step.checked_mul(i)?)?)))
            .collect()
    }

    /// A place right behind `before`, for one of many that follow each other up to `after`: some ten thousand of them find
    /// room between two neighbours that were appended. `None` if there is none.
    pub fn behind(before: Pos, after: Pos) -> Option<Pos> {
        let room = after.0.checked_sub(before.0)?;
        (room > 1).then(|| Pos(before.0 + (room >> 11).max(1)))
    }
}

/// The id of an event that other people may see: 48 bits of Unix milliseconds, then 80 random bits (a ULID).
/// Ordered by time, not guessable, written as 26 characters of Crockford's base 32 in lower case.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct EventId(pub u128);

const ALPHABET: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";

impl EventId {
    /// An id for an event of the given time with the given random bits (the low 80 are used).
    pub fn new(at: Timestamp, random: u128) -> Self {
        let ms = (at.0.max(0) as u128) & ((1 << 48) - 1);
        Self((ms << 80) | (random & ((1 << 80) - 1)))
    }

    /// As 16 bytes, big-endian: sorts as the id does.
    pub fn to_bytes(self) -> [u8; 16] {
        self.0.to_be_bytes()
    }

    /// From 16 big-endian bytes.
    pub fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(u128::from_be_bytes(bytes))
    }

    /// Writes the 26 characters without an allocation.
    pub fn encode(self) -> [u8; 26] {
        let mut text = [b'0'; 26];
        for (i, c) in text.iter_mut().enumerate() {
            let index = (self.0 >> (125 - 5 * i)) & 31;
            *c = ALPHABET[index as usize];
        }
        text
    }
}

impl fmt::Display for EventId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(std::str::from_utf8(&self.encode()).unwrap_or_default())
    }
}

impl fmt::Debug for EventId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// The text is no event id.
#[derive(Debug, thiserror::Error, PartialEq, Eq, Clone, Copy)]
#[error("not an event id")]
pub struct InvalidEventId;

impl FromStr for EventId {
    type Err = InvalidEventId;

    fn from_str(text: &str) -> Result<Self, InvalidEventId> {
        if text.len() != 26 {
            return Err(InvalidEventId);
        }
        let mut value: u128 = 0;
        for (i, byte) in text.bytes().enumerate() {
            let digit = ALPHABET
                .iter()
                .position(|c| *c == byte)
                .ok_or(InvalidEventId)?;
            if i == 0 && digit > 7 {
                return Err(InvalidEventId);
            }
            value = (value << 5) | digit as u128;
        }
        Ok(Self(value))
    }
}

/// Unix time in milliseconds.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct Timestamp(pub i64);

impl Timestamp {
    /// This many milliseconds later (earlier where negative).
    pub fn plus_ms(self, ms: i64) -> Self {
        Self(self.0.saturating_add(ms))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn event_ids_round_trip_and_sort_by_time() {
        let a = EventId::new(Timestamp(1_700_000_000_000), 7);
        let b = EventId::new(Timestamp(1_700_000_000_001), 3);
        assert!(a < b && a.to_string() < b.to_string());
        assert_eq!(a.to_string().parse(), Ok(a));
        assert_eq!(
            EventId(u128::MAX).to_string().parse(),
            Ok(EventId(u128::MAX))
        );
        assert!("8zzzzzzzzzzzzzzzzzzzzzzzzz".parse::<EventId>().is_err());
        assert!("ü".repeat(13).parse::<EventId>().is_err());
    }

    #[test]
    fn places_between_neighbours() {
        let p = Pos::between(Some(Pos(0)), Some(Pos(Pos::STEP)), 3).unwrap();
        assert!(p[0].0 > 0 && p.windows(2).all(|w| w[0] < w[1]) && p[2].0 < Pos::STEP);
        assert_eq!(Pos::between(Some(Pos(1)), Some(Pos(2)), 1), None);
        let end = Pos(Pos::STEP);
        let many = std::iter::successors(Some(Pos(0)), |last| Pos::behind(*last, end));
        assert!(many.take_while(|p| *p < end).count() > 10_000);
        let before = Pos::between(None, Some(Pos(0)), 2).unwrap();
        assert!(before[0] < before[1] && before[1].0 < 0);
    }
}
