//! `unet/config.json`.

use serde::{Deserialize, Deserializer};

use super::{TimeIds, variants};
use crate::{ModelError, config_checks::Checks};

/// One level of the UNet, on the way down or up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
pub enum UpDownBlock {
    /// Resnets only.
    #[serde(rename = "DownBlock2D", alias = "UpBlock2D")]
    Plain,
    /// Resnets, each followed by a transformer that attends to the text.
    #[serde(rename = "CrossAttnDownBlock2D", alias = "CrossAttnUpBlock2D")]
    CrossAttention,
}

/// One number for all levels, or one for each.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(untagged, expecting = "blocks and heads must be one number, or one for each level")]
pub(super) enum PerLevel {
    One(usize),
    Each(Vec<usize>),
}

impl PerLevel {
    /// The number of a level, finest first; 0 where the list is too short.
    fn at(&self, level: usize) -> usize {
        match self {
            Self::One(number) => *number,
            Self::Each(numbers) => numbers.get(level).copied().unwrap_or(0),
        }
    }
}

/// What is added to the time embedding.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
pub(super) enum AdditionEmbedding {
    /// SDXL's: a pooled state of the text, and the picture's sizes by sinusoids.
    #[serde(rename = "text_time")]
    TextTime,
}

/// Widths of what SDXL adds to the time embedding.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct AddedWidths {
    /// Of the text's pooled state.
    pub pooled: usize,
    /// Of the sinusoids of each of the picture's sizes.
    pub size: usize,
}

impl AddedWidths {
    /// Of the pooled state and all sizes side by side.
    pub fn total(self) -> usize {
        self.pooled + TimeIds::COUNT * self.size
    }
}

/// SDXL's published file writes null.
fn null_is_false<'de, D: Deserializer<'de>>(deserializer: D) -> Result<bool, D::Error> {
    Ok(Option::deserialize(deserializer)?.unwrap_or(false))
}

/// Sizes of a [`UNet2DConditionModel`](super::UNet2DConditionModel), with diffusers' defaults for
/// keys that older files lack.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(default)]
pub struct UNet2DConditionConfig {
    /// Height and width of the training latents.
    pub sample_size: Option<usize>,
    /// Latent channels. Default: 4
    pub in_channels: usize,
    /// Latent channels that come out. Default: 4
    pub out_channels: usize,
    /// Channels of each level, finest first. Default: 320, 640, 1280, 1280
    pub block_out_channels: Vec<usize>,
    /// Resnets of each level on the way down (one more on the way up). Default: 2
    pub layers_per_block: usize,
    /// Kinds of the levels, finest first.
    pub down_block_types: Vec<UpDownBlock>,
    /// Kinds of the levels, coarsest first.
    pub up_block_types: Vec<UpDownBlock>,
    /// Width of the text encoder's hidden states. Default: 1280
    pub cross_attention_dim: usize,
    /// Groups of every group normalisation. Default: 32
    pub norm_num_groups: usize,
    /// Epsilon of the resnets' norms. Default: 1e-5
    pub norm_eps: f64,
    /// Cosines before sines. Default: true
    pub flip_sin_to_cos: bool,
    /// Linear layers instead of 1x1 convolutions around the transformers (SD 2). Default: false
    pub use_linear_projection: bool,
    /// Attention in f32 whatever the weights' type (SD 2.1). Default: false
    #[serde(deserialize_with = "null_is_false")]
    pub upcast_attention: bool,
    attention_head_dim: PerLevel,
    num_attention_heads: Option<PerLevel>,
    addition_embed_type: Option<AdditionEmbedding>,
    addition_time_embed_dim: Option<usize>,
    projection_class_embeddings_input_dim: Option<usize>,
    transformer_layers_per_block: PerLevel,
    /// What wrote the file.
    #[serde(rename = "_diffusers_version")]
    diffusers_version: Option<String>,
}

