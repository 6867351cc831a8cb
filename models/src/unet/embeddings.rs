//! How a time step, or a picture's size, becomes a vector (Ho et al. 2020, appendix B; "Attention Is All You Need", 3.5).

use burn::{
    module::Module,
    nn::Linear,
    tensor::{Device, Tensor, TensorData},
};

use super::UNet2DConditionConfig;
use crate::{Activation, kernels::activate, layers::linear, product};

/// Sinusoids of each time step or size.
///
/// # Shapes
///
/// - output: `[timesteps.len(), width]`
pub(super) fn time_proj(
    config: &UNet2DConditionConfig,
    width: usize,
    timesteps: &[f64],
    device: &Device,
) -> Tensor<2> {
    let of = |time: &f64| sinusoids(width, *time, config.flip_sin_to_cos);
    let values: Vec<f32> = timesteps.iter().flat_map(of).collect();
    Tensor::from_data(TensorData::new(values, [timesteps.len(), width]), device)
}

/// Those of one, computed in f32 in torch's order so that the last bits agree.
fn sinusoids(width: usize, time: f64, cosines_first: bool) -> Vec<f32> {
    let half = width / 2;
    let base = -f32::ln(10_000.0);
    let angles = (0..half).map(|i| time as f32 * (i as f32 * base / half as f32).exp());
    let (sines, cosines) = (angles.clone().map(f32::sin), angles.map(f32::cos));
    let mut values: Vec<f32> = match cosines_first {
        true => cosines.chain(sines).collect(),
        false => sines.chain(cosines).collect(),
    };
    values.resize(width, 0.0); // an odd width has one place more
    values
}

/// Two linear layers on top of the sinusoids.
#[derive(Module, Debug)]
pub(super) struct TimestepEmbedding {
    linear_1: Linear,
    linear_2: Linear,
}

impl TimestepEmbedding {
    pub(super) fn new(width: usize, time_embed_dim: usize, device: &Device) -> Self {
        Self {
            linear_1: linear(width, time_embed_dim, true, device),
            linear_2: linear(time_embed_dim, time_embed_dim, true, device),
        }
    }

    /// # Shapes
    ///
    /// - sinusoids: `[batch_size, width]`, with SDXL's second one behind the text's pooled state
    /// - output: `[batch_size, time_embed_dim]`
    pub(super) fn forward(&self, sinusoids: Tensor<2>) -> Tensor<2> {
        product::linear(
            &self.linear_2,
            activate(Activation::Silu, product::linear(&self.linear_1, sinusoids)),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_odd_width_ends_in_a_zero() {
        let sines = [2_f32.sin(), 0.02_f32.sin()];
        let cosines = [2_f32.cos(), 0.02_f32.cos()];
        for (cosines_first, [first, second]) in
            [(true, [cosines, sines]), (false, [sines, cosines])]
        {
            let want = [first[0], first[1], second[0], second[1], 0.0];
            let found = sinusoids(5, 2.0, cosines_first);
            assert_eq!(found.len(), want.len());
            for (found, want) in found.iter().zip(want) {
                assert!((found - want).abs() < 1e-6, "{found} {want}");
            }
        }
    }
}
