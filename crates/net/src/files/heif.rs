//! HEIF files (ISO/IEC 23008-12: HEIC, AVIF), for blanking where a picture was taken. Their first boxes (ISO/IEC 14496-12)
//! say where in the file the Exif and the XMP lie; those are blanked as in JPEG files when the walk comes to them.
//!
//! A file that says what is in it only behind the picture itself, which no camera writes, passes unchanged.

use super::chunks::{MOST, Step};
use super::exif::{blank_exif, names_gps};

/// Items of a file that can tell a place, at most; of more, the rest becomes zeros like these.
const MOST_ITEMS: usize = 64;
/// Entries of a table that are looked at.
const MOST_ENTRIES: u64 = 100_000;

/// What an item is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Tells {
    Exif,
    Xmp,
    /// In several parts: none of them can be read alone.
    Parts,
}

/// Bytes of the file that can tell a place.
#[derive(Debug, PartialEq, Eq)]
struct Range {
    from: u64,
    length: u64,
    tells: Tells,
}

/// The walk, from the first byte of the file.
#[derive(Default)]
pub struct Heif {
    at: u64,
    /// Where the box that is passed ends.
    until: u64,
    /// Behind `at`, in order.
    ranges: Vec<Range>,
    /// So many bytes become zeros.
    zeros: u64,
}

/// Whether a file that begins like this is one.
pub fn begins(head: &[u8]) -> bool {
    let brand = head.get(8..12).unwrap_or_default();
    let brands: [&[u8]; 9] = [
        b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1", b"avif",
    ];
    head.get(4..8) == Some(b"ftyp") && (brands.contains(&brand) || brand == b"avis")
}

/// Whether more bytes could make it one.
pub fn may_begin(head: &[u8]) -> bool {
    let name = head.get(4..8.min(head.len())).unwrap_or_default();
    head.len() < 12 && head.first().is_none_or(|b| *b == 0) && b"ftyp".starts_with(name)
}

impl Heif {
    /// Goes on with what is there.
    pub fn step(&mut self, rest: &mut [u8]) -> Step {
        let step = self.look(rest);
        if let Step::Done(n) = step {
            self.at = self.at.saturating_add(n as u64);
            let at = self.at;
            self.ranges.retain(|range| range.from >= at);
        }
        step
    }

    fn look(&mut self, rest: &mut [u8]) -> Step {
        let here = rest.len() as u64;
        let now = |bytes: u64| usize::try_from(bytes).unwrap_or(usize::MAX);
        if rest.is_empty() {
            return Step::More;
        }
        if self.zeros > 0 {
            let n = now(self.zeros.min(here));
            rest.get_mut(..n).unwrap_or_default().fill(0);
            self.zeros -= n as u64;
            return Step::Done(n);
        }
        if self.at >= self.until {
            return self.next_box(rest);
        }
        let left = self.until - self.at;
        let Some(range) = self.ranges.first() else {
            return Step::Done(now(left.min(here)));
        };
        if range.from > self.at {
            return Step::Done(now(left.min(here).min(range.from - self.at)));
        }
        let length = range.length.min(left);
        if length > MOST as u64 || range.tells == Tells::Parts {
            self.zeros = length;
            self.ranges.remove(0);
            return Step::Done(0);
        }
        let Some(data) = rest.get_mut(..now(length)) else {
            return Step::More;
        };
        blank(range.tells, data);
        self.ranges.remove(0);
        Step::Done(now(length))
    }

    fn next_box(&mut self, rest: &mut [u8]) -> Step {
        let Some((name, head, size)) = header(rest) else {
            return if rest.len() < 16 {
                Step::More
            } else {
                Step::Through
            };
        };
        if &name != b"meta" || size > MOST as u64 {
            self.until = self.at.saturating_add(size);
            return Step::Done(head);
        }
        let Some(meta) = usize::try_from(size).ok().and_then(|n| rest.get_mut(..n)) else {
            return Step::More;
        };
        let end = meta.len();
        let mut ranges = items(meta, head).unwrap_or_default();
        ranges.sort_by_key(|range| range.from);
        self.ranges = ranges;
        self.until = self.at.saturating_add(size);
        Step::Done(end)
    }
}

/// Name, length of the header, length of the whole box (14496-12 §4.2). The last box may have no length.
fn header(data: &[u8]) -> Option<([u8; 4], usize, u64)> {
    let [a, b, c, d, name @ ..] = *data.first_chunk::<8>()?;
    match u32::from_be_bytes([a, b, c, d]) {
        0 => Some((name, 8, u64::MAX)),
        1 => {
            let size = u64::from_be_bytes(*data.get(8..)?.first_chunk()?);
            (size >= 16).then_some((name, 16, size))
        }
        size => (size >= 8).then_some((name, 8, u64::from(size))),
    }
}

/// Reads numbers of any width, one after the other.
struct Reader<'a>(&'a [u8]);

