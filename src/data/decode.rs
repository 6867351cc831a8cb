//! From a file's bytes to a [`Picture`].

use std::io::Cursor;

use image::{
    DynamicImage, ImageDecoder, ImageError, ImageFormat, ImageReader, metadata::Orientation,
};

use super::{
    error::DataError,
    image::{Mode, Picture},
};

/// Most pixels a picture may have: a phone's largest photograph fits, and as 8-bit RGBA it takes
/// 400 MB, which a browser can still hold.
const MAX_PIXELS: usize = 100_000_000;

/// How many bytes of pixels any file may ask for, and each of its bytes: flat colours are packed as
/// densely as deflate can, and a header alone claims whatever it likes.
const LEAST_PIXEL_BYTES: u64 = 8 << 20;
const PIXEL_BYTES_EACH: u64 = 1000;

/// Shortest side: the autoencoder turns 8 pixels into one latent.
pub(super) const MIN_SIDE: usize = 8;

/// Longest side over shortest: a resize of the short side to n makes the long one n times this.
const MAX_ASPECT: usize = 32;

/// What is read; a page keeps to what browsers show and cameras write.
const FORMATS: &[ImageFormat] = &[
    ImageFormat::Png,
    ImageFormat::Jpeg,
    ImageFormat::WebP,
    #[cfg(not(target_arch = "wasm32"))]
    ImageFormat::Bmp,
    #[cfg(not(target_arch = "wasm32"))]
    ImageFormat::Gif,
    #[cfg(not(target_arch = "wasm32"))]
    ImageFormat::Tiff,
];

/// Decodes a PNG, JPEG or WebP picture, outside of a browser also BMP, GIF and TIFF (told by its content,
/// not by its `name`).
///
/// The picture is turned upright by its EXIF orientation. Palettes are expanded to RGB
/// ([`Mode::Indexed`]), with opacity where their colours have one ([`Mode::IndexedAlpha`]); so are pictures
/// without a palette of which one colour is transparent ([`Mode::Keyed`]). Of 16-bit samples the high byte
/// is kept. Pillow opens such files the same way but for two things: it leaves turning to the caller, except of
/// TIFF, and 16-bit grey comes out white. An animation gives its first frame.
///
/// # Errors
///
/// One of [`DataError`]'s variants that carry a `name`. The size is judged by the header, before
/// memory for the pixels is taken.
pub fn decode(bytes: &[u8], name: &str) -> Result<Picture, DataError> {
    if bytes.is_empty() {
        return Err(DataError::Empty { name: name.into() });
    }
    let format = match image::guess_format(bytes) {
        Ok(format) if FORMATS.contains(&format) => format,
        _ => return Err(DataError::NotAPicture { name: name.into() }),
    };
    let damaged = |reason: String| DataError::Damaged {
        name: name.into(),
        reason: reason.replace('\n', " "),
    };
    let undecodable = |error: ImageError| match error {
        ImageError::Unsupported(_) => {
            DataError::Unsupported { name: name.into(), reason: error.to_string() }
        }
        _ => damaged(error.to_string()),
    };
    // The decoder makes room for all of them before it reads the first.
    if format == ImageFormat::Tiff && !tiff_is_whole(bytes) {
        return Err(damaged("its directory claims more values than the file has bytes".into()));
    }
    let mut decoder =
        ImageReader::with_format(Cursor::new(bytes), format).into_decoder().map_err(undecodable)?;
    check_size(decoder.dimensions(), name)?;
    if decoder.total_bytes() > LEAST_PIXEL_BYTES + PIXEL_BYTES_EACH * bytes.len() as u64 {
        let ((width, height), length) = (decoder.dimensions(), bytes.len());
        let reason = format!(
            "{length} bytes are too few for the {width} x {height} pixels it claims; if these are of a few \
             flat colours, save it as a grey or RGB PNG of 8 bits"
        );
        return Err(damaged(reason));
    }
    // The decoder would fill the missing rest of a JPEG with grey and say nothing.
    if format == ImageFormat::Jpeg && !jpeg_is_complete(bytes) {
        return Err(damaged("the end of the JPEG data is missing".into()));
    }
    // Unreadable EXIF data is no reason to refuse a picture.
    let orientation = match format {
        // The file itself is built as EXIF data are, and its decoder leaves the tag alone.
        ImageFormat::Tiff => Orientation::from_exif_chunk(bytes),
        // The decoder makes room for as much of them as the file claims to have.
        ImageFormat::WebP if !webp_is_whole(bytes) => None,
        _ => decoder.orientation().ok(),
    };
    let orientation = orientation.unwrap_or(Orientation::NoTransforms);
    let mut decoded = DynamicImage::from_decoder(decoder).map_err(undecodable)?;
    decoded.apply_orientation(orientation);
    Ok(to_picture(decoded, PngHeader::read(bytes, format)))
}

