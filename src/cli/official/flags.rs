//! Every flag of the official code, of February 2023 and of November 2023, and of its READMEs.

/// A flag of the official code.
#[derive(Debug)]
pub(super) struct Flag {
    /// Without the hyphens before it.
    pub name: &'static str,
    /// Or it says yes by being there.
    pub takes_value: bool,
    pub here: Translation,
}

/// What a flag is called here, without the hyphens before it.
#[derive(Debug)]
pub(super) enum Translation {
    /// The same, with hyphens for underscores.
    Same,
    /// This.
    Renamed(&'static str),
    /// What the rule makes of its value and of other flags.
    Depends(Rewrite),
    /// Nothing; what is done instead, as the end of a sentence that begins with the flag.
    Nothing(&'static str),
}

/// What becomes of a flag whose name or value here is not the official one.
#[derive(Debug)]
pub(super) enum Rewrite {
    /// `--model`, if there is a value.
    Model,
    /// `--crop center`.
    Crop,
    /// `--init-strategy`, by other names.
    InitStrategy,
    /// `--class-prompt`, with spaces for underscores.
    ClassPrompt,
    /// `--sam-adaptive`.
    SamAdaptive,
    /// `--stopping`, by other names.
    Stopping,
    /// Which name it has with DVAR, and with CLIP-s.
    EarlyStop(&'static str, Option<&'static str>),
    /// `--sample-frequency`, where -1 is 0.
    SampleFrequency,
    /// One `--validation-prompt` for each text between commas.
    ValidationPrompts,
    /// `--n-images-per-val-prompt`, if it is not 0.
    ImagesPerPrompt,
    /// `--clip`, by other names.
    Clip,
}

impl Rewrite {
    /// What the flag may be called here; never empty.
    pub(super) fn names(&self) -> Vec<&'static str> {
        match self {
            Self::Model => vec!["model"],
            Self::Crop => vec!["crop"],
            Self::InitStrategy => vec!["init-strategy"],
            Self::ClassPrompt => vec!["class-prompt"],
            Self::SamAdaptive => vec!["sam-adaptive"],
            Self::Stopping => vec!["stopping"],
            Self::EarlyStop(dvar, clip_s) => std::iter::once(*dvar).chain(*clip_s).collect(),
            Self::SampleFrequency => vec!["sample-frequency"],
            Self::ValidationPrompts => vec!["validation-prompt"],
            Self::ImagesPerPrompt => vec!["n-images-per-val-prompt"],
            Self::Clip => vec!["clip"],
        }
    }
}

impl Flag {
    /// Whether nobody but the official code spells a flag so.
    pub(super) fn is_official(&self) -> bool {
        self.name.contains('_') || ["variant", "guidance", "repeats"].contains(&self.name)
    }
}

/// The flag of this name.
pub(super) fn find(name: &str) -> Option<&'static Flag> {
    FLAGS.iter().find(|flag| flag.name == name)
}

const fn same(name: &'static str) -> Flag {
    Flag { name, takes_value: true, here: Translation::Same }
}

const fn switch(name: &'static str) -> Flag {
    Flag { name, takes_value: false, here: Translation::Same }
}

const fn renamed(name: &'static str, here: &'static str) -> Flag {
    Flag { name, takes_value: true, here: Translation::Renamed(here) }
}

const fn depends(name: &'static str, rule: Rewrite) -> Flag {
    Flag { name, takes_value: true, here: Translation::Depends(rule) }
}

const fn nothing(name: &'static str, instead: &'static str) -> Flag {
    Flag { name, takes_value: true, here: Translation::Nothing(instead) }
}

const fn nothing_switch(name: &'static str, instead: &'static str) -> Flag {
    Flag { name, takes_value: false, here: Translation::Nothing(instead) }
}

pub(super) const FLAGS: [Flag; 68] = [
    // the model and the data
    same("model"),
    depends("pretrained_model_name_or_path", Rewrite::Model),
    nothing("tokenizer_name", "is not needed: a model folder brings its tokenizer"),
    nothing_switch(
        "offline_mode",
        "is not needed: a model folder or the embedded model is read without a network",
    ),
    same("train_data_dir"),
    same("placeholder_token"),
    same("learnable_property"),
    nothing(
        "template_set",
        "chooses nothing: captions are those of `--learnable-property`, as its `default` set",
    ),
    nothing(
        "repeats",
        "changes nothing: pictures and captions are drawn in rounds until the run ends",
    ),
    same("resolution"),
    Flag { name: "center_crop", takes_value: false, here: Translation::Depends(Rewrite::Crop) },
    // where the vectors start
    depends("init_strategy", Rewrite::InitStrategy),
    same("initializer_token"),
    renamed("initialization_token", "initializer-token"),
    // the method
    same("method"),
    depends("class_prompt", Rewrite::ClassPrompt),
    same("class_data_dir"),
    same("num_class_images"),
    // the steps
    same("seed"),
    same("train_batch_size"),
    same("gradient_accumulation_steps"),
    same("max_train_steps"),
    nothing("num_train_epochs", "counts nothing: `--max-train-steps` alone ends a run"),
    same("mixed_precision"),
    nothing(
        "local_rank",
        "means nothing: a run is one process, and `--device cuda:0,cuda:1` shares its steps among devices",
    ),
    same("optimizer"),
    same("learning_rate"),
    switch("scale_lr"),
    same("lr_scheduler"),
    same("lr_warmup_steps"),
    same("adam_beta1"),
    same("adam_beta2"),
    renamed("weight_decay", "adam-weight-decay"),
    same("adam_epsilon"),
    depends("sam_adaptive", Rewrite::SamAdaptive),
    same("sam_rho"),
    same("sam_momentum"),
    // what ends a run
    depends("variant", Rewrite::Stopping),
    depends("early_stop_eps", Rewrite::EarlyStop("threshold", Some("min-delta"))),
    depends("early_stop_patience", Rewrite::EarlyStop("window", Some("patience"))),
    depends("early_stop_freq", Rewrite::EarlyStop("eval-interval", None)),
    same("eval_batch_size"),
    same("eval_gradient_accumulation_steps"),
    same("exp_code"),
    switch("mean_noise"),
    switch("mean_latent"),
    switch("triple"),
    // samples and their scores
    depends("sample_frequency", Rewrite::SampleFrequency),
    nothing_switch(
        "sample_before_start",
        "changes nothing: samples are always drawn before the first step, `samples_before.png`",
    ),
    renamed("sample_steps", "num-inference-steps"),
    renamed("guidance", "guidance-scale"),
    same("sampling_seed"),
    renamed("n_val_prompts", "num-samples"),
    renamed("n_train_prompts", "num-samples"),
    depends("validation_prompts", Rewrite::ValidationPrompts),
    depends("n_images_per_val_prompt", Rewrite::ImagesPerPrompt),
    switch("log_unscaled"),
    depends("clip_path", Rewrite::Clip),
    // what is written
    same("output_dir"),
    nothing("logging_dir", "names nothing: all files of a run are in its output folder"),
    same("save_steps"),
    switch("save_init_embeds"),
    nothing_switch(
        "save_pipeline",
        "saves nothing: what was learned is saved by itself, for the model folder that is there",
    ),
    nothing("pipeline_output_dir", "names nothing: a run copies no model"),
    same("logger"),
    same("wandb"),
    same("project_name"),
    same("exp_name"),
];
