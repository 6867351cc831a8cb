//! The pictures of the concept's class, for prior preservation: the user's, or the model's own.

use std::{
    cell::Cell,
    path::{Path, PathBuf},
};

use super::part::Part;
use crate::{
    cli::{CliError, counted::counted, input, output, run_folder::RunFolder},
    config::{MethodConfig, TrainConfig},
    data::{
        DataError, dataset::Dataset, image::Picture, picture_files, png::encode_picture,
        reading::Reading,
    },
    pipelines::{BATCH, DrawProgress, PipelineError},
    session::{CheckedOptions, PreparedRun, RunError, class_pictures, draw_class},
    trainer::LocalBoxFuture,
};

/// Names of drawn pictures begin so, and go on with a number; a folder with others is the user's, and never
/// added to.
const DRAWN: &str = "class-";

/// The file beside drawn pictures that says what they were drawn of.
const PROMPT: &str = "class_prompt.txt";

/// Refuses a folder of the user's that holds no pictures, or such as were drawn of another class; one
/// that does not exist will be filled.
pub(super) fn check(config: &TrainConfig) -> Result<(), CliError> {
    let (Some(folder), Some((prompt, _))) = (class_folder(config), class_pictures(config)) else {
        return Ok(());
    };
    if !folder.exists() {
        return Ok(());
    }
    match picture_files(folder) {
        Ok(files) => check_prompt(folder, prompt, &files),
        // a drawing that was interrupted before its first picture
        Err(DataError::NoPictures { .. }) if folder.join(PROMPT).is_file() => {
            check_prompt(folder, prompt, &[])
        }
        Err(error @ DataError::NoPictures { .. }) => Err(CliError::Input(format!(
            "{error}; or name a folder that does not exist, and the model draws the class into it"
        ))),
        Err(error) => Err(error.into()),
    }
}

/// Refuses a run that has made steps and whose named folder is gone: the user's own pictures would be drawn
/// anew, and refused after that.
pub(super) fn check_kept(config: &TrainConfig, run: &RunFolder) -> Result<(), CliError> {
    match class_folder(config) {
        Some(folder) if !folder.exists() => Err(CliError::Input(format!(
            "the class pictures of the run `{}` are no longer in `{}`; put them back there, or start a \
             new run",
            run.path().display(),
            folder.display()
        ))),
        _ => Ok(()),
    }
}

/// Refuses pictures that were drawn of another class, where it is known of what.
fn check_prompt(folder: &Path, prompt: &str, files: &[PathBuf]) -> Result<(), CliError> {
    let Some(drawn_of) = input::if_there(input::text(&folder.join(PROMPT)))? else {
        return Ok(());
    };
    let drawn_of = drawn_of.trim();
    if drawn_of == prompt.trim() || !files.iter().all(|file| is_drawn(file)) {
        return Ok(());
    }
    Err(CliError::Input(format!(
        "the class pictures in `{}` were drawn of `{drawn_of}`, and the class is `{prompt}`; name \
         another folder with `--class-data-dir`",
        folder.display()
    )))
}

/// The class' pictures, of which missing ones are drawn first; none for methods without. An interrupt
/// ends it after a denoising step.
pub(super) async fn load(
    run: &PreparedRun,
    default_folder: PathBuf,
    part: &Part,
) -> Result<Option<Dataset>, CliError> {
    let config = &run.checked.config;
    let Some((prompt, count)) = class_pictures(config) else { return Ok(None) };
    let folder = class_folder(config).map_or(default_folder, Path::to_path_buf);
    output::create_folder(&folder)?;
    let there = match picture_files(&folder) {
        Ok(files) => files,
        Err(DataError::NoPictures { .. }) => Vec::new(),
        Err(error) => return Err(error.into()),
    };
    check_prompt(&folder, prompt, &there)?;
    // before the first picture: a drawing that is interrupted is known for what it was
    if there.is_empty() {
        output::write(&folder.join(PROMPT), format!("{prompt}\n").as_bytes())?;
    }
    if there.iter().all(|file| is_drawn(file)) {
        draw(run, prompt, &folder, count, part).await?;
    } else if there.len() < count {
        let there = counted(there.len(), "picture");
        println!("class      {there} in {}, of {count} wanted", folder.display());
    }
    let mut files = picture_files(&folder)?;
    files.truncate(count);
    // the user's own may be transparent too
    let reading = Reading { background: config.reading.background, ..Reading::default() };
    Ok(Some(Dataset::from_files(&files, run.checked.size(), reading)?))
}

