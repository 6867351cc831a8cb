//! The widths of the network, which no file but the weights themselves tells.

use burn::tensor::{DType, Device};

use super::Lpips;
use crate::{
    ModelError,
    weights::{ModelSource, Tensors, Weights},
};

/// The names that the backbone and the heads are published under, without the ending.
const BACKBONE: &str = "alexnet-owt-7be5be79";
const HEADS: &str = "alex";
const ENDINGS: [&str; 2] = ["safetensors", "pth"];

/// What the weights should fit, in messages.
const NETWORK: &str = "AlexNet with LPIPS 0.1";

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
    /// Loads the network in the folder `files`; see the module for what that holds.
    ///
    /// # Errors
    ///
    /// [`ModelError`] if a file is missing or broken, or holds another network.
    pub fn load(files: &dyn ModelSource, device: &Device) -> Result<Lpips, ModelError> {
        let backbone =
            find(files, BACKBONE, "torchvision's AlexNet (download.pytorch.org/models)")?;
        let heads =
            find(files, HEADS, "`lpips/weights/v0.1/alex.pth` of the PyPI package `lpips`")?;
        let mut tensors = stored(files, &backbone)?;
        let config = Self::read(&tensors)?;
        tensors.extend(stored(files, &heads)?);
        tensors.load(config.init(device), NETWORK, DType::F32)
    }

    /// Every size is checked against the file here, so that building the network takes no more
    /// memory than the file has bytes.
    fn read(backbone: &Tensors) -> Result<Self, ModelError> {
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

fn stored(files: &dyn ModelSource, file: &str) -> Result<Tensors, ModelError> {
    match files.weights(file)? {
        Weights::Stored(tensors) => Ok(tensors),
        Weights::Random => {
            let reason = "random weights measure no likeness".into();
            Err(ModelError::Invalid { file: files.display(file), reason })
        }
    }
}

fn find(files: &dyn ModelSource, stem: &str, what: &str) -> Result<String, ModelError> {
    let named = |ending| format!("{stem}.{ending}");
    ENDINGS.into_iter().map(named).find(|file| files.has(file)).ok_or_else(|| {
        ModelError::MissingFile {
            file: files.display(&named(ENDINGS[1])),
            remedy: format!("put {what} there"),
        }
    })
}
