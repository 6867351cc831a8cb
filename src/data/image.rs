//! One picture in memory: cropping, resizing, mirroring and the step to network input.

use super::{
    error::DataError,
    resize::{Filter, nearest_indices, resample_axis},
};

/// How the samples of a pixel are meant, as Pillow's modes of the same names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// Two-level or palette pictures (Pillow's `1` and `P`), already expanded to RGB; Pillow
    /// resizes these by nearest neighbour whatever the filter, so the origin is kept in mind.
    Indexed,
    /// Palette pictures whose colours have an opacity, expanded to RGB and opacity; resized likewise.
    IndexedAlpha,
    /// RGB or grey of which one colour is transparent, expanded to RGB and opacity; Pillow keeps that
    /// colour aside, so the colours are resized without regard to it.
    Keyed,
    /// Grey.
    L,
    /// Grey and opacity.
    La,
    /// Red, green, blue.
    Rgb,
    /// Red, green, blue, opacity.
    Rgba,
}

impl Mode {
    /// Samples (bytes) per pixel.
    pub fn channels(self) -> usize {
        match self {
            Self::L => 1,
            Self::La => 2,
            Self::Indexed | Self::Rgb => 3,
            Self::Rgba | Self::IndexedAlpha | Self::Keyed => 4,
        }
    }

    fn has_alpha(self) -> bool {
        matches!(self, Self::La | Self::Rgba | Self::IndexedAlpha | Self::Keyed)
    }

    /// Whether colours are weighted by their opacity where they are resized.
    fn weights_by_alpha(self) -> bool {
        matches!(self, Self::La | Self::Rgba)
    }
}

/// A picture of 8-bit samples, `[height, width, channels]` row by row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Picture {
    width: usize,
    height: usize,
    mode: Mode,
    pixels: Vec<u8>,
}

impl Picture {
    /// Wraps `pixels`, `[height, width, 3]` in red, green, blue order.
    ///
    /// # Errors
    ///
    /// [`DataError::WrongLength`] if the number of bytes is not `height * width * 3`.
    pub fn from_rgb(width: usize, height: usize, pixels: Vec<u8>) -> Result<Self, DataError> {
        check_rgb(width, height, &pixels)?;
        Ok(Self { width, height, mode: Mode::Rgb, pixels })
    }

    /// The caller answers for the number of pixels.
    pub(super) fn new(width: usize, height: usize, mode: Mode, pixels: Vec<u8>) -> Self {
        debug_assert_eq!(pixels.len(), width * height * mode.channels());
        Self { width, height, mode, pixels }
    }

    /// Pixels a row.
    pub fn width(&self) -> usize {
        self.width
    }

    /// Rows.
    pub fn height(&self) -> usize {
        self.height
    }

    /// What the samples mean.
    pub fn mode(&self) -> Mode {
        self.mode
    }

    /// The samples, `[height, width, channels]`.
    pub fn pixels(&self) -> &[u8] {
        &self.pixels
    }

    /// Converts to RGB as Pillow's `convert("RGB")`: grey is repeated, opacity is dropped (what
    /// lies under transparent pixels shows).
    pub fn into_rgb(self) -> Self {
        let pixels = match self.mode {
            Mode::Rgb | Mode::Indexed => self.pixels,
            Mode::L => self.pixels.iter().flat_map(|grey| [*grey; 3]).collect(),
            Mode::La => self.pixels.chunks_exact(2).flat_map(|pixel| [pixel[0]; 3]).collect(),
            Mode::Rgba | Mode::IndexedAlpha | Mode::Keyed => self
                .pixels
                .chunks_exact(4)
                .flat_map(|pixel| [pixel[0], pixel[1], pixel[2]])
                .collect(),
        };
        Self { mode: Mode::Rgb, pixels, ..self }
    }

    /// Whether anything lies under it that does not show.
    pub fn is_transparent(&self) -> bool {
        let channels = self.mode.channels();
        self.mode.has_alpha()
            && self.pixels.chunks_exact(channels).any(|pixel| pixel[channels - 1] < u8::MAX)
    }

