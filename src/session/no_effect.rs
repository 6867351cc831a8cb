//! Options that do nothing in a run, since others speak against them.

use super::CheckedOptions;
use crate::{
    config::{ConfigError, Initializer, Logger, MethodConfig, Stopping, TrainOptions},
    optim::LrShape,
};

const BY_LOSS: &str = "it is for the `stopping` by `dvar` or `plateau`";
const BY_LOSS_OR_START: &str =
    "it is for the `stopping` by `dvar` or `plateau`, and for a start by `lowest-loss`";
const OTHER_START: &str = "`init_strategy` names another start";

/// Options, whether they are heard, and why not.
type Rule = (&'static [&'static str], bool, &'static str);

impl CheckedOptions {
    /// Those of the `given` options that do nothing beside this run's others, by their names in a
    /// configuration file, each with the reason. An option that is `false` or 0 asks for nothing. What
    /// depends on the machine or on the pictures is none of these.
    ///
    /// # Errors
    ///
    /// [`ConfigError::Unwritable`] for a seed that TOML cannot hold.
    pub fn without_effect(
        &self,
        given: &TrainOptions,
    ) -> Result<Vec<(String, &'static str)>, ConfigError> {
        let mut given = toml::Table::try_from(given)?;
        given.retain(|_, value| {
            let off = value.as_bool() == Some(false);
            !off && value.as_integer() != Some(0) && value.as_float() != Some(0.0)
        });
        let rules: Vec<Rule> = self.rules().collect();
        let unheard = given.into_iter().filter_map(|(option, _)| {
            let rule = rules.iter().find(|(options, ..)| options.contains(&option.as_str()));
            rule.filter(|(_, heard, _)| !heard).map(|(_, _, why)| (option, *why))
        });
        Ok(unheard.collect())
    }

    /// Every option that not all runs hear.
    fn rules(&self) -> impl Iterator<Item = Rule> {
        let starts = self.of_method_and_start().into_iter();
        starts.chain(self.of_stopping()).chain(self.of_training()).chain(self.of_samples_and_logs())
    }

    fn of_method_and_start(&self) -> [Rule; 7] {
        let Self { config, .. } = self;
        let start = &config.initializer;
        let ranks_words = matches!(start, Initializer::Best | Initializer::Worst);
        let custom = matches!(config.method, MethodConfig::CustomDiffusion { .. });
        let varies_tags = config.shuffle_tags || config.tag_dropout > 0.0;
        [
            (
                &["lora_rank", "lora_scale"],
                matches!(config.method, MethodConfig::DreamboothLora { .. }),
                "it is for the method `dreambooth-lora`",
            ),
            (
                &["class_prompt", "class_data_dir", "num_class_images", "prior_loss_weight"],
                custom,
                "it is for the method `custom-diffusion`",
            ),
            (
                &["pairing"],
                !custom && (config.caption_templates.len() != 1 || varies_tags),
                "the run has one caption template",
            ),
            (
                &["learnable_property"],
                config.caption_templates.is_empty() || !self.has_prompts() || ranks_words,
                "it chooses captions and prompts, and both are given",
            ),
            (&["initializer_token"], matches!(start, Initializer::Token(_)), OTHER_START),
            (&["initializer_text"], matches!(start, Initializer::Text(_)), OTHER_START),
            (&["initializer_file"], matches!(start, Initializer::File(_)), OTHER_START),
        ]
    }

    fn of_stopping(&self) -> [Rule; 4] {
        let Self { config, .. } = self;
        let by_loss = config.stopping.evaluates();
        let by_scores = config.stopping == Stopping::ClipS;
        [
            (&["window", "threshold", "eval_interval", "triple", "each_input"], by_loss, BY_LOSS),
            (
                &[
                    "eval_batch_size",
                    "eval_gradient_accumulation_steps",
                    "exp_code",
                    "mean_latent",
                    "mean_noise",
                ],
                by_loss || config.initializer == Initializer::LowestLoss,
                BY_LOSS_OR_START,
            ),
            (&["min_delta", "patience"], by_scores, "it is for the `stopping` by `clip-s`"),
            (&["min_train_steps"], by_loss || by_scores, "no criterion ends this run"),
        ]
    }

    fn of_training(&self) -> [Rule; 6] {
        let rates = &self.config.trainer.lr_schedule;
        let optimizer = self.options.training.optimizer.map(|kind| kind.name());
        [
            (&["learning_rate"], rates.pieces.is_none(), "`lr_schedule` takes its place"),
            (
                &["lr_warmup_steps"],
                rates.kind != LrShape::Constant,
                "the `lr_scheduler` `constant` has no rise",
            ),
            (
                &["lr_num_cycles"],
                rates.kind == LrShape::CosineWithRestarts,
                "it is for the `lr_scheduler` `cosine_with_restarts`",
            ),
            (
                &["lr_power"],
                rates.kind == LrShape::Polynomial,
                "it is for the `lr_scheduler` `polynomial`",
            ),
            (
                &["adam_beta1", "adam_beta2", "adam_epsilon", "adam_weight_decay"],
                optimizer == Some("adamw"),
                "it is for the `optimizer` `adamw`",
            ),
            (
                &["sam_rho", "sam_adaptive", "sam_momentum"],
                optimizer == Some("sam"),
                "it is for the `optimizer` `sam`",
            ),
        ]
    }

