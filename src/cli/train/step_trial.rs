//! A step that is tried before the first samples are drawn, where both take long: whether the memory
//! suffices, and how long the run will take, is known before hours have passed.

use std::time::{Duration, Instant};

use dvar_models::unet::Operations;
use indicatif::HumanDuration;

use crate::{
    cli::counted::counted,
    config::{MixedPrecision, TrainConfig, TrainOptions},
    session::CheckedOptions,
};

/// From so much arithmetic on a step is tried; few processors need less than a second for it.
const LARGE: f64 = 1e11;

/// Of a run that may take longer it is told what makes it shorter.
const LONG: f64 = 3600.0;

/// A first step that took less is made again: it may have been long because a GPU's kernels were compiled.
const SHORT: Duration = Duration::from_secs(60);

/// Arithmetic of the denoiser.
struct Work {
    /// In a step with its evaluation.
    step: f64,
    /// In a sheet of samples.
    samples: f64,
}

impl Work {
    /// `one` is that of one input.
    fn new(config: &TrainConfig, one: Operations, guided: bool) -> Self {
        let pictures = config.train_batch_size * config.trainer.gradient_accumulation_steps;
        let inputs = pictures * config.method.inputs_per_picture();
        let evaluated = if config.stopping.evaluates() { config.eval_inputs() } else { 0 };
        let drawn = config.validation_prompts.len() * config.num_inference_steps;
        let sides = if guided { 2 } else { 1 };
        Self {
            step: inputs as f64 * (one.forward + one.backward) + evaluated as f64 * one.forward,
            samples: (sides * drawn) as f64 * one.forward,
        }
    }
}

/// A step that is being tried.
pub(super) struct StepTrial<'a> {
    config: &'a TrainConfig,
    options: &'a TrainOptions,
    /// Of the pictures that the model was trained on.
    resolution: usize,
    work: Work,
    begun: Instant,
    is_first: bool,
}

impl<'a> StepTrial<'a> {
    /// Says that a step is tried, and what helps where the memory does not suffice: the system may end the
    /// program without a word. None where steps are short.
    pub(super) fn begin(checked: &'a CheckedOptions) -> Option<Self> {
        let CheckedOptions { config, options, model } = checked;
        let side = checked.size() / model.vae_config().downscale();
        let one = model.unet_config().operations([side; 2], model.text_length());
        let work = Work::new(config, one, (model.family().is_guided)(config.guidance_scale));
        if work.step < LARGE {
            return None;
        }
        println!(
            "step       one is tried first; if dvar ends here, or the computer hardly moves, memory is \
             short: less is needed with {}",
            with_less_memory(config)
        );
        let resolution = model.native_resolution();
        Some(Self { config, options, resolution, work, begun: Instant::now(), is_first: true })
    }

    /// Says how long the run will take; or that the step is to be made again first.
    pub(super) fn made(&mut self) -> bool {
        let took = self.begun.elapsed();
        if std::mem::take(&mut self.is_first) && took < SHORT {
            self.begun = Instant::now();
            return true;
        }
        let (config, step) = (self.config, took.as_secs_f64());
        println!("step       {}", times(config, &self.work, step));
        if step * config.trainer.max_train_steps as f64 > LONG {
            eprintln!(
                "note: {} make a run shorter; see that the computer does not go to sleep",
                with_less_time(config, self.options, self.resolution)
            );
        }
        false
    }
}

/// How long the parts of a run take whose step takes so many seconds.
fn times(config: &TrainConfig, work: &Work, step: f64) -> String {
    let of = |steps: usize| human(step * steps as f64);
    let most = config.trainer.max_train_steps;
    let first =
        first_stop(config).map(|first| format!("; it can stop after {first}, {}", of(first)));
    format!(
        "takes {}, and {} take at most {}{}; each sheet of samples takes some {}",
        of(1),
        counted(most, "step"),
        of(most),
        first.unwrap_or_default(),
        human(step * work.samples / work.step)
    )
}

/// The number of steps after which the deterministic loss can end the run for the first time, if it can.
fn first_stop(config: &TrainConfig) -> Option<usize> {
    let before = config.evaluations_to_stop() - 1;
    let steps = before.saturating_mul(config.eval_interval).saturating_add(1);
    let steps = steps.max(config.trainer.min_train_steps.saturating_add(1));
    (config.threshold > 0.0 && steps < config.trainer.max_train_steps).then_some(steps)
}

/// The options that take less memory than these.
fn with_less_memory(config: &TrainConfig) -> String {
    let mut less = Vec::new();
    if !config.gradient_checkpointing {
        less.push("`--gradient-checkpointing`");
    }
    if config.train_batch_size > 1 {
        less.push("`--train-batch-size 1`");
    }
    if config.mixed_precision == MixedPrecision::No {
        less.push("`--mixed-precision bf16`");
    }
    less.push("a smaller `--resolution`");
    less.join(", ")
}

/// The options that take less time than these, for a model that was trained at a resolution.
fn with_less_time(config: &TrainConfig, options: &TrainOptions, resolution: usize) -> String {
    let mut less = Vec::new();
    if config.train_batch_size > 1 {
        less.push("`--train-batch-size 1`".to_string());
    }
    less.extend(with_fewer_samples(options, config.validation_prompts.len()));
    less.push("fewer `--num-inference-steps`".into());
    let smaller = "a smaller `--resolution` (half of it is a quarter of the work, but the model was \
                   trained at";
    format!("{} and {smaller} {resolution})", less.join(", "))
}

