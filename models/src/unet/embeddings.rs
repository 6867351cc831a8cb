//! How a time step, or a picture's size, becomes a vector (Ho et al. 2020, appendix B; "Attention Is All You Need", 3.5).

use burn::{
    module::Module,
    nn::Linear,
    tensor::{Device, Tensor, TensorData},
};

use super::UNet2DConditionConfig;
use crate::{Activation, kernels::activate, layers::linear, product};

/// Sinusoids of each time step or size, computed in f32 in torch's order so that the last bits agree.
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
    let half = width / 2;
    let base = -f32::ln(10_000.0);
    let mut values = Vec::with_capacity(timesteps.len() * width);
    for time in timesteps {
        let angles = (0..half).map(|i| *time as f32 * (i as f32 * base / half as f32).exp());
        if config.flip_sin_to_cos {
            values.extend(angles.clone().map(f32::cos));
            values.extend(angles.map(f32::sin));
        } else {
            values.extend(angles.clone().map(f32::sin));
            values.extend(angles.map(f32::cos));
        }
    }
    Tensor::from_data(TensorData::new(values, [timesteps.len(), width]), device)
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
