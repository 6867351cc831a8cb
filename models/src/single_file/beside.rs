//! The configuration that is passed on beside a file: `model.yaml` beside `model.safetensors`, of the
//! original code, which AUTOMATIC1111 goes by.

use std::path::Path;

use crate::{ModelError, weights::ModelSource};

/// What the model predicts by it, as metadata call that; none where it does not say so, or is not there.
///
/// # Errors
///
/// [`ModelError`] if it cannot be read.
pub(super) fn prediction(
    source: &impl ModelSource,
    file: &str,
) -> Result<Option<&'static str>, ModelError> {
    let beside = Path::new(file).with_extension("yaml");
    let text = source.read_optional(&beside.to_string_lossy())?;
    Ok(text.and_then(|text| String::from_utf8_lossy(&text).lines().find_map(told)))
}

/// What a line tells of it.
fn told(line: &str) -> Option<&'static str> {
    let value = line.trim().strip_prefix("parameterization:")?;
    match value.split('#').next()?.trim().trim_matches(['"', '\'']) {
        "v" => Some("v"),
        "eps" => Some("epsilon"),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use std::borrow::Cow;

    use super::*;
    use crate::weights::Memory;

    #[test]
    fn a_configuration_beside_a_file_tells_what_it_predicts() {
        let told = |name: &str, line: &str| {
            let yaml = format!("model:\n  params:\n    {line}\n    timesteps: 1000\n");
            let files = Memory([(name.to_string(), Cow::Owned(yaml.into_bytes()))].into());
            prediction(&files, "furry.v1.safetensors").unwrap()
        };
        for (line, want) in [
            (r#"parameterization: "v""#, Some("v")),
            ("parameterization: v # by velocity", Some("v")),
            ("parameterization: 'eps'", Some("epsilon")),
            ("# parameterization: v", None),
            ("linear_start: 0.00085", None),
        ] {
            assert_eq!(told("furry.v1.yaml", line), want, "{line}");
        }
        assert_eq!(told("furry.yaml", "parameterization: v"), None, "another file's");
    }
}
