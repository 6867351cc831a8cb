//! Writing pictures: PNG bytes and contact sheets.

use image::{ExtendedColorType, ImageEncoder, codecs::png::PngEncoder};

use super::{
    error::DataError,
    image::{Mode, Picture, check_rgb},
};

/// White pixels between neighbours of a [`grid`].
const GAP: usize = 2;

/// Encodes `rgb`, `[height, width, 3]`, as a PNG file's bytes.
///
/// # Errors
///
/// [`DataError::WrongLength`] if the number of bytes is not `height * width * 3`,
/// [`DataError::Encode`] if a side is zero or beyond what PNG can hold.
pub fn encode_png(width: usize, height: usize, rgb: &[u8]) -> Result<Vec<u8>, DataError> {
    check_rgb(width, height, rgb)?;
    let refused = |reason: String| DataError::Encode { width, height, reason };
    let side = |pixels: usize| u32::try_from(pixels).map_err(|error| refused(error.to_string()));
    let mut file = Vec::new();
    PngEncoder::new(&mut file)
        .write_image(rgb, side(width)?, side(height)?, ExtendedColorType::Rgb8)
        .map_err(|error| refused(error.to_string()))?;
    Ok(file)
}

/// An RGB picture as a PNG file's bytes.
///
/// # Errors
///
/// Those of [`encode_png`]: a picture with transparency has bytes of another number.
pub fn encode_picture(picture: &Picture) -> Result<Vec<u8>, DataError> {
    encode_png(picture.width(), picture.height(), picture.pixels())
}

/// Sets `pictures` side by side in rows of `columns` (at least one) on white, 2 pixels apart.
///
/// Each cell is as large as the largest picture; a smaller one sits in its cell's top left corner.
/// The result is RGB; without pictures it is 0 x 0.
pub fn grid(pictures: &[Picture], columns: usize) -> Picture {
    let columns = columns.clamp(1, pictures.len().max(1));
    let cell_width = pictures.iter().map(Picture::width).max().unwrap_or(0);
    let cell_height = pictures.iter().map(Picture::height).max().unwrap_or(0);
    let extent = |cells: usize, cell: usize| cells * cell + cells.saturating_sub(1) * GAP;
    let rows = pictures.len().div_ceil(columns);
    let (width, height) = (extent(columns, cell_width), extent(rows, cell_height));
    let mut pixels = vec![255; width * height * 3];
    for (index, picture) in pictures.iter().enumerate() {
        let left = index % columns * (cell_width + GAP);
        let top = index / columns * (cell_height + GAP);
        let rgb = picture.clone().into_rgb();
        for (y, row) in rgb.pixels().chunks_exact((rgb.width() * 3).max(1)).enumerate() {
            let start = ((top + y) * width + left) * 3;
            pixels[start..start + row.len()].copy_from_slice(row);
        }
    }
    Picture::new(width, height, Mode::Rgb, pixels)
}

/// A [`grid`] as a PNG file's bytes.
///
/// # Errors
///
/// [`DataError::Encode`] without pictures, or with more than PNG can hold.
pub fn encode_grid(pictures: &[Picture], columns: usize) -> Result<Vec<u8>, DataError> {
    encode_picture(&grid(pictures, columns))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn one_color(width: usize, height: usize, value: u8) -> Picture {
        Picture::from_rgb(width, height, vec![value; width * height * 3]).unwrap()
    }

    #[test]
    fn a_grid_puts_each_picture_in_its_cell_on_white() {
        let sheet = grid(&[one_color(2, 1, 10), one_color(1, 2, 20), one_color(2, 2, 30)], 2);
        assert_eq!((sheet.width(), sheet.height()), (6, 6));
        let red: Vec<u8> = sheet.pixels().iter().step_by(3).copied().collect();
        #[rustfmt::skip]
        let want = [
            10, 10, 255, 255, 20, 255,
            255, 255, 255, 255, 20, 255,
            255, 255, 255, 255, 255, 255,
            255, 255, 255, 255, 255, 255,
            30, 30, 255, 255, 255, 255,
            30, 30, 255, 255, 255, 255,
        ];
        assert_eq!(red, want);
    }

    #[test]
    fn a_grid_of_nothing_or_of_zero_columns_does_not_fail() {
        assert_eq!(grid(&[], 3).pixels(), &[] as &[u8]);
        assert_eq!(grid(&[one_color(3, 2, 5)], 0), one_color(3, 2, 5));
    }

    #[test]
    fn a_png_with_missing_pixels_or_a_zero_side_is_refused() {
        let message = encode_png(4, 4, &[0; 47]).unwrap_err().to_string();
        assert!(message.contains("4 x 4 needs 48 bytes of RGB, not 47"), "{message}");
        assert!(matches!(encode_png(0, 0, &[]), Err(DataError::Encode { .. })));
        assert!(encode_png(usize::MAX, 2, &[]).is_err());
    }
}
