//! Everything that can be checked of a run before it costs anything.

use std::sync::Arc;

use dvar_models::weights::ModelSource;

use super::{TrainArgs, class_pictures, options};
use crate::{
    cli::{
        CliError,
        counted::counted,
        device,
        learned::read_embedding,
        model,
        model_mark::{mark, other_files},
        own_folder::check_free,
        run_folder::RunFolder,
    },
    config::TrainOptions,
    data::{DataError, dataset::Dataset, picture_files},
    session::{self, CheckedOptions, ModelMark, NamedDevice, PreparedRun, Start},
    trainer::TrainState,
};

/// Checks everything that can be checked without a device; makes and changes no file.
pub(in crate::cli) fn check(
    options: &TrainOptions,
) -> Result<(CheckedOptions, Start, Dataset), CliError> {
    check_folder(options)?;
    let checked = model::of_run(options)?;
    let start = checked.start(read_embedding)?;
    class_pictures::check(&checked.config)?;
    let config = &checked.config;
    let dataset = Dataset::from_folder(&config.train_data_dir, checked.size(), config.reading)?;
    checked.check_pictures(&start, &dataset)?;
    Ok((checked, start, dataset))
}

/// Refuses a folder without pictures before a model is downloaded.
fn check_folder(options: &TrainOptions) -> Result<(), DataError> {
    let Some(folder) = &options.data.train_data_dir else { return Ok(()) };
    match picture_files(folder) {
        // they lie in the folders in it
        Err(DataError::NoPictures { .. }) if options.pictures.kohya_folders == Some(true) => Ok(()),
        found => found.map(drop),
    }
}

/// What the `config.toml` of such a run holds: all options, with paths that hold from any working
/// folder, so that the run can be resumed from anywhere.
pub(in crate::cli) fn saved(checked: &CheckedOptions) -> Result<TrainOptions, CliError> {
    let mut options = absolute(checked.options.clone())?;
    options.data.output_dir = None;
    Ok(options)
}

/// The run, its folder, which is created last, and the devices that share it with their names, the
/// run's own first.
pub(super) fn prepare(
    args: &TrainArgs,
) -> Result<(PreparedRun, RunFolder, Vec<NamedDevice>), CliError> {
    let (options, resumed) = options(args)?;
    if let (Some(folder), None) = (&options.data.output_dir, &resumed) {
        check_free(folder)?;
    }
    if let Some(run) = &resumed {
        check_places(&options, run)?;
    }
    let (checked, start, dataset) = check(&options).map_err(|error| match &resumed {
        Some(run) => of_resumed(error, run),
        None => error,
    })?;
    let saved = saved(&checked)?;
    let begun_with = session::begun_with(&saved)?;
    let saved = saved.to_toml()?;
    let devices = device::open_each(&args.device, checked.config.train_batch_size)?;
    for (device, name) in &devices {
        device::check_precision(&checked.model, device, name)?;
    }
    let clip = checked.config.clip.as_deref();
    let clip = clip.map(|folder| model::scorer_files(folder, "--clip")).transpose()?;
    let model_mark = ModelMark(mark(checked.options.data.model.as_deref(), clip.as_ref())?);
    let clip = clip.map(|files| Arc::new(files) as Arc<dyn ModelSource>);
    let (folder, state) = match resumed {
        Some(mut folder) => {
            let state = folder.read_state()?;
            if let Some(state) = &state {
                check_model(&checked, &model_mark, state, &folder)?;
                class_pictures::check_kept(&checked.config, &folder)?;
            }
            if let Some(steps) = args.options.training.max_train_steps {
                check_going_on(&checked, state.as_ref(), &folder, steps)?;
                folder = folder.with_options(saved);
            }
            (folder, state)
        }
        None => {
            let (named, token) =
                (&checked.options.data.output_dir, &checked.config.placeholder_token);
            (RunFolder::create(named.as_deref(), token, &saved)?, None)
        }
    };
    let knows_before = state.as_ref().is_some_and(session::knows_samples_before);
    let prepared = PreparedRun {
        checked,
        start,
        dataset,
        clip,
        device: devices[0].0.clone(),
        begun_with,
        model_mark: Some(model_mark),
        state,
        draws_before: !(knows_before && folder.samples("before").is_file()),
    };
    Ok((prepared, folder.on_device(&args.device), devices))
}

