//! AlexNet's features and the heads that weigh their differences.

use burn::{
    module::Module,
    nn::{
        Dropout, DropoutConfig, PaddingConfig2d, Relu,
        conv::{Conv2d, Conv2dConfig},
        pool::{MaxPool2d, MaxPool2dConfig},
    },
    tensor::{Device, Tensor},
};

use super::config::{LAYERS, LpipsConfig};
use crate::{
    kernels::conv2d,
    weights::{KeyMap, Network},
};

/// Mean and deviation of each colour in -1..=1 (the package's `ScalingLayer`).
const SHIFT: [f32; 3] = [-0.030, -0.088, -0.188];
const SCALE: [f32; 3] = [0.458, 0.448, 0.450];

/// A member of the sequences that the checkpoints count.
#[derive(Module, Debug)]
enum Layer {
    Conv(Conv2d),
    Relu(Relu),
    MaxPool(MaxPool2d),
    /// Of the heads' training; here only for its place in the count.
    Dropout(Dropout),
}

impl Layer {
    fn forward(&self, x: Tensor<4>) -> Tensor<4> {
        match self {
            Self::Conv(conv) => conv2d(conv, x),
            Self::Relu(relu) => relu.forward(x),
            Self::MaxPool(pool) => pool.forward(x),
            Self::Dropout(_) => x,
        }
    }
}

#[derive(Module, Debug)]
struct Head {
    model: Vec<Layer>,
}

/// The distance's network. Created by [`LpipsConfig::load`].
#[derive(Module, Debug)]
pub struct Lpips {
    features: Vec<Layer>,
    lin0: Head,
    lin1: Head,
    lin2: Head,
    lin3: Head,
    lin4: Head,
}

/// What the network sees in a batch of pictures: five `[batch_size, channels, _, _]`, each place
/// of length 1 over the channels.
#[derive(Clone, Debug)]
pub struct LpipsFeatures([Tensor<4>; 5]);

/// What AlexNet's features would go on to is not used.
impl Network for Lpips {
    const KEYS: KeyMap = KeyMap { unused: &["classifier."], ..KeyMap::SAME };
}

impl LpipsConfig {
    pub(super) fn init(&self, device: &Device) -> Lpips {
        let mut features = Vec::new();
        let inputs = [3].into_iter().chain(self.channels);
        for ((layer, input), output) in LAYERS.iter().zip(inputs).zip(self.channels) {
            if layer.pooled {
                let pool = MaxPool2dConfig::new([3, 3]).with_strides([2, 2]);
                features.push(Layer::MaxPool(pool.init()));
            }
            let pad = layer.padding;
            let conv = Conv2dConfig::new([input, output], [layer.kernel, layer.kernel])
                .with_stride([layer.stride, layer.stride])
                .with_padding(PaddingConfig2d::Explicit(pad, pad, pad, pad));
            features.extend([Layer::Conv(conv.init(device)), Layer::Relu(Relu::new())]);
        }
        let [lin0, lin1, lin2, lin3, lin4] = self.channels.map(|channels| {
            let conv = Conv2dConfig::new([channels, 1], [1, 1]).with_bias(false).init(device);
            let dropout = DropoutConfig::new(0.5).init();
            Head { model: vec![Layer::Dropout(dropout), Layer::Conv(conv)] }
        });
        Lpips { features, lin0, lin1, lin2, lin3, lin4 }
    }
}

impl Lpips {
    /// The shortest height or width of a picture that leaves the last layer anything to see.
    pub const SMALLEST_SIDE: usize = 31;

    /// Looks at pictures, once for however many comparisons.
    ///
    /// # Shapes
    ///
    /// - pixel_values: `[batch_size, 3, height, width]` in -1..=1, sides of at least
    ///   [`Lpips::SMALLEST_SIDE`]
    pub fn features(&self, pixel_values: Tensor<4>) -> LpipsFeatures {
        let device = pixel_values.device();
        let color = |values| Tensor::<1>::from_floats(values, &device).reshape([1, 3, 1, 1]);
        let mut x = (pixel_values - color(SHIFT)) / color(SCALE);
        let mut layers = self.features.iter();
        LpipsFeatures(std::array::from_fn(|_| {
            for layer in layers.by_ref() {
                x = layer.forward(x.clone());
                if let Layer::Relu(_) = layer {
                    break;
                }
            }
            let length = x.clone().square().sum_dim(1).sqrt();
            x.clone() / (length + 1e-10)
        }))
    }

    /// The distances of the pictures of two batches, place by place; a batch of one is compared
    /// with each of the other. The pictures must be of one size.
    ///
    /// # Shapes
    ///
    /// - output: `[batch_size]`
    pub fn distances(&self, one: &LpipsFeatures, other: &LpipsFeatures) -> Tensor<1> {
        let heads = [&self.lin0, &self.lin1, &self.lin2, &self.lin3, &self.lin4];
        let layers = one.0.iter().zip(&other.0).zip(heads).map(|((one, other), head)| {
            let difference = (one.clone() - other.clone()).square();
            let weighed = head.model.iter().fold(difference, |x, layer| layer.forward(x));
            weighed.mean_dims(&[2, 3]).flatten::<1>(0, 3)
        });
        Tensor::stack::<2>(layers.collect(), 0).sum_dim(0).squeeze_dim(0)
    }
}

impl LpipsFeatures {
    /// The pictures from `start` on, `count` of them, which the batch must hold.
    #[must_use]
    pub fn narrow(&self, start: usize, count: usize) -> Self {
        Self(self.0.each_ref().map(|layer| layer.clone().narrow(0, start, count)))
    }
}
