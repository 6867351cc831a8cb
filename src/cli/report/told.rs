//! What a run's files tell of it.

use std::{fs, path::PathBuf};

use crate::{
    cli::{
        error::CliError,
        input,
        names::folder_name,
        run_folder::RunFolder,
        train::{RunResult, read_metrics_until, read_result},
    },
    config::TrainOptions,
    data::{decode::decode, png::encode_picture, read_files, resize::Filter},
    session::Fall,
};

/// The longest side of the concept's pictures on the page, in pixels.
const SIDE: usize = 160;

/// What a run's files tell of it.
pub(super) struct Told {
    /// What its folder is called.
    pub name: String,
    pub options: TrainOptions,
    /// All options, as the run's file has them.
    pub config: String,
    pub result: RunResult,
    /// How the deterministic loss fell.
    pub fall: Option<String>,
    /// The concept's pictures, small, where they are still there.
    pub pictures: Vec<Vec<u8>>,
    /// Samples before and after, where they were drawn.
    pub samples: [Option<Vec<u8>>; 2],
    pub curve: Option<Vec<u8>>,
}

impl Told {
    pub(super) fn read(folder: &RunFolder) -> Result<Self, CliError> {
        let Some(result) = read_result(folder)? else {
            return Err(CliError::Input(format!(
                "the run in `{}` has not ended yet; go on with: {}",
                folder.path().display(),
                folder.go_on()
            )));
        };
        let options = folder.options()?;
        // one that was killed on its way to another end has more
        let points = read_metrics_until(folder, result.steps)?;
        let losses: Vec<f64> = points.iter().filter_map(|point| point.eval_loss).collect();
        let window = options.stopping.window.unwrap_or(usize::MAX / 2);
        Ok(Self {
            name: folder_name(folder.path()),
            config: input::text(&folder.config())?,
            pictures: pictures(&options),
            options,
            result,
            fall: Fall::new(&losses, window).map(|fall| fall.to_string()),
            // a run may have drawn none
            samples: ["before", "after"].map(|when| fs::read(folder.samples(when)).ok()),
            curve: fs::read(folder.curve()).ok(),
        })
    }

    /// What stands for the concept.
    pub(super) fn token(&self) -> &str {
        self.options.data.placeholder_token.as_deref().unwrap_or_default()
    }
}

/// The concept's pictures, small; what cannot be read any more is left out.
fn pictures(options: &TrainOptions) -> Vec<Vec<u8>> {
    let folder = options.data.train_data_dir.as_deref();
    let kohya = options.pictures.kohya_folders == Some(true);
    let files = folder.and_then(|folder| read_files(folder, kohya).ok()).unwrap_or_default();
    let small = |file: &PathBuf| {
        let picture = decode(&fs::read(file).ok()?, "").ok()?.into_rgb();
        let long = picture.width().max(picture.height());
        let side = |length: usize| (length * SIDE.min(long) / long).max(1);
        let small = picture.resize(side(picture.width()), side(picture.height()), Filter::Bicubic);
        encode_picture(&small).ok()
    };
    files.iter().filter_map(small).collect()
}
