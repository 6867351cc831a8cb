//! The training pictures' latents: mean and deviation, computed once, and the pictures' sizes.

use burn::tensor::{Device, Int, Tensor, TensorData};
use dvar_models::{unet::TimeIds, vae::AutoencoderKl};

/// Mean and standard deviation of the latents of each picture and of its mirror image.
///
/// The posterior is cached rather than a sample of it, so every step still draws fresh latents
/// exactly as without the cache.
#[derive(Clone, Debug)]
pub struct LatentCache {
    /// Pictures of one size together.
    sizes: Vec<OneSize>,
    /// Where each picture of a round is: in which of these, and as which of its pictures.
    places: Vec<(usize, usize)>,
    scaling_factor: f64,
    /// Of each picture of a round.
    time_ids: Vec<TimeIds>,
}

/// `[2 * pictures, channels, height, width]`: a picture, its mirror image, the next picture, …
#[derive(Clone, Debug)]
struct OneSize {
    mean: Tensor<4>,
    std: Tensor<4>,
}

impl LatentCache {
    /// Encodes each picture as it is and mirrored, one at a time.
    ///
    /// # Shapes
    ///
    /// - pictures: each `[1, 3, height, width]`, in [-1, 1]
    ///
    /// # Panics
    ///
    /// If there are none.
    pub fn new(
        vae: &AutoencoderKl,
        pictures: impl IntoIterator<Item = TensorData>,
        device: &Device,
    ) -> Self {
        let (mut sizes, mut places) = (Vec::<(Vec<_>, Vec<_>)>::new(), Vec::new());
        let (mut known, mut time_ids) = (Vec::new(), Vec::new());
        for picture in pictures {
            let pixels = Tensor::<4>::from_data(picture, device);
            let [_, _, height, width] = pixels.dims();
            time_ids.push(TimeIds::whole(height, width));
            let size = known.iter().position(|size| *size == [height, width]);
            let size = size.unwrap_or_else(|| {
                known.push([height, width]);
                sizes.push(Default::default());
                sizes.len() - 1
            });
            let (means, stds) = &mut sizes[size];
            places.push((size, means.len() / 2));
            for pixels in [pixels.clone(), pixels.flip([3])] {
                let moments = vae.encode(pixels);
                stds.push(moments.std());
                means.push(moments.mean);
            }
        }
        assert!(!places.is_empty(), "no pictures");
        let one_size =
            |(means, stds)| OneSize { mean: Tensor::cat(means, 0), std: Tensor::cat(stds, 0) };
        let sizes = sizes.into_iter().map(one_size).collect();
        Self { sizes, places, scaling_factor: vae.scaling_factor, time_ids }
    }

    /// The same pictures, of which SDXL is told these sizes, one for each.
    #[must_use]
    pub fn with_time_ids(self, time_ids: Vec<TimeIds>) -> Self {
        Self { time_ids, ..self }
    }

    /// The same pictures in rounds of these, by their places: from now on a picture is one of a round, and
    /// one that stands here several times is there so often, with the same moments.
    #[must_use]
    pub fn in_rounds_of(self, round: &[usize]) -> Self {
        let places = round.iter().map(|picture| self.places[*picture]).collect();
        let time_ids = self.time_ids(round);
        Self { places, time_ids, ..self }
    }

    /// What SDXL is told of the chosen pictures; a mirror image is told alike.
    pub fn time_ids(&self, pictures: &[usize]) -> Vec<TimeIds> {
        pictures.iter().map(|picture| self.time_ids[*picture]).collect()
    }

    /// How many pictures there are.
    pub fn pictures(&self) -> usize {
        self.places.len()
    }

    /// Channels, height and width of a picture's latents.
    pub fn latent_shape(&self, picture: usize) -> [usize; 3] {
        let [_, channels, height, width] = self.sizes[self.places[picture].0].mean.dims();
        [channels, height, width]
    }

    /// Values in the latents of the largest picture.
    pub fn most_values(&self) -> usize {
        let values = (0..self.pictures()).map(|i| self.latent_shape(i).iter().product());
        values.max().unwrap_or(0)
    }

    /// The places of a list of pictures, those with pictures of one size together; each list rises.
    pub fn by_size(&self, pictures: &[usize]) -> Vec<Vec<usize>> {
        let mut by_size = vec![Vec::new(); self.sizes.len()];
        for (place, picture) in pictures.iter().enumerate() {
            by_size[self.places[*picture].0].push(place);
        }
        by_size.retain(|places| !places.is_empty());
        by_size
    }

    /// Where the cache lives.
    pub fn device(&self) -> Device {
        self.sizes[0].mean.device()
    }

    /// `(mean + std * noise) * scaling_factor` of the chosen pictures.
    ///
    /// # Shapes
    ///
    /// - pictures, flips: one for each input
    /// - noise, output: `[batch_size, channels, height, width]`
    ///
    /// # Panics
    ///
    /// If there are none, or they are of several sizes.
    pub fn sample(&self, pictures: &[usize], flips: &[bool], noise: Tensor<4>) -> Tensor<4> {
        let rows: Vec<i32> = pictures
            .iter()
            .zip(flips)
            .map(|(i, flip)| (2 * self.places[*i].1 + usize::from(*flip)) as i32)
            .collect();
        let size = self.places[pictures[0]].0;
        let alike = pictures.iter().all(|picture| self.places[*picture].0 == size);
        assert!(alike, "pictures of several sizes in one batch");
        let OneSize { mean, std } = &self.sizes[size];
        let count = rows.len();
        let rows = Tensor::<1, Int>::from_data(TensorData::new(rows, [count]), &self.device());
        let mean = mean.clone().select(0, rows.clone());
        let std = std.clone().select(0, rows);
        (mean + std * noise).mul_scalar(self.scaling_factor)
    }
}
