//! The sealed stream of a backup: chunks of ChaCha20-Poly1305 (RFC 8439) in the STREAM construction (Hoang, Reyhanitabar,
//! Rogaway, Vizár 2015), as the `age` format has it: a counter in the nonce, and a mark on the last chunk, so that chunks
//! can't be left out, put in another order, or cut off at the end.
//!
//! ```text
//! "sammen-backup-2\n" salt(16) kdf(1) memory_kib(4) passes(4) lanes(4) made(8, ms since 1970)
//!                                                       … header, authenticated with each chunk
//! chunk: up to 65,536 bytes sealed, then a tag of 16; nonce = counter(8) 0 0 0 last(1)
//! ```
//!
//! `age` itself would bring a translation framework and two dozen crates for what is this one page.

use std::io::{self, Read, Write};

use argon2::{Algorithm, Argon2, Params, Version};
use ring::aead::{Aad, CHACHA20_POLY1305, LessSafeKey, Nonce, UnboundKey};
use ring::hkdf;
use sammen_core::Timestamp;

const MAGIC: &[u8; 16] = b"sammen-backup-2\n";
const HEADER: usize = 16 + 16 + 1 + 12 + 8;
const CHUNK: usize = 64 * 1024;
const TAG: usize = 16;
/// A header that asks for more memory than this (in KiB) is refused.
const MOST_MEMORY: u32 = 1 << 20;

/// What a backup is sealed with.
#[derive(Clone)]
pub enum Key {
    /// A passphrase, through Argon2id (RFC 9106) of this cost.
    Passphrase(String, Cost),
    /// 32 random bytes, kept in a file.
    Raw([u8; 32]),
}

impl std::fmt::Debug for Key {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Key::Passphrase(..) => "Key::Passphrase(…)",
            Key::Raw(_) => "Key::Raw(…)",
        })
    }
}

/// What guessing a passphrase costs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cost {
    /// KiB of memory.
    pub memory: u32,
    /// Passes over it.
    pub passes: u32,
    /// Lanes.
    pub lanes: u32,
}

impl Default for Cost {
    /// The second recommended option of RFC 9106 §4.
    fn default() -> Self {
        Self {
            memory: 64 * 1024,
            passes: 3,
            lanes: 4,
        }
    }
}

fn other(text: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, text)
}

struct ThirtyTwo;

impl hkdf::KeyType for ThirtyTwo {
    fn len(&self) -> usize {
        32
    }
}

fn derive(key: &Key, salt: &[u8], cost: Cost) -> io::Result<LessSafeKey> {
    let mut secret = [0; 32];
    match key {
        Key::Raw(raw) => secret = *raw,
        Key::Passphrase(text, _) => {
            let params = Params::new(cost.memory, cost.passes, cost.lanes, Some(32))
                .map_err(|e| other(&e.to_string()))?;
            Argon2::new(Algorithm::Argon2id, Version::V0x13, params)
                .hash_password_into(text.as_bytes(), salt, &mut secret)
                .map_err(|e| other(&e.to_string()))?;
        }
    }
    let unspecified = |_| other("the key can't be derived");
    let mut bytes = [0; 32];
    hkdf::Salt::new(hkdf::HKDF_SHA256, salt)
        .extract(&secret)
        .expand(&[MAGIC], ThirtyTwo)
        .map_err(unspecified)?
        .fill(&mut bytes)
        .map_err(unspecified)?;
    UnboundKey::new(&CHACHA20_POLY1305, &bytes)
        .map(LessSafeKey::new)
        .map_err(unspecified)
}

fn nonce(counter: u64, last: bool) -> Nonce {
    let mut bytes = [0; 12];
    bytes[..8].copy_from_slice(&counter.to_be_bytes());
    bytes[11] = u8::from(last);
    Nonce::assume_unique_for_key(bytes)
}

/// Seals what is written to it. [`Sealer::finish`] must end it.
pub struct Sealer<W: Write> {
    out: W,
    key: LessSafeKey,
    header: [u8; HEADER],
    counter: u64,
    buffer: Vec<u8>,
}