/// The option that makes the grid of `drawn` samples smaller, if one does.
fn with_fewer_samples(options: &TrainOptions, drawn: usize) -> Option<String> {
    let prompts = options.samples.validation_prompt.as_ref().map_or(0, Vec::len);
    match options.samples.n_images_per_val_prompt {
        // it takes the place of their number
        Some(each) if prompts > 0 => (each > 1).then(|| "`--n-images-per-val-prompt 1`".into()),
        _ => {
            // each prompt is drawn in any case
            let fewest = prompts.max(2);
            (drawn > fewest).then(|| format!("`--num-samples {fewest}`"))
        }
    }
}

fn human(seconds: f64) -> String {
    let duration = Duration::try_from_secs_f64(seconds);
    duration.map_or_else(|_| "for ever".into(), |duration| HumanDuration(duration).to_string())
}

#[cfg(test)]
mod tests {
    use dvar_models::unet::UNet2DConditionConfig;

    use super::*;
    use crate::config::Stopping;

    fn config(change: impl FnOnce(&mut TrainOptions)) -> TrainConfig {
        TrainConfig::new(&options(change)).unwrap()
    }

    fn options(change: impl FnOnce(&mut TrainOptions)) -> TrainOptions {
        let mut options = TrainOptions::default();
        options.data.train_data_dir = Some("my-cat".into());
        options.data.placeholder_token = Some("<my-cat>".into());
        options.start.initializer_token = Some("cat".into());
        change(&mut options);
        options
    }

    #[test]
    fn the_times_of_a_run_with_stable_diffusion_are_told_by_that_of_a_step() {
        let unet = UNet2DConditionConfig::parse(br#"{"cross_attention_dim": 768}"#, "").unwrap();
        let config = config(|_| {});
        let work = Work::new(&config, unet.operations([64, 64], 77), true);
        assert!(work.step > LARGE && (work.step / 9.9e12 - 1.0).abs() < 0.01, "{}", work.step);
        assert_eq!(
            times(&config, &work, 100.0),
            "takes 2 minutes, and 6100 steps take at most 7 days; it can stop after 283, 8 hours; \
             each sheet of samples takes some 2 hours"
        );
    }

    #[test]
    fn the_first_stop_is_told_where_there_can_be_one() {
        let after = |stopping, least| {
            first_stop(&config(|options| {
                options.stopping.stopping = Some(stopping);
                options.stopping.window = Some(10);
                options.evaluation.eval_interval = Some(4);
                options.training.min_train_steps = least;
                options.training.max_train_steps = Some(100);
            }))
        };
        assert_eq!(after(Stopping::Dvar, None), Some(41));
        assert_eq!(after(Stopping::Plateau, None), Some(77));
        assert_eq!(after(Stopping::Dvar, Some(60)), Some(61));
        assert_eq!(after(Stopping::Dvar, Some(100)), None);
        assert_eq!(after(Stopping::FewIters, None), None);
    }

    #[test]
    fn what_is_advised_is_not_what_the_run_has_already() {
        let options = options(|options| {
            options.training.gradient_checkpointing = Some(true);
            options.training.train_batch_size = Some(1);
            options.training.mixed_precision = Some(MixedPrecision::Bf16);
            options.samples.num_samples = Some(2);
        });
        let least = TrainConfig::new(&options).unwrap();
        assert_eq!(with_less_memory(&least), "a smaller `--resolution`");
        let default = config(|_| {});
        for option in ["--gradient-checkpointing", "--train-batch-size 1", "--mixed-precision"] {
            assert!(with_less_memory(&default).contains(option), "{option}");
        }
        let advised = with_less_time(&least, &options, 512);
        assert!(advised.starts_with("fewer `--num-inference-steps` and a smaller"), "{advised}");
        assert!(advised.ends_with("trained at 512)"), "{advised}");
        let advised = with_less_time(&default, &TrainOptions::default(), 512);
        assert!(advised.contains("`--num-samples 2`"), "{advised}");
    }

    #[test]
    fn fewer_samples_are_advised_by_the_option_that_the_run_hears() {
        for (prompts, each, number, advised) in [
            (0, None, None, Some("`--num-samples 2`")),
            (0, Some(4), None, Some("`--num-samples 2`")),
            (0, None, Some(2), None),
            (3, None, None, Some("`--num-samples 3`")),
            (3, None, Some(2), None),
            (3, Some(4), None, Some("`--n-images-per-val-prompt 1`")),
            (3, Some(1), None, None),
        ] {
            let options = options(|options| {
                options.samples.validation_prompt = Some(vec!["a {}".into(); prompts]);
                options.samples.n_images_per_val_prompt = each;
                options.samples.num_samples = number;
            });
            let drawn = TrainConfig::new(&options).unwrap().validation_prompts.len();
            let found = with_fewer_samples(&options, drawn);
            assert_eq!(found.as_deref(), advised, "{prompts} prompts, {each:?} and {number:?}");
        }
    }
}
