//! What a model predicts, as it is told outside of its file: by a configuration of the original code that is
//! passed on beside it, which AUTOMATIC1111 goes by, and by its name.

use std::path::Path;

use crate::{ModelError, weights::ModelSource};

/// What is said of a model of whose prediction nothing but its name tells.
pub(super) const CALLED_VELOCITY: &str = "by its name, it predicts the velocity; if that is right, say so (`v_prediction`): it is taken to \
     predict the noise";

/// Whether a name says that the model predicts the velocity.
pub(super) fn is_called_velocity(name: &str) -> bool {
    let letters: String = name.chars().filter(|c| !matches!(c, '-' | '_' | ' ')).collect();
    letters.to_lowercase().contains("vpred")
}

/// What the model predicts by the configuration, `model.yaml` beside `model.safetensors`, as metadata call
/// that; none where it does not say so, or is not there.
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

/// What a line tells of it; the code of SDXL has a class for each.
fn told(line: &str) -> Option<&'static str> {
    let (key, value) = line.split('#').next()?.split_once(':')?;
    match (key.trim(), value.trim().trim_matches(['"', '\''])) {
        ("parameterization", "v") => Some("v"),
        ("parameterization", "eps") => Some("epsilon"),
        ("target", class) if class.ends_with(".denoiser_scaling.VScaling") => Some("v"),
        ("target", class) if class.ends_with(".denoiser_scaling.EpsScaling") => Some("epsilon"),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use std::borrow::Cow;

    use super::*;
    use crate::weights::Memory;

    #[test]
    fn a_name_tells_of_the_velocity_however_it_is_spelt() {
        for name in
            ["noobaiXLNAIXL_vPred06Version", "NoobAI-XL-Vpred-v0.6", "fluffy v-pred", "a_v_pred"]
        {
            assert!(is_called_velocity(name), "{name}");
        }
        assert!(!is_called_velocity("noobaiXLNAIXL_epsilonPred11Version"));
    }

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
            ("target: sgm.modules.diffusionmodules.denoiser_scaling.VScaling", Some("v")),
            ("target: sgm.modules.diffusionmodules.denoiser_scaling.EpsScaling", Some("epsilon")),
            ("# parameterization: v", None),
            ("linear_start: 0.00085", None),
        ] {
            assert_eq!(told("furry.v1.yaml", line), want, "{line}");
        }
        assert_eq!(told("furry.yaml", "parameterization: v"), None, "another file's");
    }
}
