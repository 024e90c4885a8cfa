//! The numbered marker that every message carries in its text, so that an arrival is recognised without parsing.

use memchr::memmem::Finder;

/// Bytes of a whole marker: `[#`, ten digits, `]`.
pub const LEN: usize = 13;

/// Appends the marker of message `seq`.
pub fn push(out: &mut Vec<u8>, seq: u32) {
    out.extend_from_slice(b"[#");
    push_number(out, seq);
    out.push(b']');
}

/// Appends `seq` as ten digits.
pub fn push_number(out: &mut Vec<u8>, seq: u32) {
    let mut digits = [b'0'; 10];
    let mut rest = seq;
    for digit in digits.iter_mut().rev() {
        *digit = b'0' + (rest % 10) as u8;
        rest /= 10;
    }
    out.extend_from_slice(&digits);
}

/// Finds markers in what arrived.
pub struct Markers(Finder<'static>);

impl Markers {
    /// A finder, to be shared by all connections.
    pub fn new() -> Self {
        Self(Finder::new(b"[#"))
    }

    /// Calls `each` with every whole marker's number; answers how many bytes at the end have to be seen again together
    /// with what arrives next, since a marker may be cut there.
    pub fn scan(&self, bytes: &[u8], mut each: impl FnMut(u32)) -> usize {
        let mut at = 0;
        while let Some(found) = self.0.find(&bytes[at..]) {
            let start = at + found;
            let Some(marker) = bytes.get(start..start + LEN) else {
                return bytes.len() - start;
            };
            match number(&marker[2..12]) {
                Some(seq) if marker[12] == b']' => {
                    each(seq);
                    at = start + LEN;
                }
                _ => at = start + 2,
            }
        }
        // Only a lone `[` at the very end can still become a marker.
        usize::from(bytes.len() > at && bytes.last() == Some(&b'['))
    }
}

fn number(digits: &[u8]) -> Option<u32> {
    digits.iter().try_fold(0u32, |sum, digit| {
        digit
            .is_ascii_digit()
            .then(|| sum.wrapping_mul(10).wrapping_add(u32::from(digit - b'0')))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_marker_is_found_wherever_the_stream_is_cut() {
        let mut text = b"<body>".to_vec();
        push(&mut text, 1234);
        text.extend_from_slice(b" [# no [");
        push(&mut text, 7);
        let markers = Markers::new();
        for cut in 0..=text.len() {
            let mut seen = Vec::new();
            let keep = markers.scan(&text[..cut], |seq| seen.push(seq));
            markers.scan(&text[cut - keep..], |seq| seen.push(seq));
            assert_eq!(seen, [1234, 7], "cut at {cut}");
        }
    }
}