impl<W: Write> Sealer<W> {
    /// Begins a stream. The salt must be random: it makes the key this backup's own.
    /// `made` is when.
    pub fn new(mut out: W, key: &Key, salt: [u8; 16], made: Timestamp) -> io::Result<Self> {
        let (kind, cost) = match key {
            Key::Passphrase(_, cost) => (1, *cost),
            Key::Raw(_) => (
                0,
                Cost {
                    memory: 0,
                    passes: 0,
                    lanes: 0,
                },
            ),
        };
        let mut header = [0; HEADER];
        header[..16].copy_from_slice(MAGIC);
        header[16..32].copy_from_slice(&salt);
        header[32] = kind;
        header[33..37].copy_from_slice(&cost.memory.to_be_bytes());
        header[37..41].copy_from_slice(&cost.passes.to_be_bytes());
        header[41..45].copy_from_slice(&cost.lanes.to_be_bytes());
        header[45..].copy_from_slice(&made.0.to_be_bytes());
        out.write_all(&header)?;
        Ok(Self {
            key: derive(key, &salt, cost)?,
            out,
            header,
            counter: 0,
            buffer: Vec::with_capacity(CHUNK + TAG),
        })
    }

    fn seal(&mut self, last: bool) -> io::Result<()> {
        self.key
            .seal_in_place_append_tag(
                nonce(self.counter, last),
                Aad::from(&self.header),
                &mut self.buffer,
            )
            .map_err(|_| other("a chunk can't be sealed"))?;
        self.counter += 1;
        self.out.write_all(&self.buffer)?;
        self.buffer.clear();
        Ok(())
    }

    /// Seals the last chunk.
    pub fn finish(mut self) -> io::Result<W> {
        self.seal(true)?;
        self.out.flush()?;
        Ok(self.out)
    }
}

impl<W: Write> Write for Sealer<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.buffer.len() == CHUNK {
            self.seal(false)?;
        }
        let n = bytes.len().min(CHUNK - self.buffer.len());
        self.buffer
            .extend_from_slice(bytes.get(..n).unwrap_or_default());
        Ok(n)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// When a backup was made, as its header says without being opened; `None` where it is no backup.
pub fn made(mut input: impl Read) -> io::Result<Option<Timestamp>> {
    let mut header = [0; HEADER];
    match input.read_exact(&mut header) {
        Err(e) if e.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
        read => read?,
    }
    let date = header[45..].try_into().map_or(0, i64::from_be_bytes);
    Ok((header[..16] == *MAGIC).then_some(Timestamp(date)))
}

/// Opens a sealed stream. Nothing that it gives out was not authenticated; the end of the stream is only reported when
/// the last chunk said so.
pub struct Opener<R: Read> {
    input: R,
    key: LessSafeKey,
    header: [u8; HEADER],
    counter: u64,
    /// Sealed bytes read ahead: one more than a chunk, to know whether it is the last.
    ahead: Vec<u8>,
    plain: Vec<u8>,
    given: usize,
    ended: bool,
}

impl<R: Read> Opener<R> {
    /// Reads the header.
    pub fn new(mut input: R, key: &Key) -> io::Result<Self> {
        let mut header = [0; HEADER];
        input.read_exact(&mut header)?;
        if header[..16] != *MAGIC {
            return Err(other(
                "this is no backup of Sammen, or one of a newer version",
            ));
        }
        let number = |at: usize| {
            header
                .get(at..at + 4)
                .and_then(|b| b.try_into().ok())
                .map_or(0, u32::from_be_bytes)
        };
        let cost = Cost {
            memory: number(33),
            passes: number(37),
            lanes: number(41),
        };
        match (header[32], key) {
            (0, Key::Raw(_)) => {}
            (1, Key::Passphrase(..)) if cost.memory <= MOST_MEMORY && cost.passes <= 64 => {}
            (0, _) => return Err(other("this backup is sealed with a key file")),
            (1, Key::Raw(_)) => return Err(other("this backup is sealed with a passphrase")),
            _ => return Err(other("this backup is sealed in a way that isn't known")),
        }
        Ok(Self {
            key: derive(key, &header[16..32], cost)?,
            input,
            header,
            counter: 0,
            ahead: Vec::with_capacity(CHUNK + TAG + 1),
            plain: Vec::new(),
            given: 0,
            ended: false,
        })
    }

