//! Bytes that wait to be written: bounded, shared pieces kept shared, small ones joined.

use std::{collections::VecDeque, io::IoSlice};

use bytes::{Buf, Bytes, BytesMut};

/// Pieces in one vectored write.
const SLICES: usize = 64;
/// Pieces up to this size are copied together: cheaper than a slice of their own.
const SMALL: usize = 256;

/// The bytes do not fit: the peer reads too slowly.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the other side reads too slowly")]
pub struct Overflow;

/// The queue before a socket.
#[derive(Debug, Default)]
pub(crate) struct Outbox {
    pieces: VecDeque<Bytes>,
    /// Small pieces at the end that are still being joined.
    tail: BytesMut,
    length: usize,
}

impl Outbox {
    pub fn len(&self) -> usize {
        self.length
    }

    pub fn is_empty(&self) -> bool {
        self.length == 0
    }

    /// Adds a piece unless more than `limit` bytes would wait.
    pub fn push(&mut self, piece: Bytes, limit: usize) -> Result<(), Overflow> {
        // One alone goes out as it is; a second one behind it is worth a copy.
        let alone = self.length == 0;
        if piece.len() <= SMALL && !alone {
            return self.write(&piece, limit);
        }
        self.count(piece.len(), limit)?;
        self.close_tail();
        self.pieces.push_back(piece);
        Ok(())
    }

    /// Adds a copy of some bytes, under the same limit.
    pub fn write(&mut self, bytes: &[u8], limit: usize) -> Result<(), Overflow> {
        self.count(bytes.len(), limit)?;
        self.tail.extend_from_slice(bytes);
        Ok(())
    }

    fn count(&mut self, more: usize, limit: usize) -> Result<(), Overflow> {
        let length = self.length.saturating_add(more);
        if length > limit {
            return Err(Overflow);
        }
        self.length = length;
        Ok(())
    }

    fn close_tail(&mut self) {
        if !self.tail.is_empty() {
            // Taken, not split: the buffer is freed with the bytes, an idle connection holds none.
            self.pieces
                .push_back(std::mem::take(&mut self.tail).freeze());
        }
    }

    /// The next bytes to write, in as many slices as one system call takes.
    pub fn slices<R>(&mut self, write: impl FnOnce(&[IoSlice<'_>]) -> R) -> R {
        self.close_tail();
        let mut slices = [IoSlice::new(&[]); SLICES];
        let mut used = 0;
        for (slot, piece) in slices.iter_mut().zip(&self.pieces) {
            *slot = IoSlice::new(piece);
            used += 1;
        }
        write(slices.get(..used).unwrap_or_default())
    }

    /// So many bytes were written.
    pub fn advance(&mut self, mut written: usize) {
        self.length = self.length.saturating_sub(written);
        while let Some(piece) = self.pieces.front_mut() {
            if written < piece.len() {
                piece.advance(written);
                return;
            }
            written -= piece.len();
            self.pieces.pop_front();
        }
        if self.pieces.capacity() > SLICES {
            self.pieces.shrink_to_fit(); // A burst is over; a connection is idle most of its life.
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(outbox: &mut Outbox) -> (usize, Vec<u8>) {
        outbox.slices(|slices| {
            (
                slices.len(),
                slices.iter().flat_map(|s| s.to_vec()).collect(),
            )
        })
    }

    #[test]
    fn small_pieces_join_large_ones_stay_shared_and_order_stays() {
        let mut outbox = Outbox::default();
        let large = Bytes::from(vec![b'x'; 1000]);
        outbox.write(b"one ", 5000).unwrap();
        outbox.push(Bytes::from_static(b"two "), 5000).unwrap();
        outbox.push(large.clone(), 5000).unwrap();
        outbox.write(b" three", 5000).unwrap();
        assert_eq!(outbox.len(), 1014);
        let (pieces, bytes) = all(&mut outbox);
        assert_eq!(pieces, 3);
        assert_eq!(bytes, [b"one two ".as_slice(), &large, b" three"].concat());
        outbox.slices(|slices| assert_eq!(slices[1].as_ptr(), large.as_ptr(), "not copied"));
        outbox.advance(10);
        let (pieces, rest) = all(&mut outbox);
        assert_eq!((pieces, rest.as_slice()), (2, &bytes[10..]));
        outbox.advance(rest.len());
        assert!(outbox.is_empty() && outbox.pieces.is_empty());
        let small = Bytes::from(vec![b'y'; 100]);
        for _ in 0..3 {
            outbox.push(small.clone(), 5000).unwrap();
        }
        outbox.slices(|slices| {
            assert_eq!((slices.len(), slices[1].len()), (2, 200));
            assert_eq!(
                slices[0].as_ptr(),
                small.as_ptr(),
                "one alone is not copied"
            );
        });
    }

    #[test]
    fn what_does_not_fit_is_refused_whole() {
        let mut outbox = Outbox::default();
        outbox.write(b"12345678", 10).unwrap();
        assert_eq!(outbox.write(b"901", 10), Err(Overflow));
        assert_eq!(outbox.push(Bytes::from(vec![0; 1000]), 10), Err(Overflow));
        outbox.write(b"90", 10).unwrap();
        assert_eq!(all(&mut outbox).1, b"1234567890");
    }
}
