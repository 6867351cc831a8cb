//! What diffusers' network may be and this one is not.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::{
    ModelError,
    config_checks::{Checks, parse},
};

/// Keys of a `config.json` that stand for parts or computations of their own, and their values that are
/// built here. A key that is missing has one of them.
const BUILT: &[(&str, &[&str])] = &[
    ("act_fn", &["silu", "swish"]),
    ("attention_type", &["default"]),
    ("center_input_sample", &["false"]),
    ("class_embed_type", &["null"]),
    ("conv_in_kernel", &["3"]),
    ("conv_out_kernel", &["3"]),
    ("downsample_padding", &["1"]),
    ("dual_cross_attention", &["false"]),
    ("encoder_hid_dim", &["null"]),
    ("freq_shift", &["0"]),
    ("mid_block_scale_factor", &["1"]),
    ("mid_block_type", &["UNetMidBlock2DCrossAttn"]),
    ("num_class_embeds", &["null"]),
    ("only_cross_attention", &["false", "null"]),
    ("resnet_out_scale_factor", &["1"]),
    ("resnet_skip_time_act", &["false"]),
    ("resnet_time_scale_shift", &["default"]),
    ("reverse_transformer_layers_per_block", &["null"]),
    ("time_embedding_act_fn", &["null"]),
    ("time_embedding_dim", &["null"]),
    ("time_embedding_type", &["positional"]),
    ("timestep_post_act", &["null"]),
];

/// Checks that a `config.json` asks for nothing else.
///
/// # Errors
///
/// [`ModelError`] names the key.
pub(super) fn check(json: &[u8], file: &str) -> Result<(), ModelError> {
    let keys: BTreeMap<String, Value> = parse(json, file)?;
    let check = Checks::new(file);
    if keys.get("time_cond_proj_dim").is_some_and(|width| !width.is_null()) {
        // the guidance scale is an input there
        return Err(check.unsupported(
            "time_cond_proj_dim",
            "a number, as latent consistency models (LCM) have it",
            "models that are guided while they draw",
        ));
    }
    BUILT.iter().try_for_each(|(key, built)| match keys.get(*key) {
        Some(value) => check.one_of(key, &text(value), built),
        None => Ok(()),
    })
}

/// A value as the table has it: a text without its quotes, and 1.0 as 1.
fn text(value: &Value) -> String {
    match (value.as_str(), value.as_f64()) {
        (Some(text), _) => text.into(),
        (None, Some(number)) => number.to_string(),
        (None, None) => value.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn checked(json: &str) -> Result<(), String> {
        check(json.as_bytes(), "unet/config.json").map_err(|error| error.to_string())
    }

    #[test]
    fn what_is_not_built_is_refused_by_its_key() {
        for (key, value, found) in [
            // changes numbers, and no weight's name or shape
            ("time_embedding_act_fn", r#""silu""#, "`silu`"),
            ("center_input_sample", "true", "`true`"),
            ("mid_block_scale_factor", "1.5", "`1.5`"),
            ("freq_shift", "1", "`1`"),
            ("only_cross_attention", "[true, false]", "`[true,false]`"),
            ("mid_block_type", "null", "`null`"),
            ("num_class_embeds", "1000", "`1000`"),
            ("attention_type", r#""gated""#, "`gated`"),
            ("time_cond_proj_dim", "256", "a number, as latent consistency models"),
        ] {
            let refused = checked(&format!(r#"{{"{key}": {value}}}"#)).unwrap_err();
            let told = format!("`unet/config.json`: {key} = {found}");
            assert!(refused.starts_with(&told), "{refused}");
        }
    }

    #[test]
    fn what_is_built_may_be_written_in_several_ways() {
        for json in [
            "{}",
            r#"{"mid_block_scale_factor": 1, "freq_shift": 0.0, "act_fn": "swish"}"#,
            r#"{"mid_block_scale_factor": 1.0, "freq_shift": 0, "only_cross_attention": null}"#,
            r#"{"time_embedding_act_fn": null, "time_cond_proj_dim": null, "act_fn": "silu"}"#,
        ] {
            assert_eq!(checked(json), Ok(()));
        }
    }
}