    /// The opacity as a grey picture, where there is one.
    pub fn opacity(&self) -> Option<Self> {
        self.mode.has_alpha().then(|| self.channel(self.mode.channels() - 1))
    }

    /// The first of each pixel's samples, red or grey, as a grey picture.
    pub fn first_channel(&self) -> Self {
        self.channel(0)
    }

    fn channel(&self, index: usize) -> Self {
        let pixels = self.pixels.iter().skip(index).step_by(self.mode.channels()).copied();
        Self::new(self.width, self.height, Mode::L, pixels.collect())
    }

    /// RGB on a background of one colour, which shows where the picture is transparent.
    pub fn over(self, background: [u8; 3]) -> Self {
        let Some(opacity) = self.opacity() else { return self.into_rgb() };
        let mut picture = self.into_rgb();
        for (pixel, opacity) in picture.pixels.chunks_exact_mut(3).zip(opacity.pixels) {
            let opacity = u32::from(opacity);
            for (sample, behind) in pixel.iter_mut().zip(background) {
                let sum = u32::from(*sample) * opacity + u32::from(behind) * (255 - opacity);
                *sample = ((sum + 127) / 255) as u8;
            }
        }
        picture
    }

    /// The means of a grey picture over `height * width` equal blocks, from 0 to 1; both must divide its
    /// sides.
    pub(super) fn means(&self, height: usize, width: usize) -> Vec<f32> {
        let (block_height, block_width) = (self.height / height, self.width / width);
        let mut sums = vec![0_u32; height * width];
        for (y, row) in self.pixels.chunks_exact(self.width).enumerate() {
            for (x, sample) in row.iter().enumerate() {
                sums[y / block_height * width + x / block_width] += u32::from(*sample);
            }
        }
        let most = (255 * block_height * block_width) as f32;
        sums.into_iter().map(|sum| sum as f32 / most).collect()
    }

    /// RGB, perhaps with opacity, that is resized as the palette picture it was.
    pub(super) fn into_indexed(self) -> Self {
        match self.mode {
            Mode::Rgba => Self { mode: Mode::IndexedAlpha, ..self },
            _ => Self { mode: Mode::Indexed, ..self.into_rgb() },
        }
    }

    /// Grey or RGB whose opacity, if there is any, is that of one transparent colour.
    pub(super) fn into_keyed(self) -> Self {
        match self.mode {
            Mode::La => {
                let pixels = self.pixels.chunks_exact(2).flat_map(|p| [p[0], p[0], p[0], p[1]]);
                Self { mode: Mode::Keyed, pixels: pixels.collect(), ..self }
            }
            Mode::Rgba => Self { mode: Mode::Keyed, ..self },
            _ => self,
        }
    }

    /// Resizes in the picture's own mode, bit for bit as Pillow's `Image.resize`: colours are
    /// weighted by their opacity unless that is of one colour, and palette pictures take the nearest pixel.
    ///
    /// # Panics
    ///
    /// If one of the sides, old or new, is zero.
    pub fn resize(&self, width: usize, height: usize, filter: Filter) -> Self {
        // one by one: in wasm their product may overflow to 0
        let sides = [width, height, self.width, self.height];
        assert!(!sides.contains(&0), "a side is zero");
        if (width, height) == (self.width, self.height) {
            return self.clone();
        }
        let channels = self.mode.channels();
        if matches!(self.mode, Mode::Indexed | Mode::IndexedAlpha) {
            let columns = nearest_indices(self.width, width);
            let pixels = nearest_indices(self.height, height)
                .into_iter()
                .flat_map(|y| columns.iter().map(move |x| (y * self.width + x) * channels))
                .flat_map(|at| self.pixels[at..at + channels].iter().copied())
                .collect();
            return Self::new(width, height, self.mode, pixels);
        }
        let mut source = std::borrow::Cow::Borrowed(&self.pixels);
        if self.mode.weights_by_alpha() {
            weight_by_alpha(source.to_mut(), channels);
        }
        let mut pixels = if vertical_first(self, width, height) {
            let columns =
                resample_axis(&source, self.width * channels, self.height, height, filter);
            resample_axis(&columns, channels, self.width, width, filter)
        } else {
            let rows = resample_axis(&source, channels, self.width, width, filter);
            resample_axis(&rows, width * channels, self.height, height, filter)
        };
        if self.mode.weights_by_alpha() {
            divide_by_alpha(&mut pixels, channels);
        }
        Self::new(width, height, self.mode, pixels)
    }

