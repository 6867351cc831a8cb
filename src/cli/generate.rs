//! `dvar generate`

use std::path::{Path, PathBuf};

use super::{
    CliError,
    bar::Bar,
    counted::counted,
    device,
    learned::{read_adapter, read_each, read_lora, split},
    model, output,
    own_folder::{OwnFolder, check_free},
    prompts::{Words, say_cut, say_unknown},
};
use crate::{
    concept::{LearnedAdapter, Lora},
    config::{DrawingAdvice, MixedPrecision, TrainOptions},
    data::png::{encode_grid, encode_picture},
    pipelines::{BATCH, DrawProgress, LongPrompts, ModelFolder, PipelineError, SamplingOptions},
    schedulers::{BetaSchedule, PredictionType, SchedulerKind},
    session::{self, Generator},
    trainer::LocalBoxFuture,
};

/// The sheet of the pictures, beside them.
pub(super) const GRID: &str = "grid.png";

/// Pictures in a row of the sheet, at most.
const COLUMNS: usize = 8;

/// Pictures on the sheet, at most: of thousands it would take more memory than the networks.
const ON_SHEET: usize = 256;

/// Flags of `dvar generate`.
#[derive(Debug, clap::Args)]
pub(super) struct GenerateArgs {
    /// What to draw; may be repeated
    #[arg(long, short, required = true, value_name = "TEXT")]
    prompt: Vec<String>,
    /// Learned embedding of any tool, whose token stands in a prompt or the negative prompt;
    /// `FILE=TOKEN` gives it another token; may be repeated
    #[arg(long, short, value_name = "FILE")]
    embedding: Vec<String>,
    /// Weights that a run of DreamBooth-LoRA or Custom Diffusion has learned in the denoiser
    #[arg(long, value_name = "FILE")]
    adapter: Option<PathBuf>,
    /// LoRA or LoCon of any tool for the denoiser and the text encoders, with its strength, 1 if
    /// left out; may be repeated
    #[arg(long, value_name = "FILE[:SCALE]")]
    lora: Vec<String>,
    /// Folder of the model in diffusers' layout, a single file of Stable Diffusion 1.x, 2.x or XL, a
    /// name on the Hub, `sd`, `ldm` or `embedded` [default: embedded]
    #[arg(long, short, value_name = "PATH")]
    model: Option<PathBuf>,
    /// Take the averaged (EMA) weights of a single file's denoiser instead of the last ones
    #[arg(long)]
    ema: bool,
    /// Pictures of each prompt
    #[arg(long, short = 'n', value_name = "N", default_value_t = 4)]
    count: usize,
    /// What the pictures should not show [default: nothing]
    #[arg(long, value_name = "TEXT")]
    negative_prompt: Option<String>,
    /// What to do with prompts that are longer than the text encoder reads: `cut` them, as
    /// diffusers does, or `chunk`, read them in parts as A1111 does
    #[arg(long, value_name = "HOW", default_value = "cut")]
    long_prompts: LongPrompts,
    /// Take prompts as they stand, even if they contain `(word:1.2)`, `embedding:name` or
    /// `<lora:name:1>`, to which A1111 and ComfyUI give a meaning
    #[arg(long)]
    literal_prompts: bool,
    /// Seed; the same seed gives the same pictures
    #[arg(long, value_name = "N", default_value_t = 0)]
    seed: u64,
    /// Denoising steps
    #[arg(long, visible_alias = "steps", value_name = "N")]
    num_inference_steps: Option<usize>,
    /// How strongly the prompt is followed; 1 is without guidance
    #[arg(long, value_name = "SCALE")]
    guidance_scale: Option<f64>,
    #[arg(long, value_name = "NAME", help = format!("Sampler: {} [default: the model's]", SchedulerKind::names_in_words()))]
    scheduler: Option<SchedulerKind>,
    /// Noise schedule of training: linear, scaled_linear or squaredcos_cap_v2
    /// [default: the model's]
    #[arg(long, value_name = "NAME")]
    beta_schedule: Option<BetaSchedule>,
    /// What the denoiser predicts: epsilon or v_prediction [default: the model's]
    #[arg(long, value_name = "NAME")]
    prediction_type: Option<PredictionType>,
    /// Share of fresh noise in each DDIM step, 0 to 1
    #[arg(long, value_name = "SHARE", default_value_t = 0.0)]
    eta: f64,
    /// What the text encoder and the denoiser compute in: no (f32), fp16 or bf16
    #[arg(long, value_name = "TYPE", default_value = "no")]
    mixed_precision: MixedPrecision,
    /// Picture width [default: the model's]
    #[arg(long, value_name = "PIXELS")]
    width: Option<usize>,
    /// Picture height [default: the model's]
    #[arg(long, value_name = "PIXELS")]
    height: Option<usize>,
    /// Folder to write to, which must be empty if it exists [default: generated, or generated-2 and
    /// so on]
    #[arg(long, short, value_name = "DIR")]
    output_dir: Option<PathBuf>,
    /// cpu, wgpu, cuda:0, ... (see `dvar devices`), or auto: the best GPU there is, else the CPU
    #[arg(long, value_name = "NAME", default_value = "auto")]
    device: String,
}

