//! Small pictures of what strangers send: only formats that carry no scripts, and no more memory than a picture may take.

use std::io::Cursor;

use bytes::Bytes;
use image::{ImageDecoder as _, ImageFormat, ImageReader, imageops::FilterType};

/// Points of a picture that is made smaller: what is more takes too much memory (four bytes each).
const POINTS: u64 = 32_000_000;
/// Memory for reading one.
const MEMORY: u64 = 160 << 20;
/// Points of a side.
const SIDE: u32 = 16_384;

/// How a picture is brought into a size.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Fit {
    /// Fills the size; what stands out is cut.
    Crop,
    /// All of it, within the size.
    Scale,
}

/// Why no small picture is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unfit {
    /// It is no picture, a broken one, or of a format that is not read.
    #[error("no small picture can be made of this")]
    NoPicture,
    /// It takes too much memory.
    #[error("the picture is too large")]
    TooLarge,
}

/// Media type and bytes.
pub type Made = (&'static str, Bytes);

/// What the first bytes say; SVG can carry scripts and is none of them.
pub fn sniff(bytes: &[u8]) -> Option<&'static str> {
    Some(match image::guess_format(bytes).ok()? {
        ImageFormat::Png => "image/png",
        ImageFormat::Jpeg => "image/jpeg",
        ImageFormat::Gif => "image/gif",
        ImageFormat::WebP => "image/webp",
        _ => return None,
    })
}

/// Width and height, without reading the rest.
pub fn dimensions(bytes: &[u8]) -> Option<(u32, u32)> {
    sniff(bytes)?;
    let reader = ImageReader::new(Cursor::new(bytes)).with_guessed_format();
    reader.ok()?.into_dimensions().ok()
}

/// Makes a picture smaller; `None` where it is small already. Blocking, and slow.
///
/// # Errors
/// Why not.
pub fn smaller(bytes: &[u8], width: u32, height: u32, fit: Fit) -> Result<Option<Made>, Unfit> {
    sniff(bytes).ok_or(Unfit::NoPicture)?;
    let mut reader = ImageReader::new(Cursor::new(bytes))
        .with_guessed_format()
        .map_err(|_| Unfit::NoPicture)?;
    let mut limits = image::Limits::default();
    limits.max_alloc = Some(MEMORY);
    limits.max_image_width = Some(SIDE);
    limits.max_image_height = Some(SIDE);
    reader.limits(limits);
    let mut decoder = reader.into_decoder().map_err(|_| Unfit::NoPicture)?;
    let (w, h) = decoder.dimensions();
    if u64::from(w) * u64::from(h) > POINTS || decoder.total_bytes() > MEMORY {
        return Err(Unfit::TooLarge);
    }
    if w <= width && h <= height {
        return Ok(None);
    }
    let turned = decoder.orientation().ok();
    let mut picture = image::DynamicImage::from_decoder(decoder).map_err(|_| Unfit::NoPicture)?;
    if let Some(turned) = turned {
        picture.apply_orientation(turned);
    }
    let small = match fit {
        Fit::Crop => {
            // Cut first: what is made larger to be cut afterwards could be made very large.
            let (w, h) = (picture.width(), picture.height());
            let (long, wide) = (
                u64::from(w) * u64::from(height),
                u64::from(h) * u64::from(width),
            );
            let part = |of: u32, by: u32, over: u32| {
                let part = u64::from(of) * u64::from(by) / u64::from(over.max(1));
                u32::try_from(part).unwrap_or(u32::MAX).max(1)
            };
            let (cut_w, cut_h) = if long > wide {
                (part(h, width, height).min(w), h)
            } else {
                (w, part(w, height, width).min(h))
            };
            let cut = picture.crop_imm((w - cut_w) / 2, (h - cut_h) / 2, cut_w, cut_h);
            cut.resize(width.min(cut_w), height.min(cut_h), FilterType::Triangle)
        }
        Fit::Scale => picture.resize(width, height, FilterType::Triangle),
    };
    drop(picture);
    let mut out = Cursor::new(Vec::new());
    let (media_type, written) = if small.color().has_alpha() {
        let small = image::DynamicImage::from(small.into_rgba8());
        ("image/png", small.write_to(&mut out, ImageFormat::Png))
    } else {
        let small = image::DynamicImage::from(small.into_rgb8());
        ("image/jpeg", small.write_to(&mut out, ImageFormat::Jpeg))
    };
    written.map_err(|_| Unfit::NoPicture)?;
    Ok(Some((media_type, out.into_inner().into())))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn png(width: u32, height: u32) -> Vec<u8> {
        let mut out = Cursor::new(Vec::new());
        let picture = image::RgbImage::from_fn(width, height, |x, _| {
            image::Rgb([u8::try_from(x % 256).unwrap(), 0, 0])
        });
        picture.write_to(&mut out, ImageFormat::Png).unwrap();
        out.into_inner()
    }

    #[test]
    fn a_picture_becomes_small_and_never_larger() {
        let (kind, small) = smaller(&png(400, 100), 96, 96, Fit::Crop).unwrap().unwrap();
        assert_eq!(kind, "image/jpeg");
        let small = image::load_from_memory(&small).unwrap();
        assert_eq!((small.width(), small.height()), (96, 96));
        let (_, small) = smaller(&png(640, 320), 320, 240, Fit::Scale)
            .unwrap()
            .unwrap();
        let small = image::load_from_memory(&small).unwrap();
        assert_eq!((small.width(), small.height()), (320, 160));
        assert!(smaller(&png(20, 20), 32, 32, Fit::Crop).unwrap().is_none());
        // A line of points is cut and not blown up.
        for (width, height) in [(SIDE, 1), (1, SIDE)] {
            for (to_width, to_height, fit) in [(96, 96, Fit::Crop), (800, 600, Fit::Scale)] {
                let made = smaller(&png(width, height), to_width, to_height, fit).unwrap();
                let small = image::load_from_memory(&made.unwrap().1).unwrap();
                assert!(small.width() <= to_width && small.height() <= to_height);
            }
        }
        assert!(smaller(&png(SIDE + 1, 1), 96, 96, Fit::Crop).is_err());
    }

    #[test]
    fn bombs_and_what_is_no_picture_are_refused() {
        // The header of a PNG that says that it is 60,000 points wide and high.
        let mut bomb = png(8, 8);
        bomb.get_mut(16..24)
            .unwrap()
            .copy_from_slice(&[0, 0, 0xEA, 0x60, 0, 0, 0xEA, 0x60]);
        for bad in [&bomb[..], b"", b"<svg/>", &png(300, 300)[..60]] {
            assert!(smaller(bad, 96, 96, Fit::Crop).is_err());
        }
    }
}