    fn of_samples_and_logs(&self) -> [Rule; 6] {
        let Self { options, config, model } = self;
        let sampler = config.scheduler.unwrap_or(model.scheduler().kind()).name();
        let most = config.trainer.max_train_steps;
        let on_the_way = config.sample_frequency.is_some_and(|every| every <= most);
        [
            (&["n_images_per_val_prompt"], self.has_prompts(), "no `validation_prompt` is given"),
            (
                &["num_samples"],
                !self.has_prompts() || options.samples.n_images_per_val_prompt.is_none(),
                "`n_images_per_val_prompt` takes its place",
            ),
            (&["eta"], sampler == "ddim", "it is for the `scheduler` `ddim`"),
            (&["sample_frequency"], on_the_way, "the run has fewer steps"),
            (&["clip_t"], on_the_way && self.has_scorer(), "no samples are scored on the way"),
            (
                &["project_name", "exp_name", "wandb"],
                config.logger == Logger::Wandb,
                "it is for the `logger` `wandb`",
            ),
        ]
    }

    fn has_prompts(&self) -> bool {
        self.options.samples.validation_prompt.as_ref().is_some_and(|own| !own.is_empty())
    }
}

#[cfg(all(test, feature = "embedded"))]
mod tests {
    use super::*;
    use crate::pipelines::ModelFolder;

    /// A run of the default model with these options.
    fn checked(options: &TrainOptions) -> CheckedOptions {
        let (files, _) = dvar_models::pretrained::dvar_tiny_emoji().unwrap();
        let model = ModelFolder::new(files, "the default model".to_string()).unwrap();
        let mut options = options.clone();
        options.data.train_data_dir = Some("pictures".into());
        options.data.placeholder_token = Some("<new>".into());
        if options.start.is_open() {
            options.start.initializer_token = Some("cat".into());
        }
        CheckedOptions::new(&options, model).unwrap()
    }

    #[test]
    fn what_a_run_does_not_hear_is_named_and_nothing_else() {
        for (given, unheard) in [
            ("lora_rank = 8\nlora_scale = 2.0", &["lora_rank", "lora_scale"][..]),
            ("lora_rank = 8\nmethod = 'dreambooth-lora'", &[]),
            ("class_prompt = 'cat'\nnum_class_images = 2", &["class_prompt", "num_class_images"]),
            ("class_prompt = 'cat'\nmethod = 'custom-diffusion'", &[]),
            ("init_strategy = 'random'\ninitializer_token = 'cat'", &["initializer_token"]),
            ("init_strategy = 'token'\ninitializer_token = 'cat'", &[]),
            ("window = 9\nthreshold = 0.5\npatience = 3", &["patience"]),
            ("window = 9\npatience = 3\nstopping = 'clip-s'\nmin_train_steps = 2", &["window"]),
            ("eval_batch_size = 2\nmin_train_steps = 2", &[]),
            (
                "eval_batch_size = 2\nmin_train_steps = 2\nstopping = 'few-iters'",
                &["eval_batch_size", "min_train_steps"],
            ),
            (
                "eval_batch_size = 2\ntriple = true\nstopping = 'few-iters'\n\
                 init_strategy = 'lowest-loss'",
                &["triple"],
            ),
            ("learning_rate = 0.1\nlr_schedule = '0.5:2, 0.1'", &["learning_rate"]),
            ("lr_warmup_steps = 3", &["lr_warmup_steps"]),
            ("lr_warmup_steps = 3\nlr_power = 2.0\nlr_scheduler = 'linear'", &["lr_power"]),
            ("lr_num_cycles = 2", &["lr_num_cycles"]),
            ("adam_beta1 = 0.5\nsam_rho = 0.1", &["sam_rho"]),
            ("adam_beta1 = 0.5\nsam_rho = 0.1\noptimizer = 'sam'", &["adam_beta1"]),
            ("n_images_per_val_prompt = 2\nnum_samples = 3", &["n_images_per_val_prompt"]),
            (
                "n_images_per_val_prompt = 2\nnum_samples = 3\nvalidation_prompt = ['a {}']",
                &["num_samples"],
            ),
            ("learnable_property = 'style'\ncaption_template = ['a {}']", &[]),
            (
                "learnable_property = 'style'\ncaption_template = ['a {}']\n\
                 validation_prompt = ['a {}']",
                &["learnable_property"],
            ),
            ("pairing = 'official'", &[]),
            ("pairing = 'official'\ncaption_template = ['a {}']", &["pairing"]),
            (
                "pairing = 'official'\nshuffle_tags = true\ncaption_template = ['{}, [caption]']",
                &[],
            ),
            (
                "pairing = 'official'\nmethod = 'custom-diffusion'\nclass_prompt = 'cat'",
                &["pairing"],
            ),
            ("eta = 0.5\nscheduler = 'ddim'", &[]),
            ("eta = 0.5\nscheduler = 'euler'", &["eta"]),
            ("clip_t = true", &["clip_t"]),
            ("clip_t = true\nsample_frequency = 2", &[]),
            (
                "clip_t = true\nsample_frequency = 9\nmax_train_steps = 8",
                &["clip_t", "sample_frequency"],
            ),
            ("clip_t = true\nsample_frequency = 8\nmax_train_steps = 8", &[]),
            ("exp_name = 'a'\nwandb = 'b'", &["exp_name", "wandb"]),
            ("exp_name = 'a'\nlogger = 'wandb'", &[]),
            ("sam_adaptive = false\nlr_warmup_steps = 0\nmin_delta = 0.0", &[]),
        ] {
            let options = TrainOptions::from_toml(given, "given.toml").unwrap();
            let told = checked(&options).without_effect(&options).unwrap();
            let mut told: Vec<String> = told.into_iter().map(|(option, _)| option).collect();
            told.sort();
            assert_eq!(told, unheard, "{given}");
        }
    }

    #[test]
    fn the_rules_are_about_options_that_there_are() {
        let all = serde_json::to_value(TrainOptions::default()).unwrap();
        for (options, ..) in checked(&TrainOptions::default()).rules() {
            for option in options {
                assert!(all.get(option).is_some(), "{option}");
            }
        }
    }
}