/// The user's folder of class pictures.
fn class_folder(config: &TrainConfig) -> Option<&Path> {
    match &config.method {
        MethodConfig::CustomDiffusion { class_data_dir, .. } => class_data_dir.as_deref(),
        _ => None,
    }
}

fn is_drawn(file: &Path) -> bool {
    let name = file.file_name().map(|name| name.to_string_lossy());
    let number = name.as_deref().and_then(|name| name.strip_prefix(DRAWN)?.strip_suffix(".png"));
    number.is_some_and(|number| {
        number.len() >= 4 && number.bytes().all(|digit| digit.is_ascii_digit())
    })
}

/// Draws those of the `count` pictures that are not there yet, as it would have drawn them with the
/// others.
async fn draw(
    run: &PreparedRun,
    prompt: &str,
    folder: &Path,
    count: usize,
    part: &Part,
) -> Result<(), CliError> {
    let path = |i: usize| folder.join(format!("{DRAWN}{i:04}.png"));
    let numbers: Vec<usize> = (0..count).collect();
    // whole batches: the last bits of a picture depend on how many are drawn with it
    let batches = numbers.chunks(BATCH).filter(|batch| batch.iter().any(|i| !path(*i).is_file()));
    let missing: Vec<usize> = batches.flatten().copied().collect();
    if missing.is_empty() {
        return Ok(());
    }
    let drawn = counted(missing.len(), "picture");
    println!("class      drawing {drawn} of `{prompt}` to {}", folder.display());
    part.begin()?;
    let PreparedRun { checked: CheckedOptions { config, model, .. }, device, .. } = run;
    let drawing = Drawing { part, done: Cell::new(0), of: missing.len() };
    let keep = |number: usize, picture: &Picture| -> Result<(), CliError> {
        drawing.done.update(|done| done + 1);
        let path = path(number);
        if path.is_file() { Ok(()) } else { output::write(&path, &encode_picture(picture)?) }
    };
    let drawn = draw_class(config, model, device, &missing, Some(&drawing), |number, picture| {
        keep(number, picture).map_err(RunError::observer)
    });
    drawn.await.map_err(|error: RunError<CliError>| error.cause.into_error())
}

/// The pictures of the class, as they are drawn.
struct Drawing<'a> {
    part: &'a Part,
    done: Cell<usize>,
    of: usize,
}

impl DrawProgress for Drawing<'_> {
    fn denoised<'a>(
        &'a self,
        step: usize,
        steps: usize,
    ) -> LocalBoxFuture<'a, Result<(), PipelineError>> {
        // only the last batch may be smaller
        let (done, now) = (self.done.get(), BATCH.min(self.of - self.done.get()));
        let told = self.part.told(done * steps + now * step, self.of * steps);
        Box::pin(async { told.map_err(|error| RunError::observer(error).through_drawing()) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_user_s_own_pictures_are_not_taken_for_drawn_ones() {
        for (name, drawn) in [
            ("class-0000.png", true),
            ("class-12345.png", true),
            ("class-photo.png", false),
            ("class-1.png", false),
            ("class-0000.jpg", false),
            ("cat.png", false),
        ] {
            assert_eq!(is_drawn(&Path::new("folder").join(name)), drawn, "{name}");
        }
    }
}
