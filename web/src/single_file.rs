//! A checkpoint in one file, which a visitor gives in place of the page's model.

use std::sync::Arc;

use dvar::pipelines::ModelFolder;
use dvar_models::{
    ModelError,
    single_file::{IS_LORA, SingleFile},
    weights::{FileSource, Pieces, torch::IS_EMBEDDING},
};

use crate::{error::PageError, source::PageFiles};

/// Bytes that WebAssembly can address.
const ADDRESSABLE: u64 = 1 << 32;
/// How many of these are left to what a step computes.
const RESERVED: u64 = 1 << 29;
/// Bytes of a weight.
const F32: u64 = 4;

/// Opens `file`, of which no more is read than tells what it is; `on_cpu` says whether its weights will
/// lie in WebAssembly's memory, and not in a GPU's.
///
/// # Errors
///
/// `InputError` if it is larger than a page can hold, `ModelError` if it is no model that is read from
/// one file.
pub fn open(files: PageFiles, file: &str, on_cpu: bool) -> Result<ModelFolder, PageError> {
    let gigabytes = |bytes: u64| format!("{:.1} GB", bytes as f64 / 1e9);
    let all = gigabytes(ADDRESSABLE);
    let size = files.size(file).unwrap_or_default();
    if size > ADDRESSABLE {
        return Err(PageError::input(format!(
            "`{file}` has {}, and a page can address no more than {all}; take the `dvar` program",
            gigabytes(size)
        )));
    }
    let model = SingleFile::open(&Pieces(Arc::new(files)), file).map_err(refused)?;
    let kind = model.kind().name();
    let weights = F32.saturating_mul(model.values());
    if on_cpu && weights > ADDRESSABLE - RESERVED {
        return Err(PageError::input(format!(
            "`{file}` is {kind} and takes {} in f32, and on the CPU a page has {all} for everything; \
             take the GPU or the `dvar` program",
            gigabytes(weights)
        )));
    }
    // the page shows the name of the model that it took
    let doubt = model.doubt().map(|doubt| format!("; {doubt}")).unwrap_or_default();
    Ok(ModelFolder::new(model, format!("{file} ({kind}{doubt})"))?)
}

/// What was learned for a model has another place on the page.
fn refused(error: ModelError) -> PageError {
    match &error {
        ModelError::Invalid { reason, .. }
            if [IS_EMBEDDING, IS_LORA].contains(&reason.as_str()) =>
        {
            PageError::input(format!("{error}, or choose this file by “Draw with it”"))
        }
        _ => error.into(),
    }
}