    /// The part of `width` x `height` pixels whose top left corner is at (`left`, `top`); the
    /// caller keeps it inside the picture.
    pub(super) fn crop(&self, left: usize, top: usize, width: usize, height: usize) -> Self {
        let channels = self.mode.channels();
        let pixels = self
            .pixels
            .chunks_exact(self.width * channels)
            .skip(top)
            .take(height)
            .flat_map(|row| &row[left * channels..(left + width) * channels])
            .copied()
            .collect();
        Self::new(width, height, self.mode, pixels)
    }

    /// The largest square in the middle, where torchvision's `center_crop` puts it.
    pub fn center_crop(&self) -> Self {
        let side = self.width.min(self.height);
        let left = half_to_even(self.width - side);
        let top = half_to_even(self.height - side);
        self.crop(left, top, side, side)
    }

    /// The mirror image, left and right swapped.
    pub fn flip(&self) -> Self {
        let channels = self.mode.channels();
        let pixels = self
            .pixels
            .chunks_exact((self.width * channels).max(1))
            .flat_map(|row| row.chunks_exact(channels).rev().flatten())
            .copied()
            .collect();
        Self { pixels, ..*self }
    }

    /// Network input: `[3, height, width]`, each RGB sample in 0..=1, less the channel's `mean`,
    /// over its `std` (torchvision's `ToTensor` and `Normalize`).
    pub fn normalized(&self, mean: [f32; 3], std: [f32; 3]) -> Vec<f32> {
        let rgb = self.clone().into_rgb();
        (0..3)
            .flat_map(|channel| {
                let samples = rgb.pixels.iter().skip(channel).step_by(3);
                samples
                    .map(move |sample| (f32::from(*sample) / 255.0 - mean[channel]) / std[channel])
            })
            .collect()
    }

    /// Autoencoder input: `[3, height, width]` in -1..=1.
    pub fn to_pixel_values(&self) -> Vec<f32> {
        self.normalized([0.5; 3], [0.5; 3])
    }
}

/// Refuses bytes that are not those of so many RGB pixels.
pub(super) fn check_rgb(width: usize, height: usize, rgb: &[u8]) -> Result<(), DataError> {
    let bytes = rgb.len();
    if width.checked_mul(height).and_then(|area| area.checked_mul(3)) == Some(bytes) {
        Ok(())
    } else {
        Err(DataError::WrongLength { width, height, bytes })
    }
}

/// Whether the height is resized before the width, which rounds differently.
///
/// Pillow does so since version 13 if the height loses over twice the pixels that the width does
/// (python-pillow/Pillow#9549); older versions always start with the width.
fn vertical_first(source: &Picture, width: usize, height: usize) -> bool {
    source.height > height && source.height - height + 2 * width > 2 * source.width
}

/// `excess / 2` with halves to the even neighbour, Python's `round`.
pub(super) fn half_to_even(excess: usize) -> usize {
    let half = excess / 2;
    half + (excess & half & 1)
}

/// Pillow's `RGBA` to `RGBa`: each colour times opacity / 255, rounded.
fn weight_by_alpha(pixels: &mut [u8], channels: usize) {
    for pixel in pixels.chunks_exact_mut(channels) {
        let alpha = u32::from(pixel[channels - 1]);
        for color in &mut pixel[..channels - 1] {
            let product = u32::from(*color) * alpha + 128;
            *color = (((product >> 8) + product) >> 8) as u8;
        }
    }
}

/// Pillow's `RGBa` to `RGBA`: each colour times 255 / opacity, cut to 8 bits.
fn divide_by_alpha(pixels: &mut [u8], channels: usize) {
    for pixel in pixels.chunks_exact_mut(channels) {
        let alpha = u32::from(pixel[channels - 1]);
        if alpha == 0 || alpha == 255 {
            continue;
        }
        for color in &mut pixel[..channels - 1] {
            *color = (255 * u32::from(*color) / alpha).min(255) as u8;
        }
    }
}

