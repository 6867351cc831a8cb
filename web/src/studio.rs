//! A model on a device, and what a page can ask of it.

use std::sync::Arc;

use burn::tensor::Device;
use dvar::{
    pipelines::ModelFolder,
    session::{CheckedOptions, Start, advice},
};
use dvar_models::weights::Pieces;
use serde_json::json;
use wasm_bindgen::{JsValue, prelude::wasm_bindgen};

use crate::{
    device,
    error::PageError,
    generate, held, options,
    pictures::{self, LookedAt},
    prompts, single_file,
    source::{ModelSource, PageFiles},
    train,
};

/// A model on a device.
#[derive(Debug)]
#[wasm_bindgen]
pub struct Studio {
    pub(crate) device: Device,
    pub(crate) kind: &'static str,
    device_name: String,
    pub(crate) model: ModelFolder,
}

#[wasm_bindgen]
impl Studio {
    /// Chooses the device (`webgpu` or `cpu`) and reads the model's small files; weights are read
    /// when they are needed. `name` is the model's in messages.
    ///
    /// # Errors
    ///
    /// `DeviceError` without the device, `ModelError` if a file is missing or broken.
    pub async fn open(
        device: String,
        files: ModelSource,
        name: Option<String>,
    ) -> Result<Studio, PageError> {
        let (device, kind, device_name) = device::open(&device).await?;
        let files = Pieces(Arc::new(PageFiles::new(files)));
        let model = ModelFolder::new(files, name.unwrap_or_else(|| "the model".into()))?;
        Ok(Self { device, kind, device_name, model })
    }

    /// The same for a checkpoint in one file, the only one of `files`.
    ///
    /// # Errors
    ///
    /// `DeviceError` without the device, `ModelError` if the file is no model that is read from one,
    /// `InputError` if it is larger than a page can hold.
    pub async fn open_file(
        device: String,
        files: ModelSource,
        file: String,
    ) -> Result<Studio, PageError> {
        let (device, kind, device_name) = device::open(&device).await?;
        let model = single_file::open(PageFiles::new(files), &file, kind == "cpu")?;
        Ok(Self { device, kind, device_name, model })
    }

    /// What computes.
    #[wasm_bindgen(unchecked_return_type = "DeviceInfo")]
    pub fn device(&self) -> Result<JsValue, PageError> {
        options::to_js(&json!({ "kind": self.kind, "name": self.device_name }))
    }

    /// What draws.
    #[wasm_bindgen(unchecked_return_type = "ModelInfo")]
    pub fn model(&self) -> Result<JsValue, PageError> {
        options::to_js(&json!({
            "name": self.model.name(),
            "resolution": self.model.native_resolution(),
            "has_clip": self.model.has_clip(),
        }))
    }

    /// Every option that a page can set and that has a value: those of `options`, then the model's advice
    /// for the method and the criterion that these name, and the defaults for them.
    ///
    /// # Errors
    ///
    /// `InputError` if `options` or the model's advice are no set of options.
    #[wasm_bindgen(unchecked_return_type = "Options")]
    pub fn defaults(
        &self,
        #[wasm_bindgen(unchecked_param_type = "Options")] options: JsValue,
    ) -> Result<JsValue, PageError> {
        let chosen = options::read(&options)?;
        let advised = advice(&self.model, &chosen)?;
        // over them, as the defaults too depend on what is chosen
        options::write(&chosen.over(&advised)?.with_defaults()?)
    }

    /// The CLI's checks and those of the prompts, before any slow work: the pictures that cannot be used, with why,
    /// and how many are transparent in parts.
    ///
    /// # Errors
    ///
    /// `InputError` names the option, or says that there are no pictures.
    #[wasm_bindgen(unchecked_return_type = "Checked")]
    pub fn check(
        &self,
        #[wasm_bindgen(unchecked_param_type = "Options")] options: JsValue,
        #[wasm_bindgen(unchecked_param_type = "Picture[]")] pictures: JsValue,
    ) -> Result<JsValue, PageError> {
        let (checked, start) = self.checked(&options)?;
        prompts::check_samples(&checked, &start)?;
        let LookedAt { refused, transparent } =
            pictures::look_at(&pictures, checked.size(), checked.config.reading)?;
        let refused = refused.into_iter();
        let refused = refused.map(|(name, reason)| json!({ "name": name, "reason": reason }));
        let refused = refused.collect::<Vec<_>>();
        options::to_js(&json!({ "refused": refused, "transparent": transparent }))
    }

    /// Trains a concept; the page is told of everything by `host`, and may pause by answering late.
    ///
    /// # Errors
    ///
    /// `InputError`, `ModelError`, `DeviceError`, and what the host throws.
    #[wasm_bindgen(unchecked_return_type = "Finished")]
    pub async fn train(
        &self,
        #[wasm_bindgen(unchecked_param_type = "Run")] run: JsValue,
        #[wasm_bindgen(unchecked_param_type = "Host")] host: JsValue,
    ) -> Result<JsValue, PageError> {
        train::train(self, &run, host).await
    }

    /// What a file of a visitor's holds: an embedding of any tool's, an adapter, or both. `name` is the
    /// file's, which some tools leave the token to.
    ///
    /// # Errors
    ///
    /// `InputError` if it holds neither, or an embedding of another model.
    #[wasm_bindgen(unchecked_return_type = "Held")]
    pub fn held(&self, bytes: &[u8], name: &str) -> Result<JsValue, PageError> {
        held::in_file(&self.model, bytes, name)
    }

    /// Draws pictures with a learned concept, one after the other; PNG files.
    ///
    /// # Errors
    ///
    /// `InputError`, `ModelError`, `DeviceError`, and what the host throws.
    #[wasm_bindgen(unchecked_return_type = "Uint8Array[]")]
    pub async fn generate(
        &self,
        learned: &[u8],
        #[wasm_bindgen(unchecked_param_type = "Drawing")] request: JsValue,
        #[wasm_bindgen(unchecked_param_type = "Watcher")] host: JsValue,
    ) -> Result<JsValue, PageError> {
        generate::generate(self, learned, &request, host).await
    }
}

impl Studio {
    /// The page's options over the model's advice and the defaults, all checked.
    pub(crate) fn checked(&self, options: &JsValue) -> Result<(CheckedOptions, Start), PageError> {
        let mut options = options::read(options)?;
        // the CLI's folder, which stands for the pictures that the page gives
        options.data.train_data_dir = Some("pictures".into());
        let checked = CheckedOptions::new(&options, self.model.clone())?;
        options::check(&checked.config)?;
        let start = checked.start(|_| {
            Err(PageError::option("init_strategy", "a page has no files to start from"))
        })?;
        Ok((checked, start))
    }
}
