//! The chunks of PNG (W3C PNG, §5) and WebP (RFC 9649) files, for blanking where a picture was taken: Exif as in JPEG
//! files, XMP and other texts that name GPS properties. Nothing moves and the size stays; checksums are made anew.

use super::exif::{StripPrefixMut as _, blank_exif, names_gps};

/// The longest chunk that is looked into; a longer one of those that can tell a place becomes zeros.
pub const MOST: usize = 1 << 20;
/// What is held at most of a file.
pub const LONGEST: usize = MOST + 16;
/// What a chunk is called whose content went: ancillary, private, safe to copy (PNG §5.4).
const GONE: [u8; 4] = *b"saMm";

/// What a file is.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// PNG.
    Png,
    /// WebP.
    WebP,
}

impl Kind {
    /// What begins like this, and how long its beginning is; `None` for neither.
    pub fn of(head: &[u8]) -> Option<(Self, usize)> {
        if head.starts_with(b"\x89PNG\r\n\x1a\n") {
            return Some((Self::Png, 8));
        }
        let riff = head.starts_with(b"RIFF") && head.get(8..12) == Some(b"WEBP");
        riff.then_some((Self::WebP, 12))
    }

    /// Whether more bytes could make it one of them.
    pub fn may_be(head: &[u8]) -> bool {
        let begins = |what: &[u8]| head.iter().zip(what).all(|(a, b)| a == b);
        head.len() < 8 && begins(b"\x89PNG\r\n\x1a\n") || head.len() < 12 && begins(b"RIFF")
    }
}

enum State {
    Between,
    /// So many bytes stay as they are.
    Pass(u64),
    /// So many bytes become zeros.
    Zero(u64, Crc),
    /// The checksum of what became zeros.
    Sum(Crc),
}

/// What a step did.
pub enum Step {
    /// So many bytes are ready.
    Done(usize),
    /// It needs more bytes.
    More,
    /// The rest of the file stays as it is.
    Through,
}

/// The walk.
pub struct Chunks {
    kind: Kind,
    state: State,
}

impl Chunks {
    /// Behind a file's beginning.
    pub fn new(kind: Kind) -> Self {
        Self {
            kind,
            state: State::Between,
        }
    }

    /// Goes on with what is there.
    pub fn step(&mut self, rest: &mut [u8]) -> Step {
        let fits = |left: u64, here: usize| usize::try_from(left).map_or(here, |n| n.min(here));
        match &mut self.state {
            State::Between => self.chunk(rest),
            State::Pass(0) => {
                self.state = State::Between;
                Step::Done(0)
            }
            _ if rest.is_empty() => Step::More,
            State::Pass(left) => {
                let now = fits(*left, rest.len());
                *left -= now as u64;
                Step::Done(now)
            }
            State::Zero(0, crc) => {
                self.state = match self.kind {
                    Kind::Png => State::Sum(*crc),
                    Kind::WebP => State::Between,
                };
                Step::Done(0)
            }
            State::Zero(left, crc) => {
                let now = fits(*left, rest.len());
                let zeros = rest.get_mut(..now).unwrap_or_default();
                zeros.fill(0);
                crc.add(zeros);
                *left -= now as u64;
                Step::Done(now)
            }
            State::Sum(crc) => {
                let Some(sum) = rest.first_chunk_mut::<4>() else {
                    return Step::More;
                };
                *sum = crc.sum();
                self.state = State::Between;
                Step::Done(4)
            }
        }
    }

    fn chunk(&mut self, rest: &mut [u8]) -> Step {
        let Some(head) = rest.first_chunk::<8>() else {
            return Step::More;
        };
        let [a, b, c, d, e, f, g, h] = *head;
        let (name, length, tail) = match self.kind {
            Kind::Png => ([e, f, g, h], u32::from_be_bytes([a, b, c, d]), 4),
            Kind::WebP => {
                let length = u32::from_le_bytes([e, f, g, h]);
                ([a, b, c, d], length, u64::from(length & 1))
            }
        };
        // PNG §5.3.
        if self.kind == Kind::Png && (length > i32::MAX as u32 || name == *b"IEND") {
            return Step::Through;
        }
        let tells = match self.kind {
            Kind::Png => matches!(&name, b"eXIf" | b"tEXt" | b"zTXt" | b"iTXt"),
            Kind::WebP => matches!(&name, b"EXIF" | b"XMP "),
        };
        if !tells {
            self.state = State::Pass(u64::from(length) + tail);
            return Step::Done(8);
        }
        let size = usize::try_from(length).unwrap_or(usize::MAX);
        if size > MOST {
            let mut crc = Crc::default();
            if self.kind == Kind::Png {
                rename(rest);
                crc.add(&GONE);
            }
            let padding = if self.kind == Kind::WebP { tail } else { 0 };
            self.state = State::Zero(u64::from(length) + padding, crc);
            return Step::Done(8);
        }
        let whole = 8 + size + usize::try_from(tail).unwrap_or(0);
        let Some(chunk) = rest.get_mut(..whole) else {
            return Step::More;
        };
        match self.kind {
            Kind::Png => png(&name, chunk),
            Kind::WebP => webp(&name, chunk.get_mut(8..8 + size).unwrap_or_default()),
        }
        Step::Done(whole)
    }
}

