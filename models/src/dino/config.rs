//! A DINO folder's `config.json`.

use serde::Deserialize;

use crate::{Activation, ModelError, config_checks::Checks};

/// Sizes of the vision transformer, with transformers' defaults (ViT-B/16).
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(default)]
pub struct ViTConfig {
    /// The architecture that the file is of. Default: vit
    pub model_type: String,
    /// Width of the hidden states. Default: 768
    pub hidden_size: usize,
    /// Width inside the feed-forward layers. Default: 3072
    pub intermediate_size: usize,
    /// Layers. Default: 12
    pub num_hidden_layers: usize,
    /// Attention heads. Default: 12
    pub num_attention_heads: usize,
    /// Picture channels. Default: 3
    pub num_channels: usize,
    /// Height and width of the pictures. Default: 224
    pub image_size: usize,
    /// Height and width of one patch. Default: 16
    pub patch_size: usize,
    /// Whether queries, keys and values have a bias. Default: true
    pub qkv_bias: bool,
    /// Activation of the feed-forward layers. Default: gelu
    pub hidden_act: Activation,
    /// Epsilon of every layer normalisation. Default: 1e-12
    pub layer_norm_eps: f64,
}

impl Default for ViTConfig {
    fn default() -> Self {
        Self {
            model_type: "vit".into(),
            hidden_size: 768,
            intermediate_size: 3072,
            num_hidden_layers: 12,
            num_attention_heads: 12,
            num_channels: 3,
            image_size: 224,
            patch_size: 16,
            qkv_bias: true,
            hidden_act: Activation::Gelu,
            layer_norm_eps: 1e-12,
        }
    }
}

impl ViTConfig {
    /// Parses and checks the text of a `config.json`; `file` is named in errors.
    ///
    /// # Errors
    ///
    /// [`ModelError`] if it does not parse, or asks for what is not built.
    pub fn parse(json: &[u8], file: &str) -> Result<Self, ModelError> {
        let config: Self = crate::config_checks::parse(json, file)?;
        let check = Checks::new(file);
        // DINOv2 and others have layers of their own
        check.one_of("model_type", &config.model_type, &["vit"])?;
        check.size("hidden_size", config.hidden_size)?;
        check.size("intermediate_size", config.intermediate_size)?;
        check.layers("num_hidden_layers", config.num_hidden_layers)?;
        check.side("image_size", Some(config.image_size))?;
        check.positive("layer_norm_eps", config.layer_norm_eps)?;
        check.one_of("num_channels", &config.num_channels.to_string(), &["3"])?;
        check.divides("patch_size", config.patch_size, config.image_size)?;
        check.divides("num_attention_heads", config.num_attention_heads, config.hidden_size)?;
        Ok(config)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_empty_file_is_the_base_model_and_another_architecture_is_refused() {
        assert_eq!(ViTConfig::parse(b"{}", "config.json").unwrap(), ViTConfig::default());
        for (json, key) in [
            (r#"{"model_type": "dinov2"}"#, "model_type"),
            (r#"{"num_attention_heads": 5}"#, "num_attention_heads"),
            (r#"{"patch_size": 0}"#, "patch_size"),
            (r#"{"image_size": 1000000}"#, "image_size = 1000000"),
            (r#"{"layer_norm_eps": 0}"#, "layer_norm_eps"),
        ] {
            let error = ViTConfig::parse(json.as_bytes(), "config.json").unwrap_err().to_string();
            assert!(error.contains(key), "{error}");
        }
    }
}
