//! Group and layer normalisation with frozen weights, in closed form.

use burn::{
    backend::flex::FlexTensor,
    nn::{GroupNorm, LayerNorm},
    tensor::Shape,
};

use super::{
    extension::{Kernel, frozen, tensor, values},
    functions::{silu, silu_derivative},
    parallel::{for_each_piece, sum, vectorized},
    spent::KernelKind,
};

/// Operations for one value, about.
const COST: usize = 8;

/// Mean and reciprocal deviation of one group of values.
#[derive(Clone, Copy)]
struct Statistics {
    mean: f32,
    reciprocal: f32,
}

impl Statistics {
    #[inline(always)]
    fn of(x: &[f32], epsilon: f64) -> Self {
        let length = x.len() as f64;
        let mean = (sum(x.len(), |i| x[i]) / length) as f32;
        let variance = sum(x.len(), |i| (x[i] - mean) * (x[i] - mean)) / length;
        Self { mean, reciprocal: (1.0 / (variance + epsilon).sqrt()) as f32 }
    }

    #[inline(always)]
    fn normalized(self, x: f32) -> f32 {
        (x - self.mean) * self.reciprocal
    }

    /// Turns the gradient of the normalised values into that of the values.
    #[inline(always)]
    fn backward(self, x: &[f32], gradient: &mut [f32]) {
        let length = x.len() as f64;
        let mean = (sum(x.len(), |i| gradient[i]) / length) as f32;
        let along = (sum(x.len(), |i| gradient[i] * self.normalized(x[i])) / length) as f32;
        for (gradient, x) in gradient.iter_mut().zip(x) {
            *gradient = self.reciprocal * (*gradient - mean - self.normalized(*x) * along);
        }
    }
}

/// Group normalisation, and SiLU after it if asked for.
#[derive(Clone, Debug)]
pub(super) struct FrozenGroupNorm {
    gamma: FlexTensor,
    beta: FlexTensor,
    epsilon: f64,
    groups: usize,
    with_silu: bool,
    shape: Shape,
}

impl FrozenGroupNorm {
    /// Nothing if the layer is trained, lies elsewhere, or has no weights.
    pub fn new(layer: &GroupNorm, shape: Shape, with_silu: bool) -> Option<Self> {
        // Inputs that do not fit are burn's to refuse.
        (shape[1] == layer.num_channels && shape.num_elements() > 2).then_some(())?;
        Some(Self {
            gamma: frozen(layer.gamma.as_ref()?)?,
            beta: frozen(layer.beta.as_ref()?)?,
            epsilon: layer.epsilon,
            groups: layer.num_groups,
            with_silu,
            shape,
        })
    }

    /// Values of one channel of one picture.
    fn pixels(&self) -> usize {
        self.shape[2..].iter().product()
    }

    /// Values of one group of one picture.
    fn length(&self) -> usize {
        self.shape[1] / self.groups * self.pixels()
    }

    /// Calls `work` with each channel of group `i`: where its values are, and its weights.
    #[inline(always)]
    fn channels(&self, i: usize, mut work: impl FnMut(std::ops::Range<usize>, f32, f32)) {
        let (pixels, count) = (self.pixels(), self.shape[1] / self.groups);
        let first = i % self.groups * count;
        let (gamma, beta) = (values(&self.gamma), values(&self.beta));
        for (i, channel) in (first..first + count).enumerate() {
            work(i * pixels..(i + 1) * pixels, gamma[channel], beta[channel]);
        }
    }
}

impl Kernel<1> for FrozenGroupNorm {
    type State = FlexTensor;

    const KIND: KernelKind = KernelKind::Norm;

    fn forward(&self, [x]: [&[f32]; 1]) -> (Vec<f32>, Shape) {
        let length = self.length();
        let mut output = vec![0.0; x.len()];
        for_each_piece(&mut output, length, COST, |i, output| {
            let x = &x[i * length..][..output.len()];
            vectorized(
                #[inline(always)]
                || {
                    let statistics = Statistics::of(x, self.epsilon);
                    self.channels(
                        i,
                        #[inline(always)]
                        |channel, gamma, beta| {
                            let scale = statistics.reciprocal * gamma;
                            let values = output[channel.clone()].iter_mut().zip(&x[channel]);
                            if self.with_silu {
                                values.for_each(|(y, x)| {
                                    *y = silu((x - statistics.mean) * scale + beta)
                                });
                            } else {
                                values.for_each(|(y, x)| *y = (x - statistics.mean) * scale + beta);
                            }
                        },
                    );
                },
            );
        });
        (output, self.shape.clone())
    }

