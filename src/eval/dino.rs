//! DINO scores (Ruiz et al. 2022, section 4.1).

use burn::tensor::{DType, Device, Tensor, TensorData};
use dvar_models::{
    ModelError,
    dino::{ViTConfig, ViTModel},
    weights::{self, ModelSource},
};
use serde::Deserialize;

use super::{Features, in_transformers_layout, preprocessor};
use crate::{
    data::{image::Picture, resize::Filter},
    pipelines::PipelineError,
};

/// Compares pictures by DINO's class token.
#[derive(Debug)]
pub struct DinoScorer {
    model: ViTModel,
    image_size: usize,
    filter: Filter,
    mean: [f32; 3],
    std: [f32; 3],
    device: Device,
}

/// `preprocessor_config.json`, with transformers' defaults of `ViTImageProcessor`.
#[derive(Deserialize)]
#[serde(default)]
struct Preprocessor {
    do_resize: bool,
    do_rescale: bool,
    do_normalize: bool,
    do_center_crop: bool,
    size: Size,
    resample: usize,
    image_mean: [f32; 3],
    image_std: [f32; 3],
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Size {
    Sides { height: usize, width: usize },
    Both(usize),
}

impl Default for Preprocessor {
    fn default() -> Self {
        Self {
            do_resize: true,
            do_rescale: true,
            do_normalize: true,
            do_center_crop: false,
            size: Size::Both(224),
            resample: 2,
            image_mean: [0.5; 3],
            image_std: [0.5; 3],
        }
    }
}

impl Preprocessor {
    /// Checks that pictures become what the model takes, and gives the filter for it.
    fn filter(&self, file: &str, image_size: usize) -> Result<Filter, ModelError> {
        let unsupported = |key: &str, value: String, supported: String| ModelError::Unsupported {
            file: file.into(),
            key: key.into(),
            value,
            supported,
        };
        for (key, value, only) in [
            ("do_resize", self.do_resize, true),
            ("do_rescale", self.do_rescale, true),
            ("do_normalize", self.do_normalize, true),
            ("do_center_crop", self.do_center_crop, false),
        ] {
            if value != only {
                return Err(unsupported(key, value.to_string(), format!("{only} alone")));
            }
        }
        let (height, width) = match self.size {
            Size::Sides { height, width } => (height, width),
            Size::Both(side) => (side, side),
        };
        if (height, width) != (image_size, image_size) {
            let supported = format!("the model's own {image_size} x {image_size} alone");
            return Err(unsupported("size", format!("{height} x {width}"), supported));
        }
        // Pillow's numbers
        match self.resample {
            1 => Ok(Filter::Lanczos),
            2 => Ok(Filter::Bilinear),
            3 => Ok(Filter::Bicubic),
            other => Err(unsupported(
                "resample",
                other.to_string(),
                "1 (Lanczos), 2 (bilinear) and 3 (bicubic)".into(),
            )),
        }
    }
}

impl DinoScorer {
    /// Loads a DINO model in transformers' layout, such as `facebook/dino-vits16`.
    ///
    /// # Errors
    ///
    /// [`PipelineError`] if a file is missing or broken, or asks for what is not built.
    pub fn open(files: &dyn ModelSource, device: &Device) -> Result<Self, PipelineError> {
        const CONFIG: &str = "config.json";
        const PREPROCESSOR: &str = "preprocessor_config.json";
        let json = files.read(CONFIG).map_err(in_transformers_layout)?;
        let config = ViTConfig::parse(&json, &files.display(CONFIG))?;
        let Some((preprocessor, shown)) = preprocessor::<Preprocessor>(files, ".")? else {
            let file = files.display(PREPROCESSOR);
            let missing = ModelError::MissingFile { file, remedy: String::new() };
            return Err(in_transformers_layout(missing));
        };
        let filter = preprocessor.filter(&shown, config.image_size)?;
        let model = weights::load(config.init(device), files, ".", DType::F32);
        Ok(Self {
            model: model.map_err(in_transformers_layout)?,
            image_size: config.image_size,
            filter,
            mean: preprocessor.image_mean,
            std: preprocessor.image_std,
            device: device.clone(),
        })
    }

    /// What DINO sees in pictures; one at a time, so that many cost no more memory than one.
    ///
    /// # Panics
    ///
    /// If there are none.
    pub fn features(&self, pictures: &[Picture]) -> Features {
        let seen = pictures.iter().map(|picture| self.seen(picture)).collect();
        Features::new(Tensor::cat(seen, 0))
    }

    /// What DINO sees in one picture, `[1, width]` of any length.
    pub(super) fn seen(&self, picture: &Picture) -> Tensor<2> {
        let size = self.image_size;
        let pixels = TensorData::new(self.pixel_values(picture), [1, 3, size, size]);
        self.model.forward(Tensor::from_data(pixels, &self.device))
    }

    /// What goes into the network for a picture, `[3, image_size, image_size]`.
    pub fn pixel_values(&self, picture: &Picture) -> Vec<f32> {
        let picture = picture.clone().into_rgb();
        picture
            .resize(self.image_size, self.image_size, self.filter)
            .normalized(self.mean, self.std)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_size_as_a_number_or_two_sides_is_read_and_what_is_not_built_is_refused() {
        let filter = |json: &str| {
            let parsed: Preprocessor = serde_json::from_str(json).unwrap();
            parsed.filter("preprocessor_config.json", 48).map_err(|error| error.to_string())
        };
        assert_eq!(filter(r#"{"size": 48}"#), Ok(Filter::Bilinear));
        let sides = r#"{"size": {"height": 48, "width": 48}, "resample": 3}"#;
        assert_eq!(filter(sides), Ok(Filter::Bicubic));
        for (json, key) in [
            ("{}", "size"),
            (r#"{"size": 48, "resample": 0}"#, "resample"),
            (r#"{"size": 48, "do_center_crop": true}"#, "do_center_crop"),
            (r#"{"size": 48, "do_normalize": false}"#, "do_normalize"),
        ] {
            let error = filter(json).unwrap_err();
            assert!(error.contains(&format!(": {key} = ")), "{error}");
        }
    }
}
