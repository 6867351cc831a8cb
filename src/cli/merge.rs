//! `dvar merge`

use std::path::{Path, PathBuf};

use burn::tensor::DType;
use dvar_models::weights::with_replaced;

use super::{
    CliError, device, model, model_mark, output, own_folder::OwnFolder, run_folder::RunFolder,
};
use crate::{concept::LearnedAdapter, pipelines::ModelFolder};

/// Flags of `dvar merge`.
#[derive(Debug, clap::Args)]
pub(super) struct MergeArgs {
    /// Folder of a finished run of DreamBooth-LoRA or Custom Diffusion
    #[arg(value_name = "RUN")]
    run: PathBuf,
    /// Folder to write to, which must be empty if it exists [default: merged, or merged-2 and so on]
    #[arg(long, short, value_name = "DIR")]
    output_dir: Option<PathBuf>,
}

/// Writes a `unet/` with the adapter in its weights, to stand in the place of the model's own.
pub(super) fn run(args: &MergeArgs) -> Result<(), CliError> {
    let run = RunFolder::open(&args.run)?;
    let adapter = run.read_adapter()?.ok_or_else(|| {
        CliError::Input(format!(
            "`{}` has changed no weights of the model; a learned embedding needs no merging",
            args.run.display()
        ))
    })?;
    let checked = model::of_run(&run.options()?).map_err(|error| run.of_options(error))?;
    model_mark::warn_of_other_files(&run, &checked)?;
    let model = checked.model.with_precision(DType::F32);
    let own = OwnFolder::new(args.output_dir.as_deref(), || "merged".into())?;
    let unet = own.path.join("unet");
    write_merged(&model, &adapter, &unet).inspect_err(|_| {
        // half a denoiser would be in the way of the next try
        let _ = std::fs::remove_dir_all(&unet);
        own.discard();
    })
}

fn write_merged(
    model: &ModelFolder,
    adapter: &LearnedAdapter,
    folder: &Path,
) -> Result<(), CliError> {
    let (device, _) = device::open("auto")?;
    let merged = device::run(&device, || {
        let unet = model.load_unet(&device)?;
        Ok(pollster::block_on(adapter.merge(&unet, &device))?)
    })?;
    let weights = with_replaced(model.files(), "unet", &merged)?;
    let config = model.files().read("unet/config.json")?;
    std::fs::create_dir(folder).map_err(|error| CliError::write(folder, error))?;
    output::write(&folder.join("config.json"), &config)?;
    let file = folder.join("diffusion_pytorch_model.safetensors");
    output::write(&file, &weights)?;
    println!("{} weights of {} merged, in {}", merged.len(), model.name(), folder.display());
    Ok(())
}
