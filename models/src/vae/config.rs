//! `vae/config.json`.

use serde::Deserialize;

use crate::{ModelError, config_checks::Checks};

fn default_scaling_factor() -> f64 {
    0.18215
}

fn yes() -> bool {
    true
}

/// What diffusers calls such an autoencoder, saved by PyTorch and by Flax.
const CLASSES: [&str; 2] = ["AutoencoderKL", "FlaxAutoencoderKL"];

#[derive(Deserialize)]
struct Class {
    #[serde(rename = "_class_name")]
    class_name: Option<String>,
}

/// Sizes of an [`AutoencoderKl`](super::AutoencoderKl), with diffusers' defaults for keys that
/// older files lack.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub struct AutoencoderKlConfig {
    /// Picture channels. Default: 3
    #[serde(default = "AutoencoderKlConfig::default_picture_channels")]
    pub in_channels: usize,
    /// Picture channels that come out. Default: 3
    #[serde(default = "AutoencoderKlConfig::default_picture_channels")]
    pub out_channels: usize,
    /// Channels of each level, finest first.
    pub block_out_channels: Vec<usize>,
    /// Residual blocks of each level on the way down (one more on the way up). Default: 1
    #[serde(default = "AutoencoderKlConfig::default_layers")]
    pub layers_per_block: usize,
    /// Channels of the latents. Default: 4
    #[serde(default = "AutoencoderKlConfig::default_latent_channels")]
    pub latent_channels: usize,
    /// Groups of every group normalisation. Default: 32
    #[serde(default = "AutoencoderKlConfig::default_groups")]
    pub norm_num_groups: usize,
    /// Height and width of the training pictures.
    #[serde(default)]
    pub sample_size: Option<usize>,
    /// What latents are multiplied with before diffusion. Default: 0.18215
    #[serde(default = "default_scaling_factor")]
    pub scaling_factor: f64,
    /// Self-attention in the middle. Default: true
    #[serde(default = "yes")]
    pub mid_block_add_attention: bool,
    /// A 1x1 convolution after the encoder. Default: true
    #[serde(default = "yes")]
    pub use_quant_conv: bool,
    /// A 1x1 convolution before the decoder. Default: true
    #[serde(default = "yes")]
    pub use_post_quant_conv: bool,
    /// The activation. Default: silu
    #[serde(default)]
    pub act_fn: Option<String>,
    /// One entry for each level, all `DownEncoderBlock2D`.
    #[serde(default)]
    pub down_block_types: Option<Vec<String>>,
    /// One entry for each level, all `UpDecoderBlock2D`.
    #[serde(default)]
    pub up_block_types: Option<Vec<String>>,
    #[serde(default)]
    shift_factor: Option<f64>,
    #[serde(default)]
    latents_mean: Option<Vec<f64>>,
    #[serde(default)]
    latents_std: Option<Vec<f64>>,
}

impl AutoencoderKlConfig {
    fn default_picture_channels() -> usize {
        3
    }
    fn default_layers() -> usize {
        1
    }
    fn default_latent_channels() -> usize {
        4
    }
    fn default_groups() -> usize {
        32
    }

    /// How many picture pixels one latent pixel stands for along a side.
    pub fn downscale(&self) -> usize {
        1 << (self.block_out_channels.len() - 1)
    }

    /// Parses and checks the text of a `config.json`; `file` is named in errors.
    ///
    /// # Errors
    ///
    /// [`ModelError`] says what does not fit.
    pub fn parse(json: &[u8], file: &str) -> Result<Self, ModelError> {
        let check = Checks::new(file);
        // before the sizes, which others call otherwise
        let Class { class_name } = crate::config_checks::parse(json, file)?;
        let class_name = class_name.as_deref().unwrap_or(CLASSES[0]);
        check.one_of("_class_name", class_name, &CLASSES)?;
        let config: Self = crate::config_checks::parse(json, file)?;
        check.levels("block_out_channels", &config.block_out_channels, config.norm_num_groups)?;
        check.size("in_channels", config.in_channels)?;
        check.size("out_channels", config.out_channels)?;
        check.size("latent_channels", config.latent_channels)?;
        check.layers("layers_per_block", config.layers_per_block)?;
        check.side("sample_size", config.sample_size)?;
        check.positive("scaling_factor", config.scaling_factor)?;
        check.one_of("act_fn", config.act_fn.as_deref().unwrap_or("silu"), &["silu", "swish"])?;
        let levels = config.block_out_channels.len();
        for (key, types, expected) in [
            ("down_block_types", &config.down_block_types, "DownEncoderBlock2D"),
            ("up_block_types", &config.up_block_types, "UpDecoderBlock2D"),
        ] {
            if let Some(types) = types {
                check.count(key, types.len(), levels)?;
                types.iter().try_for_each(|t| check.one_of(key, t, &[expected]))?;
            }
        }
        check.plain(&[
            ("shift_factor", config.shift_factor.is_none_or(|shift| shift == 0.0)),
            ("latents_mean", config.latents_mean.is_none()),
            ("latents_std", config.latents_std.is_none()),
        ])?;
        Ok(config)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_autoencoder_is_refused_by_its_class() {
        let parse = |json: &str| AutoencoderKlConfig::parse(json.as_bytes(), "vae/config.json");
        let tiny = r#"{"_class_name": "AutoencoderTiny", "encoder_block_out_channels": [64, 64]}"#;
        let error = parse(tiny).unwrap_err().to_string();
        assert!(error.contains("_class_name = `AutoencoderTiny`"), "{error}");
        let sizes = r#""block_out_channels": [32, 64]"#;
        assert!(parse(&format!("{{{sizes}}}")).is_ok());
        for class in CLASSES {
            assert!(parse(&format!(r#"{{"_class_name": "{class}", {sizes}}}"#)).is_ok(), "{class}");
        }
    }
}
