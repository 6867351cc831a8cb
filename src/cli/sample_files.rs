//! The samples of a run on disk.

use std::path::Path;

use serde::{Deserialize, Serialize};

use super::{CliError, output};
use crate::data::{image::Picture, png::encode_picture};

/// What the file [`PROMPTS`] says of one picture.
#[derive(Serialize, Deserialize)]
pub(super) struct Named {
    pub file: String,
    pub prompt: String,
}

/// The file beside single pictures that says what they were drawn from: a list of [`Named`].
pub(super) const PROMPTS: &str = "prompts.json";

/// Writes each picture by itself, and which prompt it was drawn from.
pub(super) fn write_each(
    folder: &Path,
    pictures: &[Picture],
    prompts: Vec<String>,
) -> Result<(), CliError> {
    output::create_folder(folder)?;
    let mut named = Vec::new();
    for (i, (picture, prompt)) in pictures.iter().zip(prompts).enumerate() {
        let file = format!("{i:04}.png");
        output::write(&folder.join(&file), &encode_picture(picture)?)?;
        named.push(Named { file, prompt });
    }
    let json = serde_json::to_string_pretty(&named)?;
    output::write(&folder.join(PROMPTS), format!("{json}\n").as_bytes())
}
