//! `unet/config.json`.

use serde::{Deserialize, Deserializer};
use serde_json::Value;

use super::TimeIds;
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
    freq_shift: f64,
    downsample_padding: usize,
    attention_head_dim: PerLevel,
    num_attention_heads: Option<PerLevel>,
    act_fn: String,
    center_input_sample: bool,
    mid_block_scale_factor: f64,
    mid_block_type: Option<String>,
    only_cross_attention: Value,
    dual_cross_attention: bool,
    class_embed_type: Option<String>,
    addition_embed_type: Option<AdditionEmbedding>,
    addition_time_embed_dim: Option<usize>,
    projection_class_embeddings_input_dim: Option<usize>,
    encoder_hid_dim: Option<usize>,
    time_cond_proj_dim: Option<usize>,
    resnet_time_scale_shift: String,
    time_embedding_type: String,
    transformer_layers_per_block: PerLevel,
    reverse_transformer_layers_per_block: Option<Value>,
    resnet_out_scale_factor: f64,
    resnet_skip_time_act: bool,
    timestep_post_act: Option<String>,
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
            freq_shift: 0.0,
            downsample_padding: 1,
            use_linear_projection: false,
            upcast_attention: false,
            attention_head_dim: PerLevel::One(8),
            num_attention_heads: None,
            act_fn: "silu".into(),
            center_input_sample: false,
            mid_block_scale_factor: 1.0,
            mid_block_type: Some("UNetMidBlock2DCrossAttn".into()),
            only_cross_attention: Value::Bool(false),
            dual_cross_attention: false,
            class_embed_type: None,
            addition_embed_type: None,
            addition_time_embed_dim: None,
            projection_class_embeddings_input_dim: None,
            encoder_hid_dim: None,
            time_cond_proj_dim: None,
            resnet_time_scale_shift: "default".into(),
            time_embedding_type: "positional".into(),
            transformer_layers_per_block: PerLevel::One(1),
            reverse_transformer_layers_per_block: None,
            resnet_out_scale_factor: 1.0,
            resnet_skip_time_act: false,
            timestep_post_act: None,
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
        check.one_of("downsample_padding", &config.downsample_padding.to_string(), &["1"])?;
        check.one_of("freq_shift", &config.freq_shift.to_string(), &["0"])?;
        check.size("cross_attention_dim", config.cross_attention_dim)?;
        if !config.block_out_channels[0].is_multiple_of(2) {
            // the time embedding has as many sines as cosines
            let first = config.block_out_channels[0];
            return Err(check.unsupported("block_out_channels[0]", first, "even numbers there"));
        }
        for (level, channels) in config.block_out_channels.iter().enumerate() {
            check.divides("attention_head_dim", config.heads(level), *channels)?;
        }
        check.one_of("act_fn", &config.act_fn, &["silu", "swish"])?;
        check.one_of("resnet_time_scale_shift", &config.resnet_time_scale_shift, &["default"])?;
        check.one_of("time_embedding_type", &config.time_embedding_type, &["positional"])?;
        let mid = config.mid_block_type.as_deref().unwrap_or("null");
        check.one_of("mid_block_type", mid, &["UNetMidBlock2DCrossAttn"])?;
        for level in 0..levels {
            let layers = config.transformer_layers(level);
            check.layers("transformer_layers_per_block", layers)?;
            // so that no short file asks for a million of them
            let key = "layers_per_block x transformer_layers_per_block";
            check.layers(key, config.layers_per_block * layers)?;
        }
        config.check_added(&check)?;
        config.check_variants(&check)?;
        Ok(config)
    }

    /// Whether the network is of no variant that is not implemented.
    fn check_variants(&self, check: &Checks<'_>) -> Result<(), ModelError> {
        if self.time_cond_proj_dim.is_some() {
            // the guidance scale is an input there
            return Err(check.unsupported(
                "time_cond_proj_dim",
                "a number, as latent consistency models (LCM) have it",
                "models that are guided while they draw",
            ));
        }
        check.plain(&[
            ("center_input_sample", !self.center_input_sample),
            ("dual_cross_attention", !self.dual_cross_attention),
            (
                "only_cross_attention",
                matches!(self.only_cross_attention, Value::Bool(false) | Value::Null),
            ),
            ("class_embed_type", self.class_embed_type.is_none()),
            (
                "reverse_transformer_layers_per_block",
                self.reverse_transformer_layers_per_block.is_none(),
            ),
            ("encoder_hid_dim", self.encoder_hid_dim.is_none()),
            ("mid_block_scale_factor", self.mid_block_scale_factor == 1.0),
            ("resnet_out_scale_factor", self.resnet_out_scale_factor == 1.0),
            ("resnet_skip_time_act", !self.resnet_skip_time_act),
            ("timestep_post_act", self.timestep_post_act.is_none()),
        ])
    }

    fn check_added(&self, check: &Checks<'_>) -> Result<(), ModelError> {
        if self.addition_embed_type.is_none() {
            return Ok(());
        }
        let key = "addition_time_embed_dim";
        let size = self.addition_time_embed_dim.unwrap_or(0);
        check.size(key, size)?;
        if !size.is_multiple_of(2) {
            return Err(check.unsupported(key, size, "even numbers"));
        }
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
    fn an_odd_first_level_is_named_by_its_key() {
        let json = br#"{"block_out_channels": [3, 6, 12, 12], "norm_num_groups": 1}"#;
        let error = UNet2DConditionConfig::parse(json, "config.json").unwrap_err().to_string();
        assert!(error.contains("block_out_channels[0] = 3"), "{error}");
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