impl Default for UNet2DConditionConfig {
    fn default() -> Self {
        use UpDownBlock::{CrossAttention, Plain};
        Self {
            sample_size: None,
            in_channels: 4,
            out_channels: 4,
            block_out_channels: vec![320, 640, 1280, 1280],
            layers_per_block: 2,
            down_block_types: vec![CrossAttention, CrossAttention, CrossAttention, Plain],
            up_block_types: vec![Plain, CrossAttention, CrossAttention, CrossAttention],
            cross_attention_dim: 1280,
            norm_num_groups: 32,
            norm_eps: 1e-5,
            flip_sin_to_cos: true,
            use_linear_projection: false,
            upcast_attention: false,
            attention_head_dim: PerLevel::One(8),
            num_attention_heads: None,
            addition_embed_type: None,
            addition_time_embed_dim: None,
            projection_class_embeddings_input_dim: None,
            transformer_layers_per_block: PerLevel::One(1),
            diffusers_version: None,
        }
    }
}

impl UNet2DConditionConfig {
    /// Attention heads of a level, finest first.
    ///
    /// diffusers' `attention_head_dim` is, for these models, the *number* of heads; files that
    /// name `num_attention_heads` mean the same by it.
    pub(super) fn heads(&self, level: usize) -> usize {
        self.num_attention_heads.as_ref().unwrap_or(&self.attention_head_dim).at(level)
    }

    /// Transformer blocks of each attention of a level, finest first.
    pub(super) fn transformer_layers(&self, level: usize) -> usize {
        self.transformer_layers_per_block.at(level)
    }

    /// Whether a level, finest first, attends to the text anywhere; below the coarsest, the middle does.
    fn attends(&self, level: usize) -> bool {
        let last = self.block_out_channels.len() - 1;
        let kinds = [self.down_block_types[level], self.up_block_types[last - level]];
        level == last || kinds.contains(&UpDownBlock::CrossAttention)
    }

    /// What is added to the time embedding; none but for SDXL.
    pub(super) fn added_widths(&self) -> Option<AddedWidths> {
        let size = self.addition_time_embed_dim.filter(|_| self.addition_embed_type.is_some())?;
        let input = self.projection_class_embeddings_input_dim?;
        Some(AddedWidths { pooled: input.checked_sub(TimeIds::COUNT * size)?, size })
    }

    /// Width of the text's pooled state that the network takes; none but for SDXL.
    pub fn pooled_width(&self) -> Option<usize> {
        self.added_widths().map(|widths| widths.pooled)
    }

    /// The same as diffusers' `StableDiffusionPipeline` corrects what its converter wrote before 0.9: half
    /// the side of the latents.
    #[must_use]
    pub fn corrected(self) -> Self {
        let version = self.diffusers_version.as_deref();
        let minor = version
            .and_then(|version| version.strip_prefix("0.")?.split('.').next()?.parse::<u32>().ok());
        match minor {
            Some(..9) => Self { sample_size: self.sample_size.map(|size| size.max(64)), ..self },
            _ => self,
        }
    }

    /// Width of the time embedding.
    pub(super) fn time_embed_dim(&self) -> usize {
        4 * self.block_out_channels[0]
    }

    /// Parses and checks the text of a `config.json`; `file` is named in errors.
    ///
    /// # Errors
    ///
    /// [`ModelError`] says what does not fit.
    pub fn parse(json: &[u8], file: &str) -> Result<Self, ModelError> {
        variants::check(json, file)?;
        let config: Self = crate::config_checks::parse(json, file)?;
        let check = Checks::new(file);
        let levels = config.block_out_channels.len();
        check.levels("block_out_channels", &config.block_out_channels, config.norm_num_groups)?;
        check.count("down_block_types", config.down_block_types.len(), levels)?;
        check.count("up_block_types", config.up_block_types.len(), levels)?;
        check.size("in_channels", config.in_channels)?;
        check.size("out_channels", config.out_channels)?;
        check.layers("layers_per_block", config.layers_per_block)?;
        check.side("sample_size", config.sample_size)?;
        check.positive("norm_eps", config.norm_eps)?;
        check.size("cross_attention_dim", config.cross_attention_dim)?;
        let each = config.block_out_channels.iter().enumerate();
        for (level, channels) in each.filter(|(level, _)| config.attends(*level)) {
            check.divides("attention_head_dim", config.heads(level), *channels)?;
            let layers = config.transformer_layers(level);
            check.layers("transformer_layers_per_block", layers)?;
            // so that no short file asks for a million of them
            let key = "layers_per_block x transformer_layers_per_block";
            check.layers(key, config.layers_per_block * layers)?;
        }
        config.check_added(&check)?;
        Ok(config)
    }

