//! Where a picture was taken is nobody's business: GPS data in JPEG, PNG, WebP, HEIC and AVIF files is blanked on the way in.
//!
//! A walk over the file's segments (ITU T.81 Annex B), chunks (`chunks.rs`) or boxes (`heif.rs`), one in memory at a time. Nothing moves and
//! the size stays: in Exif (CIPA DC-008) the GPS directory and what it points to become zeros; XMP that names GPS
//! properties becomes spaces. Everything else, orientation included, stays as it is. What is none of these passes
//! unchanged, as does what can't be walked.

use super::chunks::{self, Chunks, Kind, Step};
use super::heif::{self, Heif};

/// The longest segment that there can be.
const SEGMENT: usize = 2 + 65_535;
/// Tag of the GPS directory.
const GPS: u16 = 0x8825;
/// Entries of a directory that are looked at.
const MOST_ENTRIES: usize = 1_000;

enum State {
    /// Before the first two bytes.
    Start,
    /// Between segments: two bytes of marker, two of length, then the segment.
    Segments,
    /// A PNG or WebP file.
    Chunks(Chunks),
    /// A HEIF file.
    Heif(Heif),
    /// Passes through.
    Through,
}

/// The walk. Feed it a file in pieces; it returns pieces of the same total size.
pub struct Blanking {
    state: State,
    held: Vec<u8>,
}

impl Default for Blanking {
    fn default() -> Self {
        Self {
            state: State::Start,
            held: Vec::new(),
        }
    }
}

impl Blanking {
    /// Takes a piece in; what is ready is added to `out`.
    pub fn feed(&mut self, piece: &[u8], out: &mut Vec<u8>) {
        if matches!(self.state, State::Through) {
            out.extend_from_slice(piece);
            return;
        }
        self.held.extend_from_slice(piece);
        let mut at = 0;
        loop {
            let rest = self.held.get_mut(at..).unwrap_or_default();
            let step = match &mut self.state {
                State::Chunks(chunks) => Some(chunks.step(rest)),
                State::Heif(heif) => Some(heif.step(rest)),
                _ => None,
            };
            match step {
                Some(Step::Done(n)) => {
                    at += n;
                    continue;
                }
                Some(Step::More) => break,
                Some(Step::Through) => {
                    self.state = State::Through;
                    continue;
                }
                None => {}
            }
            match self.state {
                State::Start => match rest {
                    [0xFF, 0xD8, ..] => {
                        at += 2;
                        self.state = State::Segments;
                    }
                    [] | [0xFF] => break,
                    head => match Kind::of(head) {
                        Some((kind, begins)) => {
                            at += begins;
                            self.state = State::Chunks(Chunks::new(kind));
                        }
                        None if heif::begins(head) => self.state = State::Heif(Heif::default()),
                        None if Kind::may_be(head) || heif::may_begin(head) => break,
                        None => self.state = State::Through,
                    },
                },
                State::Segments => match *rest {
                    // Fill bytes may stand before a marker.
                    [0xFF, 0xFF, ..] => at += 1,
                    // Markers without a length.
                    [0xFF, 0x01 | 0xD0..=0xD7, ..] => at += 2,
                    // The scan: what follows is the picture itself.
                    [0xFF, 0xDA | 0xD9, ..] => self.state = State::Through,
                    [0xFF, marker, high, low, ..] => {
                        let length = usize::from(u16::from_be_bytes([high, low]));
                        if length < 2 {
                            self.state = State::Through;
                            continue;
                        }
                        let Some(segment) = rest.get_mut(4..2 + length) else {
                            break;
                        };
                        if marker == 0xE1 {
                            blank(segment);
                        }
                        at += 2 + length;
                    }
                    [] | [0xFF] | [0xFF, _] | [0xFF, _, _] => break,
                    _ => self.state = State::Through,
                },
                State::Through | State::Chunks(_) | State::Heif(_) => {
                    at = self.held.len();
                    break;
                }
            }
        }
        out.extend_from_slice(self.held.get(..at).unwrap_or_default());
        self.held.drain(..at);
        debug_assert!(self.held.len() <= SEGMENT.max(chunks::LONGEST) + piece.len());
    }

    /// The file ended: what was held back of it.
    pub fn finish(self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.held);
    }
}

