//! The pictures of the concept's class, for prior preservation: the user's, or the model's own.

use std::path::{Path, PathBuf};

use burn::tensor::{Device, Tensor};
use indicatif::{ProgressBar, ProgressStyle};

use super::plan::class_settings;
use crate::{
    cli::CliError,
    config::TrainConfig,
    data::{
        DataError,
        dataset::{CropMode, Dataset, picture_files},
        png::encode_png,
    },
    files::write_atomic,
    pipelines::{BATCH, ModelFolder, SamplingOptions, TextToImage},
};

/// Names of drawn pictures begin so; a folder with others is the user's, and never added to.
const DRAWN: &str = "class-";

/// Refuses a folder of the user's that holds no pictures; one that does not exist will be filled.
pub(super) fn check(config: &TrainConfig) -> Result<(), CliError> {
    match class_settings(config) {
        Some((_, Some(folder), _)) if folder.exists() => match picture_files(folder) {
            Ok(_) => Ok(()),
            Err(error @ DataError::NoPictures { .. }) => Err(CliError::Input(format!(
                "{error}; or name a folder that does not exist, and the model draws the class into it"
            ))),
            Err(error) => Err(CliError::input(error)),
        },
        _ => Ok(()),
    }
}

/// The class' pictures, of which missing ones are drawn first; none for methods without.
pub(super) async fn load(
    config: &TrainConfig,
    model: &ModelFolder,
    device: &Device,
    default_folder: PathBuf,
    size: usize,
) -> Result<Option<Dataset>, CliError> {
    let Some((prompt, folder, count)) = class_settings(config) else { return Ok(None) };
    let folder = folder.map_or(default_folder, Path::to_path_buf);
    std::fs::create_dir_all(&folder).map_err(|error| CliError::write(&folder, error))?;
    let there = match picture_files(&folder) {
        Ok(files) => files,
        Err(DataError::NoPictures { .. }) => Vec::new(),
        Err(error) => return Err(CliError::input(error)),
    };
    if there.iter().all(|file| is_drawn(file)) {
        draw(config, model, device, prompt, &folder, count).await?;
    } else if there.len() < count {
        println!("class      {} pictures in {}, of {count} wanted", there.len(), folder.display());
    }
    let mut files = picture_files(&folder).map_err(CliError::input)?;
    files.truncate(count);
    let dataset = Dataset::from_files(&files, size, CropMode::Center);
    dataset.map(Some).map_err(CliError::input)
}

fn is_drawn(file: &Path) -> bool {
    file.file_name().is_some_and(|name| name.to_string_lossy().starts_with(DRAWN))
}

/// Draws those of the `count` pictures that are not there yet.
async fn draw(
    config: &TrainConfig,
    model: &ModelFolder,
    device: &Device,
    prompt: &str,
    folder: &Path,
    count: usize,
) -> Result<(), CliError> {
    let path = |i: usize| folder.join(format!("{DRAWN}{i:04}.png"));
    let missing: Vec<usize> = (0..count).filter(|i| !path(*i).is_file()).collect();
    if missing.is_empty() {
        return Ok(());
    }
    println!("class      drawing {} pictures of `{prompt}` to {}", missing.len(), folder.display());
    let tokenizer = model.tokenizer().map_err(CliError::input)?;
    let encoder = model.load_prompt_encoder(tokenizer, Vec::new(), device);
    let encoder = encoder.map_err(CliError::input)?;
    let unet = model.load_unet(device).map_err(CliError::input)?;
    let vae = model.load_vae(device).map_err(CliError::input)?;
    let scheduler = model.scheduler();
    let pipeline = TextToImage { encoder: &encoder, unet: &unet, vae: &vae, scheduler };
    let size = model.native_resolution();
    let options = SamplingOptions {
        scheduler: config.scheduler.unwrap_or(scheduler.kind()),
        num_inference_steps: config.num_inference_steps,
        guidance_scale: config.guidance_scale,
        eta: config.eta,
        height: size,
        width: size,
        seed: config.seed,
    };
    let vectors = Tensor::zeros([1, model.embedding_dim()], device);
    let bar = ProgressBar::new(missing.len() as u64);
    if let Ok(style) =
        ProgressStyle::with_template("class pictures {bar:24} {pos}/{len} {eta} left")
    {
        bar.set_style(style);
    }
    // a picture's seed is its number, so that an interrupted drawing goes on with the same ones
    for numbers in missing.chunk_by(|a, b| a + 1 == *b).flat_map(|run| run.chunks(BATCH)) {
        let prompts = vec![prompt.to_string(); numbers.len()];
        let drawn = pipeline.generate(numbers[0], &prompts, "", &vectors, &options).await;
        for (number, picture) in numbers.iter().zip(drawn.map_err(CliError::failed)?) {
            let png = encode_png(picture.width(), picture.height(), picture.pixels());
            let (png, path) = (png.map_err(CliError::failed)?, path(*number));
            write_atomic(&path, &png).map_err(|error| CliError::write(&path, error))?;
        }
        bar.inc(numbers.len() as u64);
    }
    bar.finish_and_clear();
    Ok(())
}
