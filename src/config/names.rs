//! The names of all options, and their order in a file.

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use super::ConfigError;

/// The options as a run's `config.toml` orders them. The order is part of the file's bytes, of which
/// a saved state holds a mark: an option that is new goes to the end.
const NAMES: [&str; 92] = [
    "model",
    "train_data_dir",
    "placeholder_token",
    "initializer_token",
    "initializer_text",
    "initializer_file",
    "init_strategy",
    "num_vectors",
    "method",
    "learnable_property",
    "output_dir",
    "seed",
    "resolution",
    "crop",
    "max_train_steps",
    "train_batch_size",
    "gradient_accumulation_steps",
    "learning_rate",
    "scale_lr",
    "lr_scheduler",
    "lr_warmup_steps",
    "optimizer",
    "sam_adaptive",
    "sam_rho",
    "sam_momentum",
    "max_grad_norm",
    "mixed_precision",
    "gradient_checkpointing",
    "stopping",
    "window",
    "threshold",
    "min_delta",
    "patience",
    "sample_frequency",
    "eval_interval",
    "eval_batch_size",
    "exp_code",
    "mean_latent",
    "mean_noise",
    "triple",
    "eval_gradient_accumulation_steps",
    "save_steps",
    "beta_schedule",
    "validation_prompt",
    "n_images_per_val_prompt",
    "num_samples",
    "log_unscaled",
    "save_init_embeds",
    "clip",
    "class_prompt",
    "class_data_dir",
    "num_class_images",
    "prior_loss_weight",
    "lora_rank",
    "lora_scale",
    "logger",
    "project_name",
    "exp_name",
    "wandb",
    "pairing",
    "lr_num_cycles",
    "lr_power",
    "adam_beta1",
    "adam_beta2",
    "adam_epsilon",
    "adam_weight_decay",
    "scheduler",
    "num_inference_steps",
    "guidance_scale",
    "sampling_seed",
    "eta",
    "each_input",
    "min_timestep",
    "max_timestep",
    "flip",
    "clip_t",
    "preserve_embedding_norm",
    "min_train_steps",
    "ema",
    "prediction_type",
    "embedding_format",
    "lr_schedule",
    "captions",
    "caption_template",
    "shuffle_tags",
    "tag_dropout",
    "masked_loss",
    "background",
    "kohya_folders",
    "text_encoders",
    "lora_format",
    "tf32",
];

/// The option of this name.
///
/// # Errors
///
/// [`ConfigError::Unknown`], with the nearest name there is.
pub(super) fn known(name: &str) -> Result<&'static str, ConfigError> {
    NAMES.into_iter().find(|known| *known == name).ok_or_else(|| {
        let likeness = |known: &&str| strsim::jaro(known, name);
        let nearest = NAMES.into_iter().max_by(|a, b| likeness(a).total_cmp(&likeness(b)));
        let nearest = nearest.filter(|known| likeness(known) > 0.7);
        ConfigError::Unknown { name: name.into(), nearest }
    })
}

/// A key of a configuration file, which is the name of an option.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Name(&'static str);

impl<'de> Deserialize<'de> for Name {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        known(&String::deserialize(deserializer)?).map(Self).map_err(de::Error::custom)
    }
}

/// A table of options that is written in their order.
pub(super) struct InOrder(pub toml::Table);

impl Serialize for InOrder {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let set = NAMES.iter().filter_map(|name| Some((name, self.0.get(*name)?)));
        serializer.collect_map(set)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::config::TrainOptions;

    #[test]
    fn the_names_are_those_of_the_groups() {
        let groups = serde_json::to_value(TrainOptions::default()).unwrap();
        let fields: BTreeSet<&str> = groups.as_object().unwrap().keys().map(|k| &**k).collect();
        assert_eq!(BTreeSet::from(NAMES), fields);
        assert_eq!(fields.len(), NAMES.len(), "no name stands twice");
    }

    #[test]
    fn an_unknown_name_is_answered_with_the_nearest_or_with_none() {
        for (name, said) in [
            ("windw", "did you mean `window`?"),
            ("train_batchsize", "did you mean `train_batch_size`?"),
            ("max-train-steps", "did you mean `max_train_steps`?"),
            ("q", "`docs/options.md` lists all"),
        ] {
            let error = known(name).unwrap_err().to_string();
            assert_eq!(error, format!("there is no option `{name}`; {said}"));
        }
    }
}