pub(super) fn run(args: &GenerateArgs) -> Result<(), CliError> {
    // first what needs no model, which may have to be downloaded
    args.output_dir.as_deref().map_or(Ok(()), check_free)?;
    let embeddings = read_each(&args.embedding)?;
    let adapter = args.adapter.as_deref().map(read_adapter).transpose()?;
    let loras = args.lora.iter().map(|given| read_lora(given));
    let loras = loras.collect::<Result<Vec<_>, _>>()?;
    let model = model::open(args.model.as_deref(), args.ema)?;
    let advice = session::advice(&model, &TrainOptions::default())?;
    let beta_schedule = args.beta_schedule.or(advice.training.beta_schedule);
    let model = model.with_beta_schedule(beta_schedule)?;
    let prediction_type = args.prediction_type.or(advice.training.prediction_type);
    let model = model.with_prediction_type(prediction_type)?;
    let model = model.with_precision(args.mixed_precision.dtype());
    let words = Words::new(embeddings, &args.embedding, &model, args.long_prompts)?;
    let understood = |prompt: &String| {
        if args.literal_prompts { Ok(prompt.clone()) } else { words.understood(prompt) }
    };
    let asked: Vec<String> = args.prompt.iter().map(understood).collect::<Result<_, _>>()?;
    let negative = args.negative_prompt.as_ref().map(understood).transpose()?;
    let all = asked.iter().map(String::as_str).chain(negative.as_deref());
    words.check_used(all.clone())?;
    say_cut(&words.tokenizers, all.clone());
    say_unknown(&words.tokenizers, all);
    say_embeddings(&loras, &args.lora, &args.embedding);
    let advice = DrawingAdvice::new(&advice)?;
    let options = sampling_options(args, advice, &model)?;
    if args.scheduler.or(advice.scheduler).is_none() {
        model::say_sampler(&model);
    }
    say_of_flags(args, &options, &model);
    let (device, device_name) = device::open(&args.device)?;
    device::check_precision(&model, &device, &device_name)?;
    let own = OwnFolder::new(args.output_dir.as_deref(), || "generated".into())?;
    let drawn = device::run(&device, || {
        let Words { embeddings, tokenizers, .. } = words;
        let adapter = adapter.as_ref();
        let loading = Bar::new("loading the model");
        loading.begin();
        let generator =
            Generator::with_tokenizers(&model, tokenizers, &embeddings, adapter, &device)?;
        let generator = loras
            .into_iter()
            .map(LearnedAdapter::Lora)
            .try_fold(generator, |generator, lora| generator.with_adapter(&lora))?;
        loading.end();
        device::say(&args.device, &device_name);
        draw(args, asked, negative.as_deref(), &generator, &options, &own.path)
    });
    drawn.inspect_err(|_| own.discard())
}

