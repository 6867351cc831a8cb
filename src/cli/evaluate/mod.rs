//! `dvar evaluate`

mod pictures;
mod report;
mod run;

use std::path::{Path, PathBuf};

use burn::tensor::Device;
use dvar_models::weights::Folder;

use super::{CliError, device, model, output, run_folder::RunFolder};
use crate::{
    data::image::Picture,
    eval::{DinoScorer, LpipsScorer, PromptPictures, Scorers, Scores},
    pipelines::ModelFolder,
};

use pictures::Group;
use report::{Counts, Report};

/// Flags of `dvar evaluate`.
#[derive(Debug, clap::Args)]
pub(super) struct EvaluateArgs {
    /// Run folder, or folder of generated pictures: directly in it or one sub-folder a prompt
    #[arg(value_name = "DIR")]
    path: PathBuf,
    /// Folder with the concept's own pictures [default: those that the run was trained on]
    #[arg(long, value_name = "DIR")]
    references: Option<PathBuf>,
    /// Prompt of the pictures, without the learned word; once for each sub-folder, in order of
    /// their names, or for as many equal parts of the pictures
    #[arg(long, short, value_name = "TEXT")]
    prompt: Vec<String>,
    /// CLIP model: a folder in transformers' layout [default: the run's, or the model's own]
    #[arg(long, value_name = "DIR")]
    clip: Option<PathBuf>,
    /// DINO model: a folder in transformers' layout, such as of facebook/dino-vits16
    #[arg(long, value_name = "DIR")]
    dino: Option<PathBuf>,
    /// Folder with alexnet-owt-7be5be79.pth and alex.pth, for the diversity
    #[arg(long, value_name = "DIR")]
    lpips: Option<PathBuf>,
    /// Draw so many pictures of each of the run's prompts [default: score those that it saved]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..=10_000))]
    n_images_per_prompt: Option<u64>,
    /// Print JSON in place of the table
    #[arg(long)]
    json: bool,
    /// Write the JSON to this file too
    #[arg(long, short, value_name = "FILE")]
    output: Option<PathBuf>,
    /// cpu, wgpu, cuda:0, ... (see `dvar devices`), or auto: the best GPU there is, else the CPU
    #[arg(long, value_name = "NAME", default_value = "auto")]
    device: String,
}

/// What is scored, and against what.
struct Subject {
    generated: Generated,
    references: Vec<Picture>,
    /// The CLIP model that the run was scored by, where it names one.
    clip: Option<PathBuf>,
    /// Brings a CLIP model of its own, where none is named.
    model: Option<ModelFolder>,
}

enum Generated {
    Saved(Vec<Group>),
    /// Drawing is slow, and begins when everything else has been checked.
    ToDraw(Box<run::Drawing>),
}

pub(super) fn run(args: &EvaluateArgs) -> Result<(), CliError> {
    let (device, device_name) = device::open(&args.device)?;
    if !args.path.is_dir() {
        return Err(CliError::Input(format!(
            "there is no folder `{}`; give a run folder or a folder of generated pictures",
            args.path.display()
        )));
    }
    let subject = if args.path.join("config.toml").is_file() {
        run::subject(args, &RunFolder::open(&args.path)?)?
    } else {
        pictures::subject(args)?
    };
    let clip = args.clip.as_deref().or(subject.clip.as_deref());
    let scorers = scorers(args, clip, subject.model.as_ref(), &device)?;
    device::say(&args.device, &device_name);
    let references = scorers.references(&subject.references);
    let mut counts = Counts::of_references(subject.references.len());
    let mut scores = Scores::default();
    let generated = match subject.generated {
        Generated::Saved(groups) => groups,
        Generated::ToDraw(drawing) => drawing.draw(&device)?,
    };
    for group in generated {
        let generated = PromptPictures { pictures: group.pictures.load()?, prompt: group.prompt };
        counts.pictures += generated.pictures.len();
        counts.prompts += usize::from(generated.prompt.is_some());
        let scored = pollster::block_on(scorers.score(&references, &generated));
        scores = scores.and(scored?);
    }
    let report = Report::new(&scores, counts, &scorers);
    let json = serde_json::to_string_pretty(&report)?;
    if let Some(file) = &args.output {
        output::write(file, format!("{json}\n").as_bytes())?;
    }
    if args.json {
        println!("{json}")
    } else {
        print!("{report}")
    }
    Ok(())
}

fn scorers(
    args: &EvaluateArgs,
    clip: Option<&Path>,
    model: Option<&ModelFolder>,
    device: &Device,
) -> Result<Scorers, CliError> {
    let clip = model::clip_scorer(clip, model, device)?;
    let dino = args.dino.as_deref().map(|folder| {
        let files = model::scorer_files(folder, "--dino")?;
        Ok::<_, CliError>(DinoScorer::open(&files, device)?)
    });
    let lpips = args.lpips.as_deref().map(|folder| {
        let files = Folder(folder.to_path_buf());
        LpipsScorer::open(&files, device)
    });
    Ok(Scorers { clip, dino: dino.transpose()?, lpips: lpips.transpose()? })
}