/// One APP1 segment, without marker and length.
fn blank(segment: &mut [u8]) {
    if let Some(tiff) = segment.strip_prefix_mut(b"Exif\0\0") {
        blank_exif(tiff);
    } else if segment.starts_with(b"http://ns.adobe.com/x") {
        // XMP, plain or extended: the packet's header ends with a zero byte.
        let header = segment
            .iter()
            .position(|b| *b == 0)
            .map_or(segment.len(), |i| i + 1);
        let packet = segment.get_mut(header..).unwrap_or_default();
        if names_gps(packet) {
            packet.fill(b' ');
        }
    }
}

pub(super) fn names_gps(packet: &[u8]) -> bool {
    packet.windows(3).any(|w| w.eq_ignore_ascii_case(b"GPS"))
}

/// Numbers of a TIFF structure, in its byte order.
struct Tiff {
    little: bool,
}

impl Tiff {
    fn u16(&self, data: &[u8], at: usize) -> Option<u16> {
        let bytes: [u8; 2] = data.get(at..at.checked_add(2)?)?.try_into().ok()?;
        Some(if self.little {
            u16::from_le_bytes(bytes)
        } else {
            u16::from_be_bytes(bytes)
        })
    }

    fn at(&self, data: &[u8], at: usize) -> Option<usize> {
        let bytes: [u8; 4] = data.get(at..at.checked_add(4)?)?.try_into().ok()?;
        let number = if self.little {
            u32::from_le_bytes(bytes)
        } else {
            u32::from_be_bytes(bytes)
        };
        usize::try_from(number).ok()
    }
}

pub(super) fn blank_exif(tiff: &mut [u8]) {
    let little = match tiff {
        [b'I', b'I', ..] => true,
        [b'M', b'M', ..] => false,
        _ => return,
    };
    let read = Tiff { little };
    // The first directory, and the one of the thumbnail behind it.
    let mut next = read.at(tiff, 4);
    for _ in 0..2 {
        let Some(directory) = next.filter(|at| *at != 0) else {
            return;
        };
        next = blank_in(&read, tiff, directory);
    }
}

/// Looks through one directory; returns where the next one is.
fn blank_in(read: &Tiff, tiff: &mut [u8], directory: usize) -> Option<usize> {
    let entries = usize::from(read.u16(tiff, directory)?).min(MOST_ENTRIES);
    let first = directory.checked_add(2)?;
    for i in 0..entries {
        let entry = first.checked_add(i * 12)?;
        if read.u16(tiff, entry)? == GPS {
            let gps = read.at(tiff, entry.checked_add(8)?)?;
            blank_gps(read, tiff, gps);
        }
    }
    read.at(tiff, first.checked_add(entries * 12)?)
}

/// Zeros the directory's entries, what they point to, and its count: it stays there, empty.
fn blank_gps(read: &Tiff, tiff: &mut [u8], gps: usize) -> Option<()> {
    let entries = usize::from(read.u16(tiff, gps)?).min(MOST_ENTRIES);
    for i in 0..entries {
        let entry = gps.checked_add(2)?.checked_add(i * 12)?;
        let size = match read.u16(tiff, entry.checked_add(2)?)? {
            3 | 8 => 2,
            4 | 9 | 11 | 13 => 4,
            5 | 10 | 12 => 8,
            _ => 1,
        };
        let bytes = read.at(tiff, entry.checked_add(4)?)?.saturating_mul(size);
        if bytes > 4 {
            let from = read.at(tiff, entry.checked_add(8)?)?;
            let to = from.saturating_add(bytes).min(tiff.len());
            // The header is never what an entry points to.
            if let Some(values) = tiff.get_mut(from.max(8)..to) {
                values.fill(0);
            }
        }
        tiff.get_mut(entry..entry.checked_add(12)?)?.fill(0);
    }
    tiff.get_mut(gps..gps.checked_add(2)?)?.fill(0);
    Some(())
}

/// `<[u8]>::strip_prefix` for what is changed in place.
pub(super) trait StripPrefixMut {
    fn strip_prefix_mut(&mut self, prefix: &[u8]) -> Option<&mut [u8]>;
}

impl StripPrefixMut for [u8] {
    fn strip_prefix_mut(&mut self, prefix: &[u8]) -> Option<&mut [u8]> {
        if self.starts_with(prefix) {
            self.get_mut(prefix.len()..)
        } else {
            None
        }
    }
}

