//! Models by name from the Hugging Face Hub, into its usual cache (`HF_HOME`).

use std::collections::BTreeSet;

use hf_hub::api::sync::{ApiBuilder, ApiError, ApiRepo};

use super::{ModelFiles, load};
use crate::ModelError;

/// The parts of a model folder that are read whole, by their path's beginning.
const WHOLE: [&str; 4] = ["model_index.json", "dvar.toml", "scheduler/", "tokenizer/"];
/// The parts that may hold weights, beside their `config.json`, in Stable Diffusion or LDM.
const NETWORKS: [&str; 5] = ["text_encoder", "bert", "unet", "vae", "vqvae"];

impl ModelFiles {
    /// Downloads what dvar reads of `repository` (`owner/name`), or finds it in the cache.
    ///
    /// # Errors
    ///
    /// [`ModelError::Unreadable`] if the Hub or one of the files cannot be had;
    /// [`ModelError::MissingFile`] if the repository lacks weights that dvar can read.
    pub fn from_hub(repository: &str) -> Result<Self, ModelError> {
        let failed = |file: &str, error: ApiError| ModelError::Unreadable {
            file: format!("{repository}/{file}"),
            reason: error.to_string(),
        };
        let api = ApiBuilder::from_env().with_progress(true).build();
        let repo = api.map_err(|error| failed("", error))?.model(repository.to_string());
        let listed = repo.info().map_err(|error| failed("", error))?.siblings;
        let listed: BTreeSet<String> = listed.into_iter().map(|file| file.rfilename).collect();
        let get = |repo: &ApiRepo, file: &str| repo.get(file).map_err(|error| failed(file, error));

        let mut files: Vec<String> = listed
            .iter()
            .filter(|file| WHOLE.iter().any(|whole| file.starts_with(whole)))
            .cloned()
            .collect();
        for network in NETWORKS {
            let config = format!("{network}/config.json");
            if !listed.contains(&config) {
                continue; // the other family's; opening the folder tells what is truly missing
            }
            files.push(config);
            let weights = load::locate(network, |file| listed.contains(file));
            let weights = weights.ok_or_else(|| ModelError::MissingFile {
                file: format!("{repository}/{network}/*.safetensors"),
                remedy:
                    "choose a repository with safetensors or `.bin` weights in diffusers' layout"
                        .into(),
            })?;
            if weights.ends_with(".json") {
                let index = get(&repo, &weights)?;
                let bytes = std::fs::read(&index).map_err(|error| ModelError::Unreadable {
                    file: index.display().to_string(),
                    reason: error.to_string(),
                })?;
                files.extend(load::shards(&bytes, network, &weights)?);
            }
            files.push(weights);
        }
        let mut root = None;
        for file in &files {
            let path = get(&repo, file)?;
            root = path.ancestors().nth(file.split('/').count()).map(std::path::Path::to_path_buf);
        }
        root.map(Self::Folder).ok_or_else(|| ModelError::MissingFile {
            file: repository.to_string(),
            remedy: "the repository is empty".into(),
        })
    }
}