impl Reader<'_> {
    fn number(&mut self, bytes: usize) -> Option<u64> {
        let (now, later) = self.0.split_at_checked(bytes)?;
        self.0 = later;
        Some(now.iter().fold(0, |n, b| (n << 8) | u64::from(*b)))
    }

    fn skip(&mut self, bytes: usize) -> Option<()> {
        self.0 = self.0.get(bytes..)?;
        Some(())
    }
}

/// The boxes inside one: names, and where their contents are.
fn boxes(data: &[u8], mut at: usize) -> Vec<([u8; 4], std::ops::Range<usize>)> {
    let mut found = Vec::new();
    while let Some((name, head, size)) = data.get(at..).and_then(header) {
        let size = usize::try_from(size).unwrap_or(usize::MAX);
        let end = at.saturating_add(size).min(data.len());
        found.push((name, at + head..end));
        at = end;
    }
    found
}

/// What of the items can tell a place and lies elsewhere in the file; what lies in the box itself is blanked at once.
fn items(meta: &mut [u8], head: usize) -> Option<Vec<Range>> {
    // A full box: version and flags.
    let inside = boxes(meta, head + 4);
    let content = |name: &[u8; 4]| {
        inside
            .iter()
            .find(|(n, _)| n == name)
            .map(|(_, at)| at.clone())
    };
    let telling = telling(meta.get(content(b"iinf")?)?)?;
    let places = places(meta.get(content(b"iloc")?)?, &telling)?;
    let own = content(b"idat");
    let mut ranges = Vec::new();
    for (in_box, range) in places {
        if !in_box {
            ranges.push(range);
            continue;
        }
        let from = usize::try_from(range.from)
            .ok()?
            .checked_add(own.as_ref()?.start)?;
        let to = from.checked_add(usize::try_from(range.length).ok()?)?;
        match (meta.get_mut(from..to), range.tells) {
            (Some(data), Tells::Parts) => data.fill(0),
            (Some(data), tells) => blank(tells, data),
            (None, _) => {}
        }
    }
    Some(ranges)
}

/// Which items can tell a place (14496-12 §8.11.6).
fn telling(iinf: &[u8]) -> Option<Vec<(u64, Tells)>> {
    let version = *iinf.first()?;
    let begin = if version == 0 { 6 } else { 8 };
    let mut found = Vec::new();
    for (name, at) in boxes(iinf, begin) {
        let mut entry = Reader(iinf.get(at)?);
        let version = entry.number(1)?;
        if &name != b"infe" || version < 2 {
            continue;
        }
        entry.skip(3)?;
        let id = entry.number(if version == 2 { 2 } else { 4 })?;
        entry.skip(2)?;
        let xmp = b"application/rdf+xml";
        match entry.0.first_chunk::<4>() {
            Some(b"Exif") => found.push((id, Tells::Exif)),
            Some(b"mime") if entry.0.windows(xmp.len()).any(|w| w == xmp) => {
                found.push((id, Tells::Xmp));
            }
            _ => {}
        }
    }
    Some(found)
}

/// Where those items are (14496-12 §8.11.3): whether in the box itself, and where.
fn places(iloc: &[u8], telling: &[(u64, Tells)]) -> Option<Vec<(bool, Range)>> {
    let mut all = Reader(iloc);
    let version = all.number(1)?;
    all.skip(3)?;
    let sizes = all.number(2)?;
    let size = |shift: u32| usize::try_from((sizes >> shift) & 15).unwrap_or(0);
    let (offset, length, base) = (size(12), size(8), size(4));
    let index = if version > 0 { size(0) } else { 0 };
    let wide = if version < 2 { 2 } else { 4 };
    let count = all.number(wide)?.min(MOST_ENTRIES);
    let mut found = Vec::new();
    for _ in 0..count {
        let id = all.number(wide)?;
        let method = if version > 0 { all.number(2)? & 15 } else { 0 };
        all.skip(2)?;
        let base = all.number(base)?;
        let extents = all.number(2)?;
        let tells = telling.iter().find(|(known, _)| *known == id);
        for _ in 0..extents {
            all.skip(index)?;
            let from = base.saturating_add(all.number(offset)?);
            let length = all.number(length)?;
            let Some((_, tells)) = tells.filter(|_| method < 2) else {
                continue;
            };
            let parts = extents > 1 || found.len() >= MOST_ITEMS;
            let tells = if parts { Tells::Parts } else { *tells };
            let range = Range {
                from,
                length,
                tells,
            };
            found.push((method == 1, range));
        }
    }
    Some(found)
}

fn blank(tells: Tells, data: &mut [u8]) {
    if tells == Tells::Xmp {
        if names_gps(data) {
            data.fill(b' ');
        }
        return;
    }
    // How far the TIFF header is from here (23008-12 §A.2.1); some write the prefix that Exif has in JPEG files.
    let begins = |w: &[u8]| w == b"II*\0" || w == b"MM\0*";
    match data.windows(4).take(64).position(begins) {
        Some(at) => blank_exif(data.get_mut(at..).unwrap_or_default()),
        None => data.fill(0),
    }
}

#[cfg(test)]
mod tests {
    use super::super::exif::{Blanking, sample_tiff};

    const PLACE: &[u8] = b"52.5200 13.4";