    fn state(&self, [x]: [FlexTensor; 1]) -> FlexTensor {
        x
    }

    fn backward(&self, x: FlexTensor, gradient: &[f32], _: [bool; 1]) -> [Option<FlexTensor>; 1] {
        let (length, x) = (self.length(), values(&x));
        let mut output = vec![0.0; x.len()];
        for_each_piece(&mut output, length, 2 * COST, |i, output| {
            let x = &x[i * length..][..output.len()];
            let gradient = &gradient[i * length..][..output.len()];
            vectorized(
                #[inline(always)]
                || {
                    let statistics = Statistics::of(x, self.epsilon);
                    self.channels(
                        i,
                        #[inline(always)]
                        |channel, gamma, beta| {
                            let output = &mut output[channel.clone()];
                            let values =
                                output.iter_mut().zip(&x[channel.clone()]).zip(&gradient[channel]);
                            if self.with_silu {
                                let scale = statistics.reciprocal * gamma;
                                values.for_each(
                                    #[inline(always)]
                                    |((y, x), g)| {
                                        *y = g
                                            * gamma
                                            * silu_derivative((x - statistics.mean) * scale + beta);
                                    },
                                );
                            } else {
                                values.for_each(|((y, _), g)| *y = g * gamma);
                            }
                        },
                    );
                    statistics.backward(x, output);
                },
            );
        });
        [Some(tensor(output, self.shape.clone()))]
    }
}

/// Layer normalisation over the last dimension.
#[derive(Clone, Debug)]
pub(super) struct FrozenLayerNorm {
    gamma: FlexTensor,
    beta: FlexTensor,
    epsilon: f64,
    shape: Shape,
}

impl FrozenLayerNorm {
    /// Nothing if the layer is trained, lies elsewhere, or has no weights.
    pub fn new(layer: &LayerNorm, epsilon: f64, shape: Shape) -> Option<Self> {
        // Inputs that do not fit are burn's to refuse.
        (shape.last() == layer.gamma.dims().last()).then_some(())?;
        let (gamma, beta) = (frozen(&layer.gamma)?, frozen(layer.beta.as_ref()?)?);
        Some(Self { gamma, beta, epsilon, shape })
    }

    fn rows(&self) -> (&[f32], &[f32], usize) {
        let gamma = values(&self.gamma);
        (gamma, values(&self.beta), gamma.len())
    }
}

impl Kernel<1> for FrozenLayerNorm {
    type State = FlexTensor;

    const KIND: KernelKind = KernelKind::Norm;

    fn forward(&self, [x]: [&[f32]; 1]) -> (Vec<f32>, Shape) {
        let (gamma, beta, width) = self.rows();
        let mut output = vec![0.0; x.len()];
        for_each_piece(&mut output, width, COST, |row, output| {
            let x = &x[row * width..][..width];
            vectorized(
                #[inline(always)]
                || {
                    let statistics = Statistics::of(x, self.epsilon);
                    for (((y, x), gamma), beta) in output.iter_mut().zip(x).zip(gamma).zip(beta) {
                        *y = statistics.normalized(*x) * gamma + beta;
                    }
                },
            );
        });
        (output, self.shape.clone())
    }

    fn state(&self, [x]: [FlexTensor; 1]) -> FlexTensor {
        x
    }

    fn backward(&self, x: FlexTensor, gradient: &[f32], _: [bool; 1]) -> [Option<FlexTensor>; 1] {
        let (gamma, _, width) = self.rows();
        let x = values(&x);
        let mut output = vec![0.0; x.len()];
        for_each_piece(&mut output, width, COST, |row, output| {
            let x = &x[row * width..][..width];
            let gradient = &gradient[row * width..][..width];
            vectorized(
                #[inline(always)]
                || {
                    for ((y, g), gamma) in output.iter_mut().zip(gradient).zip(gamma) {
                        *y = g * gamma;
                    }
                    Statistics::of(x, self.epsilon).backward(x, output);
                },
            );
        });
        [Some(tensor(output, self.shape.clone()))]
    }
}
