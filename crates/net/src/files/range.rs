//! Range requests (RFC 9110 §14): one range of bytes; several are answered with the whole.

use std::ops::Range;

/// What a `Range` header asks of something of `size` bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Asked {
    /// Everything.
    Whole,
    /// This part.
    Part(Range<u64>),
    /// Nothing that is there.
    Outside,
}

/// Reads the header.
pub fn read(header: Option<&str>, size: u64) -> Asked {
    let Some(spec) = header.and_then(|h| h.trim().strip_prefix("bytes=")) else {
        return Asked::Whole;
    };
    let Some((from, to)) = spec.trim().split_once('-') else {
        return Asked::Whole;
    };
    let number = |text: &str| {
        let digits = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
        digits.then(|| text.parse::<u64>().unwrap_or(u64::MAX))
    };
    match (number(from), number(to)) {
        (Some(from), None) if to.is_empty() => part(from, size, size),
        (Some(from), Some(to)) if from <= to => part(from, to.saturating_add(1).min(size), size),
        // The last so many bytes.
        (None, Some(last)) if from.is_empty() => {
            if last == 0 {
                Asked::Outside
            } else {
                part(size.saturating_sub(last), size, size)
            }
        }
        _ => Asked::Whole,
    }
}

fn part(from: u64, to: u64, size: u64) -> Asked {
    if from >= size {
        Asked::Outside
    } else {
        Asked::Part(from..to)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_are_read_as_the_standard_says() {
        for (header, asked) in [
            ("bytes=0-0", Asked::Part(0..1)),
            ("bytes=2-", Asked::Part(2..10)),
            ("bytes=2-99", Asked::Part(2..10)),
            ("bytes=-3", Asked::Part(7..10)),
            ("bytes=-99", Asked::Part(0..10)),
            ("bytes=10-", Asked::Outside),
            ("bytes=-0", Asked::Outside),
            ("bytes=99999999999999999999999-", Asked::Outside),
            ("bytes=3-2", Asked::Whole),
            ("bytes=0-1,3-4", Asked::Whole),
            ("lines=0-1", Asked::Whole),
            ("bytes=+1-2", Asked::Whole),
        ] {
            assert_eq!(read(Some(header), 10), asked, "{header}");
        }
        assert_eq!(read(None, 10), Asked::Whole);
    }
}