fn check_size((width, height): (u32, u32), name: &str) -> Result<(), DataError> {
    let (width, height, name) = (width as usize, height as usize, name.to_owned());
    let (short, long) = (width.min(height), width.max(height));
    if width.saturating_mul(height) > MAX_PIXELS {
        Err(DataError::TooLarge { name, width, height, limit: MAX_PIXELS / 1_000_000 })
    } else if short < MIN_SIDE {
        Err(DataError::TooSmall { name, width, height, limit: MIN_SIDE })
    } else if long > short.saturating_mul(MAX_ASPECT) {
        Err(DataError::TooNarrow { name, width, height, limit: MAX_ASPECT })
    } else {
        Ok(())
    }
}

/// Whether an end marker follows the start of the first scan; thumbnails, which have end markers of
/// their own, lie before it.
fn jpeg_is_complete(bytes: &[u8]) -> bool {
    const START_OF_SCAN: u8 = 0xDA;
    const END_OF_IMAGE: [u8; 2] = [0xFF, 0xD9];
    let mut rest = bytes.get(2..).unwrap_or_default();
    loop {
        match *rest {
            // Markers may be padded with fill bytes.
            [0xFF, 0xFF, ..] => rest = &rest[1..],
            [0xFF, START_OF_SCAN, ..] => return rest.windows(2).any(|pair| pair == END_OF_IMAGE),
            [0xFF, _, high, low, ..] => {
                let length = usize::from(u16::from_be_bytes([high, low]));
                rest = rest.get(2 + length..).unwrap_or_default();
            }
            _ => return false,
        }
    }
}

/// Whether no chunk of a WebP file claims more bytes than there are.
fn webp_is_whole(bytes: &[u8]) -> bool {
    // behind `RIFF`, the file's length and `WEBP`
    let mut rest = bytes.get(12..).unwrap_or_default();
    while let [_, _, _, _, a, b, c, d, chunk @ ..] = rest {
        let length = u32::from_le_bytes([*a, *b, *c, *d]) as usize;
        let Some(next) = chunk.get(length..) else { return false };
        // a chunk of odd length is followed by a byte of nothing
        rest = next.get(length % 2..).unwrap_or_default();
    }
    true
}

/// Whether a TIFF file has its first directory, and none of its fields claims more values than the file
/// has bytes.
fn tiff_is_whole(bytes: &[u8]) -> bool {
    let number = |place: u64, length: usize| {
        let mut field = [0; 8];
        let stored = bytes.get(usize::try_from(place).ok()?..)?.get(..length)?;
        if bytes.starts_with(b"II") {
            field[..length].copy_from_slice(stored);
            Some(u64::from_le_bytes(field))
        } else {
            field[8 - length..].copy_from_slice(stored);
            Some(u64::from_be_bytes(field))
        }
    };
    // BigTIFF's numbers are longer, but for those of a field's tag and type, 2 bytes each
    let is_big = number(2, 2) == Some(43);
    let (directory, counted, counts) = if is_big { (8, 8, 8) } else { (4, 2, 4) };
    let Some(directory) = number(directory, counts) else { return false };
    let Some(fields) = number(directory, counted) else { return false };
    (0..fields).all(|field| {
        let place = field
            .checked_mul(4 + 2 * counts as u64)
            .and_then(|behind| behind.checked_add(directory)?.checked_add(counted as u64 + 4));
        let values = place.and_then(|place| number(place, counts));
        values.is_some_and(|values| values <= bytes.len() as u64)
    })
}

/// What the decoder does not tell: how a PNG file itself stores its pixels.
struct PngHeader {
    indexed: bool,
    alpha: bool,
}

impl PngHeader {
    fn read(bytes: &[u8], format: ImageFormat) -> Option<Self> {
        if format != ImageFormat::Png {
            return None;
        }
        // Signature (8), chunk length and type (8), width (4), height (4), depth, colour type.
        let (depth, color_type) = (*bytes.get(24)?, *bytes.get(25)?);
        Some(Self {
            indexed: color_type == 3 || (color_type == 0 && depth == 1),
            alpha: color_type & 4 != 0,
        })
    }
}