    fn open_next(&mut self) -> io::Result<()> {
        let missing = (CHUNK + TAG + 1 - self.ahead.len()) as u64;
        (&mut self.input)
            .take(missing)
            .read_to_end(&mut self.ahead)?;
        let last = self.ahead.len() <= CHUNK + TAG;
        let rest = if last {
            Vec::new()
        } else {
            self.ahead.split_off(CHUNK + TAG)
        };
        let opened = self
            .key
            .open_in_place(
                nonce(self.counter, last),
                Aad::from(&self.header),
                &mut self.ahead,
            )
            .map_err(|_| other("the backup is damaged or cut off, or the passphrase is another"))?;
        let length = opened.len();
        self.ahead.truncate(length);
        self.plain = std::mem::replace(&mut self.ahead, rest);
        self.given = 0;
        self.counter += 1;
        self.ended = last;
        Ok(())
    }
}

impl<R: Read> Read for Opener<R> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        while self.given == self.plain.len() {
            if self.ended {
                return Ok(0);
            }
            self.open_next()?;
        }
        let from = self.plain.get(self.given..).unwrap_or_default();
        let n = from.len().min(out.len());
        for (to, byte) in out.iter_mut().zip(from) {
            *to = *byte;
        }
        self.given += n;
        Ok(n)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RAW: Key = Key::Raw([7; 32]);

    fn sealed(plain: &[u8], key: &Key) -> Vec<u8> {
        let mut sealer = Sealer::new(Vec::new(), key, [9; 16], Timestamp(77)).unwrap();
        sealer.write_all(plain).unwrap();
        sealer.finish().unwrap()
    }

    fn opened(sealed: &[u8], key: &Key) -> io::Result<Vec<u8>> {
        let mut plain = Vec::new();
        Opener::new(sealed, key)?.read_to_end(&mut plain)?;
        Ok(plain)
    }

    #[test]
    fn streams_of_every_length_come_back() {
        for length in [0, 1, CHUNK - 1, CHUNK, CHUNK + 1, 2 * CHUNK, 3 * CHUNK + 5] {
            let plain: Vec<u8> = (0..length).map(|n| (n % 251) as u8).collect();
            assert_eq!(
                opened(&sealed(&plain, &RAW), &RAW).unwrap(),
                plain,
                "{length}"
            );
        }
    }

    #[test]
    fn a_backup_says_when_it_was_made_and_nobody_changes_that() {
        let mut bytes = sealed(b"x", &RAW);
        assert_eq!(made(&*bytes).unwrap(), Some(Timestamp(77)));
        bytes[HEADER - 1] ^= 1;
        assert!(opened(&bytes, &RAW).is_err());
        assert_eq!(made(&b"somebody else's"[..]).unwrap(), None);
        assert_eq!(made(&[0; 100][..]).unwrap(), None);
    }

    #[test]
    fn what_was_changed_or_cut_off_is_refused() {
        let good = sealed(&vec![1; 3 * CHUNK], &RAW);
        for at in [0, 20, 40, HEADER, HEADER + CHUNK + 3, good.len() - 1] {
            let mut bad = good.clone();
            bad[at] ^= 1;
            assert!(opened(&bad, &RAW).is_err(), "{at}");
        }
        let chunk = CHUNK + TAG;
        for cut in [HEADER, HEADER + chunk, HEADER + 2 * chunk, good.len() - 1] {
            assert!(opened(&good[..cut], &RAW).is_err(), "{cut}");
        }
        let swapped = [
            &good[..HEADER],
            &good[HEADER + chunk..HEADER + 2 * chunk],
            &good[HEADER..HEADER + chunk],
            &good[HEADER + 2 * chunk..],
        ];
        assert!(opened(&swapped.concat(), &RAW).is_err());
        assert!(opened(&[good.clone(), vec![0]].concat(), &RAW).is_err());
    }

    #[test]
    fn only_the_right_passphrase_opens_it() {
        let cost = Cost {
            memory: 64,
            passes: 1,
            lanes: 1,
        };
        let key = |text: &str| Key::Passphrase(text.into(), cost);
        let bytes = sealed(b"the keys of the house", &key("correct horse"));
        assert_eq!(
            opened(&bytes, &key("correct horse")).unwrap(),
            b"the keys of the house"
        );
        assert!(opened(&bytes, &key("battery staple")).is_err());
        assert!(opened(&bytes, &RAW).is_err());
        let mut greedy = bytes.clone();
        greedy[33] = 0xff;
        assert!(opened(&greedy, &key("correct horse")).is_err());
        assert_eq!(format!("{:?}", key("correct horse")), "Key::Passphrase(…)");
    }
}
