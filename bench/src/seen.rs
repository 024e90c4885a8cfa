//! Exactly once, in order: what one receiver has seen of a numbered run of messages.

/// One receiver's account of messages `0..expected`.
#[derive(Clone, Default)]
pub struct Seen {
    bits: Vec<u64>,
    expected: u32,
    next: u32,
    /// Different messages seen.
    pub distinct: u32,
    /// Messages seen again.
    pub twice: u32,
    /// Messages that came after a later one.
    pub disordered: u32,
    /// Numbers that nobody sent.
    pub strange: u32,
}

impl Seen {
    /// Nothing seen yet of `expected` messages.
    pub fn new(expected: u32) -> Self {
        Self {
            bits: vec![0; expected as usize / 64 + 1],
            expected,
            ..Self::default()
        }
    }

    /// Notes an arrival; true if it is new.
    pub fn mark(&mut self, seq: u32) -> bool {
        if seq >= self.expected {
            self.strange += 1;
            return false;
        }
        let (word, bit) = (seq as usize / 64, 1u64 << (seq % 64));
        if self.bits[word] & bit != 0 {
            self.twice += 1;
            return false;
        }
        self.bits[word] |= bit;
        self.distinct += 1;
        if seq < self.next {
            self.disordered += 1;
        } else {
            self.next = seq + 1;
        }
        true
    }

    /// Messages that have not come.
    pub fn missing(&self) -> u32 {
        self.expected - self.distinct
    }
}

/// The sum over all receivers.
#[derive(Default)]
pub struct Verdict {
    /// Deliveries that never came.
    pub lost: u64,
    /// Deliveries that came again.
    pub twice: u64,
    /// Deliveries after a later one.
    pub disordered: u64,
    /// Deliveries of what nobody sent.
    pub strange: u64,
}

impl Verdict {
    /// Adds one receiver.
    pub fn add(&mut self, seen: &Seen) {
        self.lost += u64::from(seen.missing());
        self.twice += u64::from(seen.twice);
        self.disordered += u64::from(seen.disordered);
        self.strange += u64::from(seen.strange);
    }

    /// Whether each message reached each receiver exactly once and in order.
    pub fn perfect(&self) -> bool {
        self.lost + self.twice + self.disordered + self.strange == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn duplicates_gaps_and_disorder_are_told_apart() {
        let mut seen = Seen::new(5);
        for seq in [0, 2, 1, 2, 9] {
            seen.mark(seq);
        }
        assert_eq!(
            (
                seen.distinct,
                seen.missing(),
                seen.twice,
                seen.disordered,
                seen.strange
            ),
            (3, 2, 1, 1, 1)
        );
    }
}
