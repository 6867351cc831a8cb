//! `text_encoder/config.json` and a CLIP scorer's `config.json`.

use serde::Deserialize;

use crate::{Activation, ModelError, config_checks::Checks};

/// Sizes of the text tower, with transformers' defaults for keys that older files lack.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(default)]
pub struct ClipTextConfig {
    /// Entries of the token table. Default: 49408
    pub vocab_size: usize,
    /// Width of the hidden states. Default: 512
    pub hidden_size: usize,
    /// Width inside the feed-forward layers. Default: 2048
    pub intermediate_size: usize,
    /// Layers. Default: 12
    pub num_hidden_layers: usize,
    /// Attention heads. Default: 8
    pub num_attention_heads: usize,
    /// The longest prompt in tokens. Default: 77
    pub max_position_embeddings: usize,
    /// Activation of the feed-forward layers. Default: quick_gelu
    pub hidden_act: Activation,
    /// Epsilon of every layer normalisation. Default: 1e-5
    pub layer_norm_eps: f64,
    /// Token whose first place gives the pooled output; 2 is a legacy value that means "the
    /// largest id". Default: 49407
    pub eos_token_id: usize,
    /// Width of the projected pooled state, where the model gives one. Default: 512
    pub projection_dim: usize,
}

impl Default for ClipTextConfig {
    fn default() -> Self {
        Self {
            vocab_size: 49408,
            hidden_size: 512,
            intermediate_size: 2048,
            num_hidden_layers: 12,
            num_attention_heads: 8,
            max_position_embeddings: 77,
            hidden_act: Activation::QuickGelu,
            layer_norm_eps: 1e-5,
            eos_token_id: 49407,
            projection_dim: 512,
        }
    }
}

/// Sizes of the picture tower, with transformers' defaults (ViT-B/32).
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(default)]
pub struct ClipVisionConfig {
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
    /// Height and width of one patch. Default: 32
    pub patch_size: usize,
    /// Activation of the feed-forward layers. Default: quick_gelu
    pub hidden_act: Activation,
    /// Epsilon of every layer normalisation. Default: 1e-5
    pub layer_norm_eps: f64,
}

impl Default for ClipVisionConfig {
    fn default() -> Self {
        Self {
            hidden_size: 768,
            intermediate_size: 3072,
            num_hidden_layers: 12,
            num_attention_heads: 12,
            num_channels: 3,
            image_size: 224,
            patch_size: 32,
            hidden_act: Activation::QuickGelu,
            layer_norm_eps: 1e-5,
        }
    }
}

/// Both towers and the width of their common space.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(default)]
pub struct ClipConfig {
    /// The text tower.
    pub text_config: ClipTextConfig,
    /// The picture tower.
    pub vision_config: ClipVisionConfig,
    /// Width of the features. Default: 512
    pub projection_dim: usize,
}

impl Default for ClipConfig {
    fn default() -> Self {
        Self {
            text_config: Default::default(),
            vision_config: Default::default(),
            projection_dim: 512,
        }
    }
}

/// A whole CLIP's configuration, of which a text encoder is a part.
#[derive(Deserialize)]
struct Whole {
    text_config: Option<ClipTextConfig>,
    use_attention_mask: Option<bool>,
}

impl ClipTextConfig {
    /// Parses and checks the text of a `config.json`, a whole CLIP's too; `file` is named in errors.
    ///
    /// # Errors
    ///
    /// [`ModelError`] says what does not fit.
    pub fn parse(json: &[u8], file: &str) -> Result<Self, ModelError> {
        let whole: Whole = crate::config_checks::parse(json, file)?;
        // diffusers would hide a text's padding
        let masked = whole.use_attention_mask == Some(true);
        Checks::new(file).plain(&[("use_attention_mask", !masked)])?;
        let config = match whole.text_config {
            Some(text) => text,
            None => crate::config_checks::parse(json, file)?,
        };
        config.check(file)?;
        Ok(config)
    }

    fn check(&self, file: &str) -> Result<(), ModelError> {
        let check = Checks::new(file);
        check.size("vocab_size", self.vocab_size)?;
        check.size("hidden_size", self.hidden_size)?;
        check.size("intermediate_size", self.intermediate_size)?;
        check.layers("num_hidden_layers", self.num_hidden_layers)?;
        check.positions(self.max_position_embeddings)?;
        check.size("projection_dim", self.projection_dim)?;
        check.positive("layer_norm_eps", self.layer_norm_eps)?;
        check.divides("num_attention_heads", self.num_attention_heads, self.hidden_size)
    }
}

impl ClipConfig {
    /// Parses and checks the text of a `config.json`; `file` is named in errors.
    ///
    /// # Errors
    ///
    /// [`ModelError`] says what does not fit.
    pub fn parse(json: &[u8], file: &str) -> Result<Self, ModelError> {
        let config: Self = crate::config_checks::parse(json, file)?;
        config.text_config.check(file)?;
        let (check, vision) = (Checks::new(file), &config.vision_config);
        check.size("projection_dim", config.projection_dim)?;
        check.size("hidden_size", vision.hidden_size)?;
        check.size("intermediate_size", vision.intermediate_size)?;
        check.layers("num_hidden_layers", vision.num_hidden_layers)?;
        check.side("image_size", Some(vision.image_size))?;
        check.positive("layer_norm_eps", vision.layer_norm_eps)?;
        check.one_of("num_channels", &vision.num_channels.to_string(), &["3"])?;
        check.divides("patch_size", vision.patch_size, vision.image_size)?;
        check.divides("num_attention_heads", vision.num_attention_heads, vision.hidden_size)?;
        Ok(config)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_changes_a_texts_states_in_another_way_is_refused_by_its_key() {
        let parse = |json: &str| ClipTextConfig::parse(json.as_bytes(), "text_encoder/config.json");
        for json in ["{}", r#"{"use_attention_mask": null}"#, r#"{"use_attention_mask": false}"#] {
            assert_eq!(parse(json).unwrap(), ClipTextConfig::default());
        }
        for (json, key) in [
            (r#"{"use_attention_mask": true}"#, "use_attention_mask"),
            (r#"{"hidden_act": "gelu_new"}"#, "`hidden_act`: unknown variant `gelu_new`"),
            (r#"{"text_config": {"hidden_act": "gelu_new"}}"#, "`text_config`: unknown variant"),
            (r#"{"num_attention_heads": 5}"#, "num_attention_heads"),
        ] {
            let error = parse(json).unwrap_err().to_string();
            assert!(error.contains(key) && error.contains("`text_encoder/config.json`"), "{error}");
        }
    }
}
