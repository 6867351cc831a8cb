//! Models by name from the Hugging Face Hub, into its usual cache (`HF_HOME`).

use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
};

use hf_hub::api::sync::{ApiBuilder, ApiError, ApiRepo};

use super::{Folder, layout};
use crate::ModelError;

/// The parts of a model folder that are read whole, by their path's beginning.
const WHOLE: [&str; 6] =
    ["model_index.json", "dvar.toml", "words.txt", "scheduler/", "tokenizer/", "tokenizer_2/"];
/// The parts that may hold weights, beside their `config.json`, in Stable Diffusion or LDM.
const NETWORKS: [&str; 6] = ["text_encoder", "text_encoder_2", "bert", "unet", "vae", "vqvae"];
/// What a scorer's folder holds beside its weights; which of it a scorer needs, it says itself.
const SCORER: [&str; 8] = [
    "config.json",
    "preprocessor_config.json",
    "processor_config.json",
    "tokenizer.json",
    "vocab.json",
    "merges.txt",
    "tokenizer_config.json",
    "special_tokens_map.json",
];

impl Folder {
    /// Downloads what dvar reads of `repository` (`owner/name`), or finds it in the cache.
    ///
    /// # Errors
    ///
    /// [`ModelError::Unreadable`] if the Hub or one of the files cannot be had;
    /// [`ModelError::MissingFile`] if the repository lacks weights that dvar can read.
    pub fn from_hub(repository: &str) -> Result<Self, ModelError> {
        let hub = Repository::open(repository)?;
        let listed = &hub.listed;
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
            files.extend(hub.weights(network, "diffusers' layout")?);
        }
        hub.fetch(&files)
    }

    /// Downloads a single network with what prepares its input, such as `facebook/dino-vits16`,
    /// or finds it in the cache.
    ///
    /// # Errors
    ///
    /// Those of [`from_hub`](Self::from_hub).
    pub fn scorer_from_hub(repository: &str) -> Result<Self, ModelError> {
        let hub = Repository::open(repository)?;
        let there = SCORER.into_iter().filter(|file| hub.listed.contains(*file));
        let mut files: Vec<String> = there.map(str::to_string).collect();
        files.extend(hub.weights(".", "transformers' layout")?);
        hub.fetch(&files)
    }
}

/// A repository and the names of its files.
struct Repository {
    name: String,
    repo: ApiRepo,
    listed: BTreeSet<String>,
}

impl Repository {
    fn open(name: &str) -> Result<Self, ModelError> {
        let failed = |error| unreadable(name, "", error);
        let api = ApiBuilder::from_env().with_progress(true).build().map_err(failed)?;
        let repo = api.model(name.to_string());
        let listed = repo.info().map_err(failed)?.siblings;
        let listed = listed.into_iter().map(|file| file.rfilename).collect();
        Ok(Self { name: name.to_string(), repo, listed })
    }

    fn get(&self, file: &str) -> Result<PathBuf, ModelError> {
        self.repo.get(file).map_err(|error| unreadable(&self.name, file, error))
    }

    /// The weight files of `folder`, `.` for the repository itself.
    fn weights(&self, folder: &str, layout: &str) -> Result<Vec<String>, ModelError> {
        let plain = |file: String| file.trim_start_matches("./").to_string();
        let has = |file: &str| self.listed.contains(file.trim_start_matches("./"));
        let weights = layout::locate(folder, has).map(plain);
        let weights = weights.ok_or_else(|| ModelError::MissingFile {
            file: format!("{}/{}", self.name, plain(format!("{folder}/*.safetensors"))),
            remedy: format!("choose a repository with safetensors or `.bin` weights in {layout}"),
        })?;
        let mut files = Vec::new();
        if weights.ends_with(".json") {
            let index = self.get(&weights)?;
            let bytes = std::fs::read(&index).map_err(|error| ModelError::Unreadable {
                file: index.display().to_string(),
                reason: error.to_string(),
            })?;
            files.extend(layout::shards(&bytes, folder, &weights)?.into_iter().map(plain));
        }
        files.push(weights);
        Ok(files)
    }

    /// The folder that the files lie in after their download.
    fn fetch(&self, files: &[String]) -> Result<Folder, ModelError> {
        let mut root = None;
        for file in files {
            root = self.get(file)?.ancestors().nth(file.split('/').count()).map(Path::to_path_buf);
        }
        root.map(Folder).ok_or_else(|| ModelError::MissingFile {
            file: self.name.clone(),
            remedy: "the repository is empty".into(),
        })
    }
}

fn unreadable(repository: &str, file: &str, error: ApiError) -> ModelError {
    let file = match file {
        "" => repository.to_string(),
        file => format!("{repository}/{file}"),
    };
    ModelError::Unreadable { file, reason: error.to_string() }
}
