//! The widths of the network, which no file but the weights themselves tells.

use crate::{ModelError, weights::Tensors};

/// What the weights should fit, in messages.
pub(super) const NETWORK: &str = "AlexNet with LPIPS 0.1";

/// One convolution of torchvision's `alexnet().features`.
pub(super) struct AlexNetLayer {
    /// Its place in the sequence, as in the tensor's name.
    pub index: usize,
    pub kernel: usize,
    pub stride: usize,
    pub padding: usize,
    /// Whether a 3x3 maximum over every second place precedes it.
    pub pooled: bool,
}

pub(super) const LAYERS: [AlexNetLayer; 5] = [
    AlexNetLayer { index: 0, kernel: 11, stride: 4, padding: 2, pooled: false },
    AlexNetLayer { index: 3, kernel: 5, stride: 1, padding: 2, pooled: true },
    AlexNetLayer { index: 6, kernel: 3, stride: 1, padding: 1, pooled: true },
    AlexNetLayer { index: 8, kernel: 3, stride: 1, padding: 1, pooled: false },
    AlexNetLayer { index: 10, kernel: 3, stride: 1, padding: 1, pooled: false },
];

/// Output channels of the five convolutions; AlexNet's are 64, 192, 384, 256 and 256.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LpipsConfig {
    /// Channels, from the picture's side on.
    pub channels: [usize; 5],
}

impl LpipsConfig {
    /// The widths of the network whose backbone these tensors are.
    ///
    /// Every size is checked against the file here, so that building the network takes no more
    /// memory than the file has bytes.
    pub(super) fn read(backbone: &Tensors) -> Result<Self, ModelError> {
        let shapes = backbone.shapes();
        let mut channels = [0; 5];
        let mut input = 3;
        for (layer, channels) in LAYERS.iter().zip(&mut channels) {
            let (name, kernel) = (format!("features.{}.weight", layer.index), layer.kernel);
            let problem = match shapes.get(&name).map(Vec::as_slice) {
                Some([output, found, height, width])
                    if *output > 0 && (*found, *height, *width) == (input, kernel, kernel) =>
                {
                    (*channels, input) = (*output, *output);
                    continue;
                }
                Some(found) => {
                    format!("`{name}` is {found:?}, not [channels, {input}, {kernel}, {kernel}]")
                }
                None => format!("`{name}` is missing"),
            };
            let (file, config) = (backbone.file().into(), NETWORK.into());
            return Err(ModelError::Weights { file, config, problems: problem });
        }
        Ok(Self { channels })
    }
}