/// Says of flags that do nothing beside the others.
fn say_of_flags(args: &GenerateArgs, options: &SamplingOptions, model: &ModelFolder) {
    if options.eta > 0.0 && options.scheduler.name() != "ddim" {
        eprintln!("warning: `--eta` does nothing here: it is for `--scheduler ddim`");
    }
    if args.negative_prompt.is_some() && !(model.family().is_guided)(options.guidance_scale) {
        let scale = options.guidance_scale;
        eprintln!(
            "warning: `--negative-prompt` does nothing here: `--guidance-scale {scale}` is without guidance"
        );
    }
}

/// Says of each LoRA that also holds an embedding, if nobody asks for that.
fn say_embeddings(loras: &[Lora], given: &[String], embeddings: &[String]) {
    for (lora, given) in loras.iter().zip(given) {
        let is_asked_for = |embedding: &String| given.starts_with(split(embedding).0);
        if lora.holds_embedding() && !embeddings.iter().any(is_asked_for) {
            eprintln!(
                "note: `{given}` holds a learned embedding too; `--embedding` takes it from the same file"
            );
        }
    }
}

fn draw(
    args: &GenerateArgs,
    asked: Vec<String>,
    negative: Option<&str>,
    generator: &Generator,
    options: &SamplingOptions,
    folder: &Path,
) -> Result<(), CliError> {
    let prompts: Vec<String> =
        asked.into_iter().flat_map(|prompt| vec![prompt; args.count]).collect();
    let (count, bar) = (prompts.len(), Bar::new("drawing"));
    bar.begin();
    let (mut drawn, mut sheet) = (0, Vec::new());
    for prompts in prompts.chunks(BATCH) {
        let watch = Batch { bar: &bar, drawn, of: count, now: prompts.len() };
        let pictures = generator.draw(drawn, prompts, negative, options, Some(&watch));
        for picture in pollster::block_on(pictures)? {
            let file = folder.join(format!("{drawn:04}.png"));
            output::write(&file, &encode_picture(&picture)?)?;
            drawn += 1;
            if sheet.len() < ON_SHEET {
                sheet.push(picture);
            }
        }
    }
    bar.end();
    let grid = folder.join(GRID);
    output::write(&grid, &encode_grid(&sheet, args.count.min(COLUMNS))?)?;
    let first = if drawn > ON_SHEET { format!("the first {ON_SHEET} ") } else { String::new() };
    let drawn = counted(drawn, "picture");
    println!("{drawn} in {}, {first}together in {}", folder.display(), grid.display());
    Ok(())
}

/// Some of the pictures, as they are drawn.
struct Batch<'a> {
    bar: &'a Bar,
    /// Before these.
    drawn: usize,
    now: usize,
    of: usize,
}

impl DrawProgress for Batch<'_> {
    fn denoised<'a>(
        &'a self,
        done: usize,
        total: usize,
    ) -> LocalBoxFuture<'a, Result<(), PipelineError>> {
        self.bar.denoised(self.drawn * total + self.now * done, self.of * total)
    }
}

fn sampling_options(
    args: &GenerateArgs,
    advice: DrawingAdvice,
    model: &ModelFolder,
) -> Result<SamplingOptions, CliError> {
    if !(1..=10_000).contains(&args.count) {
        return Err(CliError::Input(format!(
            "`--count` is {}; it must be from 1 to 10000",
            args.count
        )));
    }
    let size = model.native_resolution();
    let scheduler = args.scheduler.or(advice.scheduler);
    let options = SamplingOptions {
        scheduler: scheduler.unwrap_or(model.scheduler().kind()),
        num_inference_steps: args.num_inference_steps.unwrap_or(advice.num_inference_steps),
        guidance_scale: args.guidance_scale.unwrap_or(advice.guidance_scale),
        eta: args.eta,
        height: args.height.unwrap_or(size),
        width: args.width.unwrap_or(size),
        seed: args.seed,
    };
    session::check_sampling(&options, model)?;
    Ok(options)
}