/// A run that goes on takes its own model and scorer, which no flag beside `--resume` names anew.
fn check_places(options: &TrainOptions, run: &RunFolder) -> Result<(), CliError> {
    let places = [("model", &options.data.model), ("CLIP", &options.samples.clip)];
    for (what, place) in places {
        // the embedded model and a name on the Hub are no absolute paths
        let Some(path) = place.as_ref().filter(|path| path.is_absolute() && !path.exists()) else {
            continue;
        };
        return Err(CliError::Input(format!(
            "the {what} of the run `{}` is no longer at `{}`; put it back there, or start a new run",
            run.path().display(),
            path.display()
        )));
    }
    Ok(())
}

/// A run that went on with another model, or was scored by another CLIP, would silently end in other bytes.
fn check_model(
    checked: &CheckedOptions,
    mark: &ModelMark,
    state: &TrainState,
    run: &RunFolder,
) -> Result<(), CliError> {
    if mark.is_of(state)? {
        return Ok(());
    }
    Err(CliError::Input(format!("{}, or start a new run", other_files(run, checked))))
}

/// A run that goes on takes its own pictures alone, from where they were.
fn of_resumed(error: CliError, run: &RunFolder) -> CliError {
    let CliError::Part(part) = &error else { return error };
    match part.downcast_ref() {
        Some(DataError::NoSuchFolder { path }) => CliError::Input(format!(
            "the pictures of the run `{}` are no longer in `{path}`; put them back there, or start a \
             new run",
            run.path().display()
        )),
        _ => run.of_options(error),
    }
}

/// A finished run can go on if there is anything left to do, and what it did would stay as it is.
fn check_going_on(
    checked: &CheckedOptions,
    state: Option<&TrainState>,
    folder: &RunFolder,
    steps: usize,
) -> Result<(), CliError> {
    let made = state.map_or(0, |state| state.step);
    if made >= steps {
        return Err(CliError::Input(format!(
            "`{}` has made {}; to go on, give a `--max-train-steps` above that",
            folder.path().display(),
            counted(made, "step")
        )));
    }
    let shape = checked.config.trainer.lr_schedule.kind;
    // a criterion may have stopped it before its length
    if shape.follows_length() && folder.options()?.training.max_train_steps != Some(steps) {
        return Err(CliError::Input(format!(
            "`{}` has `--lr-scheduler {shape}`, whose rate falls to its end at the last step: the \
             length of such a run stays as it is; start a new one from its embedding with \
             `--initializer-file`",
            folder.path().display()
        )));
    }
    Ok(())
}

fn absolute(mut options: TrainOptions) -> Result<TrainOptions, CliError> {
    // neither the embedded model nor a name on the Hub is a path
    let folders = [("model", &mut options.data.model), ("clip", &mut options.samples.clip)];
    let folders = folders.into_iter();
    let folders = folders.filter(|(_, folder)| matches!(folder, Some(path) if path.exists()));
    let always = [
        ("train_data_dir", &mut options.data.train_data_dir),
        ("class_data_dir", &mut options.method.class_data_dir),
        ("initializer_file", &mut options.start.initializer_file),
    ];
    for (option, path) in folders.chain(always) {
        let Some(path) = path else { continue };
        let absolute = std::path::absolute(&*path);
        *path = absolute.map_err(|error| {
            CliError::Input(format!("`{option}` is no path, but `{}`: {error}", path.display()))
        })?;
    }
    Ok(options)
}