fn rename(chunk: &mut [u8]) {
    if let Some(name) = chunk.get_mut(4..8) {
        name.copy_from_slice(&GONE);
    }
}

/// A whole chunk: length, name, data, checksum.
fn png(name: &[u8; 4], chunk: &mut [u8]) {
    let end = chunk.len().saturating_sub(4);
    let data = chunk.get_mut(8..end).unwrap_or_default();
    if name == b"eXIf" {
        blank_exif(data);
    } else if tells_place(name, data) {
        data.fill(0);
        rename(chunk);
    } else {
        return;
    }
    let mut crc = Crc::default();
    crc.add(chunk.get(4..end).unwrap_or_default());
    if let Some(sum) = chunk.get_mut(end..) {
        sum.copy_from_slice(&crc.sum());
    }
}

/// A text that can tell a place: one that names GPS properties, and Exif or XMP that nobody can look into because it is
/// compressed or written in hexadecimal.
fn tells_place(name: &[u8; 4], data: &[u8]) -> bool {
    let keyword = data.split(|b| *b == 0).next().unwrap_or_default();
    let raw = ["exif", "APP1", "xmp"]
        .iter()
        .any(|what| keyword == format!("Raw profile type {what}").as_bytes());
    let xmp = keyword == b"XML:com.adobe.xmp";
    let compressed = name == b"zTXt" || name == b"iTXt" && data.get(keyword.len() + 1) == Some(&1);
    raw || xmp && compressed || names_gps(data)
}

fn webp(name: &[u8; 4], data: &mut [u8]) {
    if name == b"EXIF" {
        // Some programs write the prefix that Exif has in JPEG files.
        match data.strip_prefix_mut(b"Exif\0\0") {
            Some(tiff) => blank_exif(tiff),
            None => blank_exif(data),
        }
    } else if names_gps(data) {
        data.fill(b' ');
    }
}

/// The checksum of PNG (§5.5): CRC-32 of ISO 3309.
#[derive(Clone, Copy)]
struct Crc(u32);

impl Default for Crc {
    fn default() -> Self {
        Self(u32::MAX)
    }
}

impl Crc {
    fn add(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 ^= u32::from(*byte);
            for _ in 0..8 {
                let odd = self.0 & 1;
                self.0 = (self.0 >> 1) ^ (0xEDB8_8320 * odd);
            }
        }
    }

    fn sum(self) -> [u8; 4] {
        (!self.0).to_be_bytes()
    }
}

#[cfg(test)]
mod tests {
    use super::super::exif::{Blanking, sample_tiff};
    use super::*;

    const PLACE: &[u8] = b"52.5200 13.4";

    fn tiff() -> Vec<u8> {
        sample_tiff(true)
    }

    fn chunk(name: &[u8; 4], data: &[u8]) -> Vec<u8> {
        let mut crc = Crc::default();
        crc.add(name);
        crc.add(data);
        let length = u32::try_from(data.len()).unwrap().to_be_bytes();
        [&length[..], name, data, &crc.sum()].concat()
    }

    fn png(chunks: &[Vec<u8>]) -> Vec<u8> {
        let mut file = b"\x89PNG\r\n\x1a\n".to_vec();
        file.extend(chunk(b"IHDR", &[0; 13]));
        file.extend(chunks.concat());
        file.extend(chunk(b"IDAT", b"the picture"));
        file.extend(chunk(b"IEND", b""));
        file
    }

    fn webp(chunks: &[(&[u8; 4], Vec<u8>)]) -> Vec<u8> {
        let mut body = b"WEBP".to_vec();
        for (name, data) in chunks {
            body.extend_from_slice(*name);
            body.extend(u32::try_from(data.len()).unwrap().to_le_bytes());
            body.extend(data);
            body.extend(std::iter::repeat_n(0, data.len() & 1));
        }
        let size = u32::try_from(body.len()).unwrap().to_le_bytes();
        [b"RIFF", &size[..], &body].concat()
    }

