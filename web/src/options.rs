//! The page's options: the CLI's, but for those about files, other programs and how pictures are read.

use std::collections::BTreeMap;

use dvar::config::{ConfigError, Initializer, Stopping, TrainConfig, TrainOptions};
use js_sys::JSON;
use serde_json::Value;
use wasm_bindgen::JsValue;

use crate::error::PageError;

/// Reads the page's options; keys with `null` or `undefined` are left open.
pub fn read(options: &JsValue) -> Result<TrainOptions, PageError> {
    let json = JSON::stringify(options).ok().and_then(|json| json.as_string());
    let options = TrainOptions::from_json(&json.unwrap_or_default());
    let options = options.map_err(|error| match &error {
        // the library names options that there are
        ConfigError::Unknown { name, .. } => PageError::option(name, error.to_string()),
        _ => error.into(),
    })?;
    let (given, here) = (values(&options)?, values(&options.clone().on_page())?);
    match given.keys().find(|option| !here.contains_key(*option)) {
        Some(option) => Err(PageError::option(
            option,
            format!("`{option}` is no option of a page; leave it out, or take the command line"),
        )),
        None => Ok(options),
    }
}

/// All options that a page can set and that have a value, as JSON.
pub fn write(options: &TrainOptions) -> Result<JsValue, PageError> {
    to_js(&values(&options.clone().on_page())?)
}

/// The options that have a value, by name.
fn values(options: &TrainOptions) -> Result<BTreeMap<String, Value>, PageError> {
    let all = serde_json::to_value(options).and_then(serde_json::from_value::<BTreeMap<_, _>>);
    let mut all = all?;
    all.retain(|_, value: &mut Value| !value.is_null());
    Ok(all)
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
            "`stopping` is `baseline`, which compares checkpoints on disk; take `dvar`, `plateau`, \
             `clip-s` or `few-iters` here, or the command line",
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
