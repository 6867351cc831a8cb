//! The page's options: the CLI's, but for those that are about files.

use dvar::config::{Initializer, Stopping, TrainConfig, TrainOptions};
use js_sys::JSON;
use serde_json::{Map, Value};
use wasm_bindgen::JsValue;

use crate::error::PageError;

/// What names files or a program beside the CLI; a page has neither.
const NOT_HERE: [&str; 12] = [
    "class_data_dir",
    "clip",
    "exp_name",
    "initializer_file",
    "log_unscaled",
    "logger",
    "model",
    "output_dir",
    "project_name",
    "save_init_embeds",
    "train_data_dir",
    "wandb",
];

/// Reads the page's options; keys with `null` or `undefined` are left open.
pub fn read(options: &JsValue) -> Result<TrainOptions, PageError> {
    let json = JSON::stringify(options).ok().and_then(|json| json.as_string());
    let json = json.and_then(|json| serde_json::from_str(&json).ok());
    let Some(Value::Object(mut given)) = json else {
        return Err(PageError::input("the options must be an object of names and values"));
    };
    given.retain(|_, value| !value.is_null());
    for (key, value) in &given {
        if NOT_HERE.contains(&key.as_str()) {
            return Err(PageError::option(
                key,
                format!("`{key}` is about files or programs that a page has not; leave it out"),
            ));
        }
        let one = Map::from_iter([(key.clone(), value.clone())]);
        if let Err(error) = serde_json::from_value::<TrainOptions>(one.into()) {
            let error = error.to_string();
            let message = if error.starts_with("unknown field") {
                format!("there is no option `{key}`")
            } else {
                format!("`{key}` is {value}: {error}")
            };
            return Err(PageError::option(key, message));
        }
    }
    Ok(serde_json::from_value(given.into())?)
}

/// All options that a page can set and that have a value, as JSON.
pub fn write(options: &TrainOptions) -> Result<JsValue, PageError> {
    let json = serde_json::to_value(options)?;
    let Value::Object(mut all) = json else { return Ok(JsValue::NULL) };
    all.retain(|key, value| !value.is_null() && !NOT_HERE.contains(&key.as_str()));
    to_js(&all)
}

/// What JSON can say, as a JavaScript value.
pub fn to_js(value: &impl serde::Serialize) -> Result<JsValue, PageError> {
    let json = serde_json::to_string(value)?;
    JSON::parse(&json).map_err(PageError::thrown)
}

/// Refuses what the CLI does by files between two steps, or by hours of scoring.
pub fn check(config: &TrainConfig) -> Result<(), PageError> {
    if config.stopping == Stopping::Baseline {
        return Err(PageError::option(
            "stopping",
            "`stopping` is `baseline`, which compares checkpoints on disk; take `dvar`, `clip-s` or \
             `few-iters` here, or the command line",
        ));
    }
    if let Initializer::Best | Initializer::Worst = config.initializer {
        return Err(PageError::option(
            "init_strategy",
            "`init_strategy` is `best` or `worst`, which score the whole vocabulary; give \
             `initializer_token` here, or take the command line",
        ));
    }
    Ok(())
}
