//! The devices that `dvar train --device cuda:0,cuda:1` names.

use super::{CliError, Named, find, open};
use crate::{cli::counted::counted, session::NamedDevice};

/// The devices that `--device` names, one or several, each with its name in messages: at most as many
/// as a step has `inputs`.
pub(in crate::cli) fn open_each(names: &str, inputs: usize) -> Result<Vec<NamedDevice>, CliError> {
    if !names.contains(',') {
        return Ok(vec![open(names)?]);
    }
    check(names, inputs)?.into_iter().map(Named::open).collect()
}

/// What is named, if a step can be shared out among it.
fn check(names: &str, inputs: usize) -> Result<Vec<Named<'_>>, CliError> {
    let refused = |why: String| Err(CliError::Input(format!("`--device {names}` {why}")));
    let mut devices: Vec<Named> = Vec::new();
    for name in names.split(',') {
        if name == "auto" {
            return refused("lists `auto`, which takes one device by itself; name each".into());
        }
        let device = find(name)?;
        if let Some(first) = devices.first()
            && first.choice.name != device.choice.name
        {
            return refused(
                "mixes kinds of devices, whose numbers differ; name devices of one kind".into(),
            );
        }
        if device.choice.gpu && devices.iter().any(|other| other.index == device.index) {
            return refused(format!("names GPU `{name}` twice; name each once"));
        }
        devices.push(device);
    }
    if devices.len() > inputs {
        return refused(format!(
            "names {} devices, and a step has {} to share out; name fewer, or raise \
             `--train-batch-size`",
            devices.len(),
            counted(inputs, "input")
        ));
    }
    Ok(devices)
}