    /// Fed in pieces of any size, it is the same.
    fn blanked(file: &[u8]) -> Vec<u8> {
        let run = |size: usize| {
            let (mut blanking, mut out) = (Blanking::default(), Vec::new());
            for piece in file.chunks(size) {
                blanking.feed(piece, &mut out);
            }
            blanking.finish(&mut out);
            out
        };
        let out = run(file.len().max(1));
        for size in [1, 2, 3, 7, 64] {
            assert_eq!(run(size), out, "in pieces of {size}");
        }
        assert_eq!(out.len(), file.len());
        out
    }

    fn holds(file: &[u8], what: &[u8]) -> bool {
        file.windows(what.len()).any(|w| w == what)
    }

    /// Each chunk's name, with a good checksum.
    fn names(file: &[u8]) -> Vec<String> {
        let (mut names, mut at) = (Vec::new(), 8);
        while at < file.len() {
            let length = u32::from_be_bytes(file[at..at + 4].try_into().unwrap()) as usize;
            let mut crc = Crc::default();
            crc.add(&file[at + 4..at + 8 + length]);
            assert_eq!(file[at + 8 + length..][..4], crc.sum());
            names.push(String::from_utf8(file[at + 4..at + 8].to_vec()).unwrap());
            at += 12 + length;
        }
        names
    }

    #[test]
    fn the_checksum_is_that_of_every_png() {
        assert_eq!(chunk(b"IEND", b"")[8..], [0xAE, 0x42, 0x60, 0x82]);
    }

    #[test]
    fn a_png_says_no_longer_where_it_was_taken() {
        let plain = png(&[chunk(b"tEXt", b"Author\0Alice"), chunk(b"gAMA", b"0000")]);
        assert_eq!(blanked(&plain), plain);
        let file = png(&[
            chunk(b"eXIf", &tiff()),
            chunk(b"tEXt", b"exif:GPSLatitude\x0055/1, 40/1"),
            chunk(
                b"iTXt",
                b"XML:com.adobe.xmp\0\0\0\0\0<x exif:GPSLatitude='55,40N'/>",
            ),
            chunk(b"iTXt", b"XML:com.adobe.xmp\0\x01\0\0\0deflated-xmp"),
            chunk(b"zTXt", b"Raw profile type exif\0\0deflated-exif"),
            chunk(b"zTXt", b"Raw profile type icc\0\0deflated-colours"),
            chunk(b"tEXt", b"Author\0Alice"),
        ]);
        assert!(holds(&file, PLACE));
        let out = blanked(&file);
        let hidden: [&[u8]; 5] = [PLACE, b"55/1", b"55,40N", b"deflated-xmp", b"deflated-exif"];
        for gone in hidden {
            assert!(!holds(&out, gone));
        }
        for stays in [&b"deflated-colours"[..], b"Alice", b"the picture"] {
            assert!(holds(&out, stays));
        }
        assert_eq!(
            names(&out),
            [
                "IHDR", "eXIf", "saMm", "saMm", "saMm", "saMm", "zTXt", "tEXt", "IDAT", "IEND"
            ]
        );
        let long = [b"XML:com.adobe.xmp\0\0\0\0\0".to_vec(), vec![b'7'; MOST]].concat();
        let out = blanked(&png(&[chunk(b"iTXt", &long)]));
        assert!(!holds(&out, b"77") && holds(&out, b"the picture"));
        assert_eq!(names(&out), ["IHDR", "saMm", "IDAT", "IEND"]);
    }

    #[test]
    fn a_webp_says_no_longer_where_it_was_taken() {
        let picture = || (b"VP8 ", b"the picture".to_vec());
        for exif in [tiff(), [&b"Exif\0\0"[..], &tiff()].concat()] {
            let file = webp(&[
                picture(),
                (b"EXIF", exif),
                (b"XMP ", b"<x exif:GPSLatitude='55,40N'/>".to_vec()),
            ]);
            assert!(holds(&file, PLACE));
            let out = blanked(&file);
            assert!(!holds(&out, PLACE) && !holds(&out, b"55,40N"));
            assert!(holds(&out, b"the picture") && holds(&out, b"EXIF"));
        }
        let file = webp(&[picture(), (b"XMP ", b"<x dc:creator='Alice'/>".to_vec())]);
        assert_eq!(blanked(&file), file);
    }

    #[test]
    fn cut_files_pass_without_a_panic() {
        let file = png(&[chunk(b"eXIf", &tiff()), chunk(b"tEXt", b"a\0GPS")]);
        let other = webp(&[(b"EXIF", tiff())]);
        for file in [file, other] {
            for end in 0..file.len() {
                assert_eq!(blanked(&file[..end]).len(), end);
            }
        }
    }
}