    fn check_added(&self, check: &Checks<'_>) -> Result<(), ModelError> {
        if self.addition_embed_type.is_none() {
            return Ok(());
        }
        let key = "addition_time_embed_dim";
        let size = self.addition_time_embed_dim.unwrap_or(0);
        check.size(key, size)?;
        let key = "projection_class_embeddings_input_dim";
        let input = self.projection_class_embeddings_input_dim.unwrap_or(0);
        check.size(key, input)?;
        if input <= TimeIds::COUNT * size {
            let least = format!("numbers above six times `addition_time_embed_dim`, {size}");
            return Err(check.unsupported(key, input, &least));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn widths_may_be_odd() {
        let json = br#"{
            "block_out_channels": [3, 9, 15, 15], "norm_num_groups": 3, "attention_head_dim": 3,
            "addition_embed_type": "text_time", "addition_time_embed_dim": 5,
            "projection_class_embeddings_input_dim": 37
        }"#;
        let config = UNet2DConditionConfig::parse(json, "config.json").unwrap();
        assert_eq!((config.time_embed_dim(), config.pooled_width()), (12, Some(7)));
    }

    #[test]
    fn heads_and_depths_are_checked_where_there_is_attention_alone() {
        let config = |heads: &str, depths: &str| {
            let json = format!(
                r#"{{
                    "block_out_channels": [10, 12, 16], "norm_num_groups": 2,
                    "down_block_types": ["DownBlock2D", "CrossAttnDownBlock2D", "DownBlock2D"],
                    "up_block_types": ["UpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"],
                    "attention_head_dim": {heads}, "transformer_layers_per_block": {depths}
                }}"#
            );
            let parsed = UNet2DConditionConfig::parse(json.as_bytes(), "config.json");
            parsed.map(|_| ()).map_err(|error| error.to_string())
        };
        assert_eq!(config("4", "[0, 1, 2]"), Ok(()));
        for (heads, depths, told) in [
            ("[1, 5, 4]", "1", "attention_head_dim = 5"),
            ("[1, 4, 3]", "1", "attention_head_dim = 3"), // in the middle
            ("4", "[1, 1, 0]", "transformer_layers_per_block = 0"),
        ] {
            let refused = config(heads, depths).unwrap_err();
            assert!(refused.contains(told), "{refused}");
        }
    }

    #[test]
    fn lists_where_there_is_one_number_for_all_levels_are_named_by_their_keys() {
        for (key, value) in [
            ("layers_per_block", "[2, 2, 2, 2]"),
            ("cross_attention_dim", "[768, 768, 768, 768]"),
            ("sample_size", "[64, 96]"),
        ] {
            let json = format!(r#"{{"{key}": {value}}}"#);
            let error = UNet2DConditionConfig::parse(json.as_bytes(), "config.json").unwrap_err();
            assert!(error.to_string().contains(&format!("`{key}`: invalid type")), "{error}");
        }
    }

    #[test]
    fn a_level_of_several_depths_is_refused_without_the_name_of_a_type() {
        let json = br#"{"transformer_layers_per_block": [1, [2, 2], [4, 4]]}"#;
        let error = UNet2DConditionConfig::parse(json, "config.json").unwrap_err().to_string();
        assert!(error.contains("must be one number, or one for each level"), "{error}");
    }

    #[test]
    fn a_side_of_latents_that_an_old_converter_halved_is_corrected() {
        for (version, side, want) in
            [("0.6.0", 32, 64), ("0.8.1", 32, 64), ("0.6.0", 96, 96), ("0.9.0", 32, 32)]
        {
            let json = format!(r#"{{"_diffusers_version": "{version}", "sample_size": {side}}}"#);
            let config = UNet2DConditionConfig::parse(json.as_bytes(), "config.json").unwrap();
            assert_eq!(config.corrected().sample_size, Some(want), "{version}");
        }
        assert_eq!(UNet2DConditionConfig::default().corrected().sample_size, None);
    }

    #[test]
    fn depths_that_are_too_large_together_are_named_by_both_keys() {
        let json = br#"{"layers_per_block": 200, "transformer_layers_per_block": 200}"#;
        let error = UNet2DConditionConfig::parse(json, "config.json").unwrap_err().to_string();
        let told = "layers_per_block x transformer_layers_per_block = 40000";
        assert!(error.contains(told), "{error}");
    }
}
