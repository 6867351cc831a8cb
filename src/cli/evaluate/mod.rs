//! `dvar evaluate`

mod args;
mod drawing;
mod folder;
mod pictures;
mod report;
mod run;
mod subject;

use std::path::Path;

use burn::tensor::Device;
use dvar_models::weights::Folder;

use super::{
    CliError, device, model, output,
    run_folder::{RunFolder, is_run},
};
use crate::{
    eval::{DinoScorer, LpipsScorer, Scorers, Scores},
    pipelines::ModelFolder,
};

use pictures::Group;
use report::{Counts, Report};
use subject::{Generated, Subject};

pub(super) use args::EvaluateArgs;

pub(super) fn run(args: &EvaluateArgs) -> Result<(), CliError> {
    if let Some(file) = &args.output {
        output::check_new(file)?;
    }
    if !args.path.is_dir() {
        return Err(CliError::Input(format!(
            "there is no folder `{}`; give a run folder or a folder of generated pictures",
            args.path.display()
        )));
    }
    let subject = if is_run(&args.path) {
        run::subject(args, &RunFolder::open(&args.path)?)?
    } else {
        folder::subject(args)?
    };
    let (device, device_name) = device::open(&args.device)?;
    if let Generated::ToDraw(drawing) = &subject.generated {
        drawing.check_device(&device, &device_name)?;
    }
    device::run(&device, || {
        let clip = args.clip.as_deref().or(subject.clip.as_deref());
        let scorers = scorers(args, clip, subject.model.as_ref(), &device)?;
        device::say(&args.device, &device_name);
        // scores of two CLIPs cannot be compared
        let clip = match (clip, &subject.model) {
            (Some(clip), _) => Some(clip.display().to_string()),
            (None, Some(model)) => Some(format!("the CLIP of {}", model.name())),
            (None, None) => None,
        };
        score(args, subject, &scorers, clip, &device)
    })
}

fn score(
    args: &EvaluateArgs,
    subject: Subject,
    scorers: &Scorers,
    clip: Option<String>,
    device: &Device,
) -> Result<(), CliError> {
    let references = scorers.references(&subject.references);
    let mut counts = Counts::of_references(subject.references.len());
    let mut scores = Scores::default();
    let generated = match subject.generated {
        Generated::Saved(groups) => groups,
        Generated::ToDraw(drawing) => drawing.draw(device)?,
    };
    // a broken one is told before the others are scored
    generated.iter().try_for_each(|group| group.pictures.check())?;
    for Group { prompt, pictures } in generated {
        counts.pictures += pictures.count();
        counts.prompts += usize::from(prompt.is_some());
        let scored = scorers.score(&references, prompt.as_deref(), pictures.read());
        scores = scores.and(pollster::block_on(scored)?);
    }
    let report = Report::new(&scores, counts, scorers, clip);
    let json = serde_json::to_string_pretty(&report)?;
    // first shown: a file that cannot be written takes no scores with it
    if args.json {
        println!("{json}")
    } else {
        print!("{report}")
    }
    match &args.output {
        Some(file) => output::write(file, format!("{json}\n").as_bytes()),
        None => Ok(()),
    }
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