fn to_picture(decoded: DynamicImage, png: Option<PngHeader>) -> Picture {
    let (width, height) = (decoded.width() as usize, decoded.height() as usize);
    let high_bytes = |samples: Vec<u16>| samples.into_iter().map(|s| (s >> 8) as u8).collect();
    let (mode, pixels) = match decoded {
        DynamicImage::ImageLuma8(pixels) => (Mode::L, pixels.into_raw()),
        DynamicImage::ImageLumaA8(pixels) => (Mode::La, pixels.into_raw()),
        DynamicImage::ImageRgba8(pixels) => (Mode::Rgba, pixels.into_raw()),
        DynamicImage::ImageLuma16(pixels) => (Mode::L, high_bytes(pixels.into_raw())),
        DynamicImage::ImageLumaA16(pixels) => (Mode::La, high_bytes(pixels.into_raw())),
        DynamicImage::ImageRgb16(pixels) => (Mode::Rgb, high_bytes(pixels.into_raw())),
        DynamicImage::ImageRgba16(pixels) => (Mode::Rgba, high_bytes(pixels.into_raw())),
        other => (Mode::Rgb, other.into_rgb8().into_raw()),
    };
    let picture = Picture::new(width, height, mode, pixels);
    match png {
        Some(PngHeader { indexed: true, .. }) => picture.into_indexed(),
        Some(PngHeader { alpha: false, .. }) => picture.into_keyed(),
        _ => picture,
    }
}

#[cfg(test)]
mod tests {
    use image::RgbaImage;

    use super::*;
    use crate::data::resize::Filter;

    #[test]
    fn a_palette_keeps_the_opacity_of_its_colours() {
        let pixel = |i: u8| [i, 9, 7, if i < 128 { 0 } else { 255 }];
        let pixels = RgbaImage::from_raw(16, 16, (0..=255).flat_map(pixel).collect()).unwrap();
        let header = PngHeader { indexed: true, alpha: false };
        let picture = to_picture(DynamicImage::ImageRgba8(pixels), Some(header));
        assert_eq!((picture.mode(), picture.is_transparent()), (Mode::IndexedAlpha, true));
        assert_eq!(picture.opacity().unwrap().pixels()[127..129], [0, 255]);
        assert_eq!(picture.clone().over([255; 3]).pixels()[..3], [255; 3]);
        assert_eq!(picture.into_rgb().pixels()[..6], [0, 9, 7, 1, 9, 7]);
    }

    #[test]
    fn a_sound_picture_of_a_kind_that_is_not_read_is_not_called_damaged() {
        let mut file = Cursor::new(Vec::new());
        let picture = DynamicImage::new_rgb8(16, 16);
        picture.write_to(&mut file, ImageFormat::Tiff).unwrap();
        let sound = file.into_inner();
        assert!(decode(&sound, "a.tif").is_ok());
        // the tag of its colours, one number of 16 bits: RGB, and CIE L*a*b*
        let (rgb, lab) = (b"\x06\x01\x03\0\x01\0\0\0\x02", b"\x06\x01\x03\0\x01\0\0\0\x08");
        let at = sound.windows(rgb.len()).position(|bytes| bytes == rgb).unwrap();
        let lab = [&sound[..at], lab, &sound[at + rgb.len()..]].concat();
        let error = decode(&lab, "a.tif").unwrap_err().to_string();
        assert!(error.contains("save it as an RGB PNG"), "{error}");
    }

    #[test]
    fn one_transparent_colour_is_covered_and_masked_and_changes_no_other() {
        let pixel = |i: u8| [i, 9, 7, if i == 200 { 0 } else { 255 }];
        let pixels = RgbaImage::from_raw(16, 16, (0..=255).flat_map(pixel).collect()).unwrap();
        let header = PngHeader { indexed: false, alpha: false };
        let picture = to_picture(DynamicImage::ImageRgba8(pixels), Some(header));
        assert!(picture.is_transparent());
        assert_eq!(picture.opacity().unwrap().pixels()[199..202], [255, 0, 255]);
        assert_eq!(picture.clone().over([255; 3]).pixels()[200 * 3..201 * 3], [255; 3]);
        // as Pillow, which resizes RGB and keeps that colour aside
        let resized = picture.resize(5, 7, Filter::Bicubic).into_rgb();
        assert_eq!(resized, picture.into_rgb().resize(5, 7, Filter::Bicubic));

        let grey = image::GrayAlphaImage::from_fn(8, 8, |x, _| image::LumaA([9, x as u8 * 36]));
        let header = PngHeader { indexed: false, alpha: false };
        let grey = to_picture(DynamicImage::ImageLumaA8(grey), Some(header));
        assert_eq!((grey.mode(), &grey.pixels()[..4]), (Mode::Keyed, &[9, 9, 9, 0][..]));
    }
}