    fn a_box(name: &[u8; 4], content: &[u8]) -> Vec<u8> {
        let size = u32::try_from(content.len() + 8).unwrap().to_be_bytes();
        [&size[..], name, content].concat()
    }

    fn infe(id: u16, kind: &[u8; 4], more: &[u8]) -> Vec<u8> {
        let content = [
            &[2, 0, 0, 0][..],
            &id.to_be_bytes(),
            &[0, 0],
            kind,
            b"\0",
            more,
        ]
        .concat();
        a_box(b"infe", &content)
    }

    /// A picture (item 1), Exif (2) and XMP (3); `method` is where the last two are: 0 in the file, 1 in the box.
    fn heic(method: u16, extents: usize) -> Vec<u8> {
        let exif = [&6_u32.to_be_bytes()[..], b"Exif\0\0", &sample_tiff(false)].concat();
        let xmp = b"<x exif:GPSLatitude='55,40N'/>".to_vec();
        let infos = [
            infe(1, b"hvc1", b""),
            infe(2, b"Exif", b""),
            infe(3, b"mime", b"application/rdf+xml\0"),
        ];
        let iinf = a_box(
            b"iinf",
            &[&[0, 0, 0, 0, 0, 3][..], &infos.concat()].concat(),
        );
        let build = |data_at: u32| {
            let mut iloc = vec![1, 0, 0, 0, 0x44, 0, 0, 3];
            let mut at = if method == 1 { 0 } else { data_at };
            for (id, data) in [(1_u16, &b"the picture"[..]), (2, &exif), (3, &xmp)] {
                let inside = if id == 1 { 0 } else { method };
                iloc.extend([id.to_be_bytes(), inside.to_be_bytes(), [0, 0]].concat());
                let count = if id == 2 { extents } else { 1 };
                iloc.extend(u16::try_from(count).unwrap().to_be_bytes());
                let length = u32::try_from(data.len()).unwrap();
                let (mut from, each) =
                    (if id == 1 { 9_999_999 } else { at }, length / count as u32);
                for n in 0..count {
                    let last = n + 1 == count;
                    let size = if last { length - each * n as u32 } else { each };
                    iloc.extend([from.to_be_bytes(), size.to_be_bytes()].concat());
                    from += each;
                }
                if id > 1 {
                    at += length;
                }
            }
            let mut meta = [vec![0; 4], iinf.clone(), a_box(b"iloc", &iloc)].concat();
            let data = [&exif[..], &xmp].concat();
            if method == 1 {
                meta.extend(a_box(b"idat", &data));
            }
            let mut file = a_box(b"ftyp", b"heic\0\0\0\0mif1heic");
            file.extend(a_box(b"meta", &meta));
            let begins = file.len() + 8 + 5;
            let more = if method == 1 { Vec::new() } else { data };
            file.extend(a_box(
                b"mdat",
                &[b"GPS: ", &more[..], b"the picture"].concat(),
            ));
            (file, u32::try_from(begins).unwrap())
        };
        let (_, begins) = build(0);
        build(begins).0
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
        for size in [1, 3, 64] {
            assert_eq!(run(size), out, "in pieces of {size}");
        }
        assert_eq!(out.len(), file.len());
        out
    }

    fn holds(file: &[u8], what: &[u8]) -> bool {
        file.windows(what.len()).any(|w| w == what)
    }

    #[test]
    fn a_heic_picture_says_no_longer_where_it_was_taken() {
        for (method, extents) in [(0, 1), (1, 1), (0, 2), (1, 3)] {
            let file = heic(method, extents);
            assert!(holds(&file, PLACE) && holds(&file, b"55,40N"));
            let out = blanked(&file);
            assert!(
                !holds(&out, PLACE) && !holds(&out, b"55,40N"),
                "{method} {extents}"
            );
            assert!(
                holds(&out, b"the picture") && holds(&out, b"GPS: "),
                "{method} {extents}"
            );
            // What else Exif says stays where it is in one piece.
            assert_eq!(holds(&out, &[0x01, 0x12, 0, 3]), extents == 1);
        }
    }

    #[test]
    fn other_files_of_boxes_pass_unchanged() {
        let mut film = heic(0, 1);
        film.get_mut(8..12).unwrap().copy_from_slice(b"isom");
        assert_eq!(blanked(&film), film);
        let empty = a_box(b"ftyp", b"avif\0\0\0\0");
        assert_eq!(blanked(&empty), empty);
    }

    #[test]
    fn damaged_and_cut_files_pass_without_a_panic() {
        for good in [heic(0, 1), heic(1, 2)] {
            for end in 0..good.len() {
                assert_eq!(blanked(good.get(..end).unwrap()).len(), end);
            }
            for at in 0..good.len() {
                for value in [0, 1, 0x7F, 0xFF] {
                    let mut bad = good.clone();
                    *bad.get_mut(at).unwrap() = value;
                    let (mut blanking, mut out) = (Blanking::default(), Vec::new());
                    blanking.feed(&bad, &mut out);
                    blanking.finish(&mut out);
                    assert_eq!(out.len(), bad.len());
                }
            }
        }
    }
}
