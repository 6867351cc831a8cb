//! Which files of a repository on the Hugging Face Hub dvar reads.

use std::{
    collections::BTreeSet,
    path::{Component, Path},
};

use super::layout;
use crate::ModelError;

/// The parts of a model folder that are read whole, by their path's beginning.
const WHOLE: [&str; 6] =
    ["model_index.json", "dvar.toml", "words.txt", "scheduler/", "tokenizer/", "tokenizer_2/"];
/// The parts of a model folder that may hold weights, beside their `config.json`, in Stable Diffusion or
/// LDM.
pub const NETWORKS: &[&str] = &["text_encoder", "text_encoder_2", "bert", "unet", "vae", "vqvae"];
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

/// The files of a repository, as the Hub lists them.
#[derive(Clone, Debug)]
pub struct HubFiles {
    repository: String,
    listed: BTreeSet<String>,
}

impl HubFiles {
    /// The files that the Hub lists for `repository` (`owner/name`).
    ///
    /// # Errors
    ///
    /// [`ModelError::Invalid`] if one of them would lie outside of the repository's folder.
    pub fn new(
        repository: &str,
        listed: impl IntoIterator<Item = String>,
    ) -> Result<Self, ModelError> {
        let listed: BTreeSet<String> = listed.into_iter().collect();
        let inside = |name: &str| {
            Path::new(name).components().all(|part| matches!(part, Component::Normal(_)))
        };
        if let Some(outside) = listed.iter().find(|name| !inside(name)) {
            return Err(ModelError::Invalid {
                file: repository.into(),
                reason: format!("it lists `{outside}`, which is no file of its folder"),
            });
        }
        Ok(Self { repository: repository.into(), listed })
    }

    /// What is read of a model beside its weights: small files, which tell what model it is.
    ///
    /// # Errors
    ///
    /// [`ModelError::MissingFile`] if the repository is no folder of a model.
    pub fn small_of_model(&self) -> Result<Vec<String>, ModelError> {
        let telling = ["model_index.json", "unet/config.json"];
        if !telling.iter().any(|file| self.listed.contains(*file)) {
            let whole = |file: &&String| {
                !file.contains('/')
                    && [".safetensors", ".ckpt"].iter().any(|end| file.ends_with(end))
            };
            let remedy = match self.listed.iter().find(whole) {
                Some(file) => format!(
                    "the repository is not in diffusers' layout: download a checkpoint of it, such as `{file}`, and \
                     give its path"
                ),
                None => "choose a repository in diffusers' layout".into(),
            };
            let file = format!("{}/{}", self.repository, telling[1]);
            return Err(ModelError::MissingFile { file, remedy });
        }
        let small = |file: &&String| {
            WHOLE.iter().any(|whole| file.starts_with(whole))
                || NETWORKS.iter().any(|network| **file == format!("{network}/config.json"))
        };
        Ok(self.listed.iter().filter(small).cloned().collect())
    }

    /// What is read of a model; `read` gives the bytes of an index of shards.
    ///
    /// # Errors
    ///
    /// Those of [`small_of_model`](Self::small_of_model); [`ModelError::MissingFile`] if there are no weights
    /// that dvar can read; those of `read`, and [`ModelError::Invalid`] for an index that is none.
    pub fn of_model(
        &self,
        read: impl Fn(&str) -> Result<Vec<u8>, ModelError>,
    ) -> Result<Vec<String>, ModelError> {
        let mut files = self.small_of_model()?;
        // the others are the other family's; opening the folder tells what is truly missing
        for network in NETWORKS {
            if self.listed.contains(&format!("{network}/config.json")) {
                files.extend(self.weights(network, "diffusers' layout", &read)?);
            }
        }
        Ok(files)
    }

    /// What is read of a single network with what prepares its input.
    ///
    /// # Errors
    ///
    /// Those of [`of_model`](Self::of_model).
    pub fn of_scorer(
        &self,
        read: impl Fn(&str) -> Result<Vec<u8>, ModelError>,
    ) -> Result<Vec<String>, ModelError> {
        let there = SCORER.into_iter().filter(|file| self.listed.contains(*file));
        let mut files: Vec<String> = there.map(str::to_string).collect();
        files.extend(self.weights(".", "transformers' layout", &read)?);
        Ok(files)
    }

    /// The weight files of `folder`, `.` for the repository itself.
    fn weights(
        &self,
        folder: &str,
        layout: &str,
        read: &impl Fn(&str) -> Result<Vec<u8>, ModelError>,
    ) -> Result<Vec<String>, ModelError> {
        let plain = |file: String| file.trim_start_matches("./").to_string();
        let has = |file: &str| self.listed.contains(file.trim_start_matches("./"));
        let weights = layout::locate(folder, has).map(plain);
        let weights = weights.ok_or_else(|| ModelError::MissingFile {
            file: format!("{}/{}", self.repository, plain(format!("{folder}/*.safetensors"))),
            remedy: format!("choose a repository with safetensors or `.bin` weights in {layout}"),
        })?;
        let mut files = Vec::new();
        if weights.ends_with(".json") {
            let shards = layout::shards(&read(&weights)?, folder, &weights)?;
            files.extend(shards.into_iter().map(plain));
        }
        files.push(weights);
        Ok(files)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const INDEX: &str = "unet/diffusion_pytorch_model.safetensors.index.json";

    fn sharded(shard: &str) -> Result<Vec<String>, ModelError> {
        let listed = ["unet/config.json", INDEX, "model_index.json", "README.md"];
        let files = HubFiles::new("someone/model", listed.map(str::to_string))?;
        files.of_model(|_| Ok(format!(r#"{{"weight_map": {{"a": "{shard}"}}}}"#).into_bytes()))
    }

    #[test]
    fn a_model_is_its_small_files_and_the_shards_that_an_index_names() {
        let expected = ["model_index.json", "unet/config.json", "unet/1.safetensors", INDEX];
        assert_eq!(sharded("1.safetensors").unwrap(), expected);
    }

    #[test]
    fn a_repository_of_single_files_is_told_what_to_do_with_them() {
        let listed = ["README.md", "some/lora.safetensors", "anything-v5.ckpt"].map(str::to_string);
        let files = HubFiles::new("someone/checkpoints", listed).unwrap();
        let refused = files.of_model(|_| Ok(Vec::new())).unwrap_err().to_string();
        assert!(refused.contains("such as `anything-v5.ckpt`"), "{refused}");
        let none = HubFiles::new("someone/words", ["README.md".to_string()]).unwrap();
        let refused = none.of_model(|_| Ok(Vec::new())).unwrap_err().to_string();
        assert!(refused.ends_with("choose a repository in diffusers' layout"), "{refused}");
    }

    #[test]
    fn no_answer_of_the_hub_leads_out_of_the_folder() {
        for listed in ["tokenizer/../../../.profile", "/etc/passwd", "..", "./unet"] {
            let refused = HubFiles::new("someone/model", [listed.to_string()]).unwrap_err();
            assert!(refused.to_string().contains(listed), "{refused}");
        }
        for shard in ["../1.safetensors", "/1.safetensors", "..", ".", ""] {
            assert!(sharded(shard).is_err(), "{shard}");
        }
    }
}