#[cfg(test)]
mod tests {
    //! The expected numbers are Pillow 13.0.0's for the same samples.

    use super::*;

    fn samples(count: usize) -> Vec<u8> {
        (0..count).map(|i| ((i * i * 7 + i * 89) % 256) as u8).collect()
    }

    #[test]
    fn starts_with_the_height_where_pillow_does() {
        let grey = Picture::new(4, 9, Mode::L, samples(36));
        let want = [118, 111, 98, 81, 92, 107, 85, 97, 109, 103, 97, 92];
        assert_eq!(grey.resize(6, 2, Filter::Bicubic).pixels, want);
        let width_first = grey.resize(6, 9, Filter::Bicubic).resize(6, 2, Filter::Bicubic);
        assert_ne!(width_first.pixels, want);
        let want = [108, 123, 84, 53, 133, 111, 130, 116, 33, 74];
        assert_eq!(grey.resize(2, 5, Filter::Lanczos).pixels, want);
    }

    #[test]
    fn weights_grey_by_its_opacity() {
        let grey = Picture::new(5, 3, Mode::La, samples(30)).resize(3, 2, Filter::Bicubic);
        assert_eq!(grey.pixels, [58, 61, 129, 116, 72, 151, 201, 76, 75, 142, 99, 87]);
        let red: Vec<u8> = grey.into_rgb().pixels.into_iter().step_by(3).collect();
        assert_eq!(red, [58, 129, 72, 201, 75, 99]);
    }

    #[test]
    fn takes_the_nearest_pixel_of_a_palette_picture() {
        let palette = [12_u8, 1, 3, 9, 13, 6, 7, 0, 2, 10, 14, 11, 8, 4, 5];
        let pixels = palette.iter().flat_map(|index| [*index; 3]).collect();
        let picture = Picture::new(5, 3, Mode::Indexed, pixels).resize(7, 4, Filter::Lanczos);
        let indices: Vec<u8> = picture.pixels.into_iter().step_by(3).collect();
        let want = [
            [12, 1, 1, 3, 9, 9, 13],
            [6, 7, 7, 0, 2, 2, 10],
            [6, 7, 7, 0, 2, 2, 10],
            [14, 11, 11, 8, 4, 4, 5],
        ];
        assert_eq!(indices, want.concat());
    }

    #[test]
    fn blocks_of_a_mask_count_by_the_means_of_their_pixels_row_by_row() {
        // 6 x 4 pixels in 3 x 2 blocks
        let level = |i: u8| 51 * (i / 12 * 3 + i % 6 / 2);
        let grey = Picture::new(6, 4, Mode::L, (0..24).map(level).collect());
        assert_eq!(grey.means(2, 3), [0.0, 0.2, 0.4, 0.6, 0.8, 1.0]);
    }

    #[test]
    fn a_background_shows_by_as_much_as_a_picture_is_transparent() {
        let fifth = Picture::new(1, 1, Mode::Rgba, vec![200, 100, 0, 51]);
        assert_eq!(fifth.over([0, 100, 255]).pixels, [40, 100, 204]);
        let grey = Picture::new(1, 1, Mode::La, vec![200, 51]);
        assert_eq!(grey.over([0; 3]).pixels, [40; 3]);
    }

    #[test]
    fn the_middle_of_an_odd_excess_is_rounded_to_the_even_offset() {
        assert_eq!([0, 1, 2, 3, 4, 5, 6, 7].map(half_to_even), [0, 0, 1, 2, 2, 2, 3, 4]);
    }

    #[test]
    fn flipping_swaps_pixels_and_twice_is_nothing() {
        let picture = Picture::from_rgb(2, 1, vec![1, 2, 3, 4, 5, 6]).unwrap();
        assert_eq!(picture.flip().pixels, [4, 5, 6, 1, 2, 3]);
        assert_eq!(picture.flip().flip(), picture);
    }
}