/// Exif with an orientation and a place, for tests.
#[doc(hidden)]
pub fn sample_tiff(little: bool) -> Vec<u8> {
    let u16 = |n: u16| {
        if little {
            n.to_le_bytes()
        } else {
            n.to_be_bytes()
        }
    };
    let u32 = |n: u32| {
        if little {
            n.to_le_bytes()
        } else {
            n.to_be_bytes()
        }
    };
    let mut tiff: Vec<u8> = if little {
        b"II".to_vec()
    } else {
        b"MM".to_vec()
    };
    tiff.extend(u16(42));
    tiff.extend(u32(8));
    let entry = |tag: u16, kind: u16, count: u32, value: [u8; 4]| {
        [&u16(tag)[..], &u16(kind), &u32(count), &value].concat()
    };
    tiff.extend(u16(2));
    let [a, b] = u16(6);
    tiff.extend(entry(0x0112, 3, 1, [a, b, 0, 0]));
    tiff.extend(entry(GPS, 4, 1, u32(38)));
    tiff.extend(u32(0));
    // The GPS directory at 38: latitude, as text of 12 bytes behind the directory (at 38 + 2 + 12 + 4).
    tiff.extend(u16(1));
    tiff.extend(entry(2, 2, 12, u32(56)));
    tiff.extend(u32(0));
    tiff.extend(b"52.5200 13.4");
    tiff
}

/// A small JPEG with an orientation and a place, for tests.
#[doc(hidden)]
pub fn sample(little: bool) -> Vec<u8> {
    let tiff = sample_tiff(little);
    let mut file = vec![0xFF, 0xD8];
    let mut app1 = |body: &[u8]| {
        file.extend([0xFF, 0xE1]);
        file.extend(
            u16::try_from(body.len() + 2)
                .unwrap_or_default()
                .to_be_bytes(),
        );
        file.extend(body);
    };
    app1(&[b"Exif\0\0", &tiff[..]].concat());
    app1(b"http://ns.adobe.com/xap/1.0/\0<x exif:GPSLatitude='52,31.2N'/>");
    file.extend([0xFF, 0xDB, 0, 4, 1, 2]);
    file.extend([0xFF, 0xDA, 0, 2, 9, 9, 9, b'G', b'P', b'S', 0xFF, 0xD9]);
    file
}

#[cfg(test)]
mod tests {
    use super::*;

    fn through(file: &[u8], step: usize) -> Vec<u8> {
        let mut walk = Blanking::default();
        let mut out = Vec::new();
        for piece in file.chunks(step) {
            walk.feed(piece, &mut out);
        }
        walk.finish(&mut out);
        out
    }

    fn has(file: &[u8], text: &[u8]) -> bool {
        file.windows(text.len()).any(|w| w == text)
    }

    #[test]
    fn the_place_goes_and_the_picture_stays() {
        for little in [true, false] {
            let file = sample(little);
            assert!(has(&file, b"52.52") && has(&file, b"52,31"));
            for step in [1, 7, 4096] {
                let out = through(&file, step);
                assert_eq!(out.len(), file.len());
                assert!(
                    !has(&out, b"52.52") && !has(&out, b"52,31"),
                    "little: {little}, step {step}"
                );
                // Orientation, tables and scan are as they were.
                let orientation = if little {
                    &[0x12u8, 0x01][..]
                } else {
                    &[0x01, 0x12]
                };
                assert!(has(&out, orientation));
                assert!(out.ends_with(&file[file.len() - 18..]));
            }
        }
    }

    #[test]
    fn what_is_no_picture_passes_unchanged() {
        for file in [
            &b""[..],
            b"\xFF",
            b"\xFF\xD8",
            b"\xFF\xD8\xFF\xE1\0\x01x",
            b"\xFF\xD8\xFF\xE1\xFF\xFFshort",
            b"\xFF\xD8\xFF\xE1\0\x0AExif\0\0II",
            b"GPS text",
            b"\xFF\xD8hello",
        ] {
            for step in [1, 100] {
                assert_eq!(through(file, step), file);
            }
        }
    }

    #[test]
    fn directories_that_point_anywhere_do_no_harm() {
        let good = sample(true);
        // Every byte of the head set to every one of a few nasty values: no panic, same size.
        for at in 0..good.len().min(120) {
            for value in [0, 1, 0x7F, 0x80, 0xFF] {
                let mut bad = good.clone();
                bad[at] = value;
                assert_eq!(through(&bad, 64).len(), bad.len());
            }
        }
    }
}
