//! The training pictures' latents: mean and deviation, computed once, and the pictures' sizes.

use burn::tensor::{Device, Int, Tensor, TensorData};
use dvar_models::{unet::TimeIds, vae::AutoencoderKl};

/// Mean and standard deviation of the latents of each picture and of its mirror image.
///
/// The posterior is cached rather than a sample of it, so every step still draws fresh latents
/// exactly as without the cache.
#[derive(Clone, Debug)]
pub struct LatentCache {
    /// `[2 * pictures, channels, height, width]`: picture 0, its mirror image, picture 1, …
    mean: Tensor<4>,
    std: Tensor<4>,
    scaling_factor: f64,
    time_ids: Vec<TimeIds>,
}

impl LatentCache {
    /// Encodes each picture as it is and mirrored, one at a time.
    ///
    /// # Shapes
    ///
    /// - pictures: each `3 * size * size` values in [-1, 1], channel by channel
    pub fn new(vae: &AutoencoderKl, pictures: &[Vec<f32>], size: usize, device: &Device) -> Self {
        let (mut means, mut stds) = (Vec::new(), Vec::new());
        for picture in pictures {
            let data = TensorData::new(picture.clone(), [1, 3, size, size]);
            let pixels = Tensor::<4>::from_data(data, device);
            for pixels in [pixels.clone(), pixels.flip([3])] {
                let moments = vae.encode(pixels);
                stds.push(moments.std());
                means.push(moments.mean);
            }
        }
        Self {
            mean: Tensor::cat(means, 0),
            std: Tensor::cat(stds, 0),
            scaling_factor: vae.scaling_factor,
            time_ids: vec![TimeIds::whole(size, size); pictures.len()],
        }
    }

    /// The same pictures, of which SDXL is told these sizes, one for each.
    #[must_use]
    pub fn with_time_ids(self, time_ids: Vec<TimeIds>) -> Self {
        Self { time_ids, ..self }
    }

    /// What SDXL is told of the chosen pictures; a mirror image is told alike.
    pub fn time_ids(&self, pictures: &[usize]) -> Vec<TimeIds> {
        pictures.iter().map(|picture| self.time_ids[*picture]).collect()
    }

    /// How many pictures there are.
    pub fn pictures(&self) -> usize {
        self.mean.dims()[0] / 2
    }

    /// Channels, height and width of one picture's latents.
    pub fn latent_shape(&self) -> [usize; 3] {
        let [_, channels, height, width] = self.mean.dims();
        [channels, height, width]
    }

    /// Where the cache lives.
    pub fn device(&self) -> Device {
        self.mean.device()
    }

    /// `(mean + std * noise) * scaling_factor` of the chosen pictures.
    ///
    /// # Shapes
    ///
    /// - pictures, flips: one for each input
    /// - noise, output: `[batch_size, channels, height, width]`
    pub fn sample(&self, pictures: &[usize], flips: &[bool], noise: Tensor<4>) -> Tensor<4> {
        let rows: Vec<i32> = pictures
            .iter()
            .zip(flips)
            .map(|(i, flip)| (2 * i + usize::from(*flip)) as i32)
            .collect();
        let count = rows.len();
        let rows = Tensor::<1, Int>::from_data(TensorData::new(rows, [count]), &self.device());
        let mean = self.mean.clone().select(0, rows.clone());
        let std = self.std.clone().select(0, rows);
        (mean + std * noise).mul_scalar(self.scaling_factor)
    }
}
