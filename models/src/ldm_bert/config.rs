//! `bert/config.json`.

use serde::Deserialize;

use crate::{Activation, ModelError, config_checks::Checks};

/// Sizes of an [`LdmBertModel`](super::LdmBertModel), with diffusers' defaults for keys that files
/// lack. The rates of dropout are not read: it is never applied here.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(default)]
pub struct LdmBertConfig {
    /// Entries of the token table. Default: 30522
    pub vocab_size: usize,
    /// The longest prompt in tokens. Default: 77
    pub max_position_embeddings: usize,
    /// Layers. Default: 32
    pub encoder_layers: usize,
    /// Width inside the feed-forward layers. Default: 5120
    pub encoder_ffn_dim: usize,
    /// Attention heads. Default: 8
    pub encoder_attention_heads: usize,
    /// Width of one head; all heads together may be narrower or wider than `d_model`. Default: 64
    pub head_dim: usize,
    /// Activation of the feed-forward layers. Default: gelu
    pub activation_function: Activation,
    /// Width of the hidden states. Default: 1280
    pub d_model: usize,
}

impl Default for LdmBertConfig {
    fn default() -> Self {
        Self {
            vocab_size: 30522,
            max_position_embeddings: 77,
            encoder_layers: 32,
            encoder_ffn_dim: 5120,
            encoder_attention_heads: 8,
            head_dim: 64,
            activation_function: Activation::Gelu,
            d_model: 1280,
        }
    }
}

impl LdmBertConfig {
    /// Parses and checks the text of a `config.json`; `file` is named in errors.
    ///
    /// # Errors
    ///
    /// [`ModelError`] if it does not parse or asks for something that is not built.
    pub fn parse(json: &[u8], file: &str) -> Result<Self, ModelError> {
        let config: Self = crate::config_checks::parse(json, file)?;
        let check = Checks::new(file);
        check.size("vocab_size", config.vocab_size)?;
        check.positions(config.max_position_embeddings)?;
        check.layers("encoder_layers", config.encoder_layers)?;
        check.size("encoder_ffn_dim", config.encoder_ffn_dim)?;
        check.size("encoder_attention_heads", config.encoder_attention_heads)?;
        check.size("head_dim", config.head_dim)?;
        let width = config.encoder_attention_heads.saturating_mul(config.head_dim);
        check.size("encoder_attention_heads x head_dim", width)?;
        check.size("d_model", config.d_model)?;
        Ok(config)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(json: &str) -> String {
        LdmBertConfig::parse(json.as_bytes(), "bert/config.json").unwrap_err().to_string()
    }

    #[test]
    fn an_empty_configuration_is_that_of_the_published_model() {
        let config = LdmBertConfig::parse(b"{}", "bert/config.json").unwrap();
        assert_eq!(config, LdmBertConfig::default());
    }

    #[test]
    fn sizes_that_no_network_has_are_refused_with_their_key() {
        for (json, key) in [
            (r#"{"vocab_size": 0}"#, "vocab_size"),
            (r#"{"d_model": 4611686018427387904}"#, "d_model"),
            (r#"{"encoder_layers": 1000000}"#, "encoder_layers"),
            (r#"{"max_position_embeddings": 3}"#, "max_position_embeddings"),
            (r#"{"max_position_embeddings": 1000000}"#, "max_position_embeddings"),
            (r#"{"head_dim": 1048576}"#, "encoder_attention_heads x head_dim"),
            (r#"{"activation_function": "gelu_new"}"#, "gelu_new"),
        ] {
            let refusal = refusal(json);
            assert!(refusal.contains(key) && refusal.contains("`bert/config.json`"), "{refusal}");
        }
    }
}
