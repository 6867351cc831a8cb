//! The model's files, fetched by the page.

use std::{cell::RefCell, io};

use dvar_models::weights::FileSource;
use js_sys::Uint8Array;
use wasm_bindgen::{JsCast, JsValue, prelude::wasm_bindgen};

#[wasm_bindgen]
extern "C" {
    /// The page's object.
    #[wasm_bindgen(typescript_type = "ModelSource")]
    pub type ModelSource;

    #[wasm_bindgen(method, catch)]
    fn size(this: &ModelSource, path: &str) -> Result<JsValue, JsValue>;

    #[wasm_bindgen(method, catch)]
    fn read(this: &ModelSource, path: &str, offset: f64, length: f64) -> Result<JsValue, JsValue>;
}

thread_local! {
    /// All that were given: JavaScript's objects belong to their thread, files may be asked for from
    /// any.
    static SOURCES: RefCell<Vec<ModelSource>> = const { RefCell::new(Vec::new()) };
}

/// One of the page's objects, by its number.
#[derive(Debug)]
pub struct PageFiles(usize);

impl PageFiles {
    pub fn new(source: ModelSource) -> Self {
        Self(SOURCES.with_borrow_mut(|sources| {
            sources.push(source);
            sources.len() - 1
        }))
    }

    fn ask(
        &self,
        question: impl FnOnce(&ModelSource) -> Result<JsValue, JsValue>,
    ) -> io::Result<JsValue> {
        SOURCES.with_borrow(|sources| match sources.get(self.0) {
            Some(source) => question(source).map_err(|thrown| io::Error::other(words(&thrown))),
            None => Err(io::Error::other("another thread has the files")),
        })
    }
}

impl FileSource for PageFiles {
    fn size(&self, file: &str) -> Option<u64> {
        let size = self.ask(|source| source.size(file)).ok()?.as_f64()?;
        (size >= 0.0).then_some(size as u64)
    }

    fn read(&self, file: &str, offset: u64, length: usize) -> io::Result<Vec<u8>> {
        let bytes = self.ask(|source| source.read(file, offset as f64, length as f64))?;
        let bytes = bytes.dyn_into::<Uint8Array>();
        let bytes = bytes.map_err(|_| io::Error::other("the page gave no bytes"))?;
        if bytes.length() as usize != length {
            return Err(io::Error::new(
                io::ErrorKind::UnexpectedEof,
                format!("{} of {length} bytes came; fetch it again", bytes.length()),
            ));
        }
        Ok(bytes.to_vec())
    }
}

/// What something that was thrown says of itself.
pub fn words(thrown: &JsValue) -> String {
    match thrown.dyn_ref::<js_sys::Error>() {
        Some(error) => error.message().into(),
        None => thrown.as_string().unwrap_or_else(|| format!("{thrown:?}")),
    }
}
