//! A LoRA from a file's tensors.

use std::collections::{BTreeMap, BTreeSet};

use dvar_models::single_file::UNetNames;
use serde_json::{Map, Value};

use super::{
    super::stored::{NUMBERED, Stored},
    Addition, Factor, Lora, LoraLayer, PUBLISHED_LAYERS,
    names::{Key, Part, Piece, is_of_transformer, other_method},
};
use crate::embedding::{BUNDLE, is_numbered};

/// Where diffusers keeps PEFT's configuration.
const PEFT_CONFIG: &str = "lora_adapter_metadata";

/// The largest side of a kernel that a middle has: no model read here has larger ones, and a wrong
/// file's few values would unfold to terabytes.
const LARGEST_KERNEL: usize = 3;

/// The tensors of one layer.
#[derive(Default)]
struct Pieces {
    given: String,
    down: Option<Factor>,
    up: Option<Factor>,
    mid: Option<Factor>,
    difference: Option<Factor>,
    alpha: Option<f64>,
}

impl Lora {
    /// Refuses a file of tensors with other names than those of LoRAs of the models that are known here.
    ///
    /// # Errors
    ///
    /// What is wrong, in words that fit after the file's name.
    pub(in crate::concept) fn check_names(names: &[&str]) -> Result<(), String> {
        if let Some(method) = names.iter().find_map(|name| other_method(name)) {
            return Err(format!(
                "it is {method}, which changes weights in another way than LoRA and is not known \
                 here; give a LoRA or a LoCon"
            ));
        }
        if names.iter().any(|name| is_of_transformer(name)) {
            return Err(
                "it is a LoRA of another kind of model, such as Flux or Stable Diffusion 3; \
                 give one of Stable Diffusion 1.x, 2.x or XL"
                    .into(),
            );
        }
        if names.iter().any(|name| is_numbered(name)) {
            return Err(NUMBERED.into());
        }
        let mut of_lora = names.iter().filter(|name| !name.starts_with(BUNDLE));
        of_lora.try_for_each(|name| key(name).map(|_| ()))
    }

    /// Sorts a file's tensors into layers. `config` is PEFT's `adapter_config.json`, where one lies
    /// beside the file.
    ///
    /// # Errors
    ///
    /// What is wrong, in words that fit after the file's name.
    pub(in crate::concept) fn read(
        file: &str,
        stored: Stored,
        config: Option<&str>,
    ) -> Result<Self, String> {
        let config = Config::read(stored.metadata.get(PEFT_CONFIG).map(String::as_str), config)?;
        let (mut pieces, mut names) = (BTreeMap::<_, Pieces>::new(), None);
        let holds_embedding = stored.tensors.keys().any(|name| name.starts_with(BUNDLE));
        for (name, (shape, values)) in stored.tensors {
            if name.starts_with(BUNDLE) {
                continue;
            }
            let key = key(&name)?;
            if values.iter().any(|value| !value.is_finite()) {
                return Err(format!("`{name}` holds a value that is not finite"));
            }
            names.get_or_insert(key.names);
            let (layer, given) = match key.piece {
                Piece::Difference => (key.layer, &*name),
                Piece::BiasDifference => (format!("{}.bias", key.layer), &*name),
                _ => (key.layer, key.given),
            };
            let layer = pieces.entry((key.part, layer)).or_default();
            layer.given = given.into();
            layer.take(key.piece, &name, Factor { shape, values })?;
        }
        let names = names.ok_or("it holds no tensor of a LoRA")?;
        drop_twins(&mut pieces);
        let layers = pieces.into_iter().map(|((part, name), pieces)| {
            let layer = pieces.whole(config.alpha(part, &name), config.by_root(part))?;
            Ok(((part, name), layer))
        });
        let layers = layers.collect::<Result<_, String>>()?;
        Ok(Self { file: file.into(), names, layers, scale: 1.0, holds_embedding })
    }
}

fn key(name: &str) -> Result<Key<'_>, String> {
    Key::read(name).ok_or_else(|| {
        format!("`{name}` is no tensor of a LoRA that is known here; give a LoRA or a LoCon")
    })
}

/// Some files of SDXL hold layers under the original code's names and diffusers': diffusers and ComfyUI
/// take the latter, and none takes both.
fn drop_twins(pieces: &mut BTreeMap<(Part, String), Pieces>) {
    let originals = UNetNames::of_layers(PUBLISHED_LAYERS);
    let is_twin = |(part, layer): &(Part, String)| {
        let other = originals.layer(layer).map(|layer| (*part, layer));
        other.is_some_and(|other| pieces.contains_key(&other))
    };
    let twins = pieces.keys().filter(|key| is_twin(key)).cloned();
    let twins: BTreeSet<(Part, String)> = twins.collect();
    pieces.retain(|key, _| !twins.contains(key));
}

impl Pieces {
    /// Takes one of the layer's tensors, which the file calls `name`.
    fn take(&mut self, piece: Piece, name: &str, factor: Factor) -> Result<(), String> {
        let was_there = match piece {
            Piece::Alpha => match factor.values[..] {
                [alpha] => self.alpha.replace(f64::from(alpha)).is_some(),
                _ => return Err(format!("`{name}` is no single number")),
            },
            Piece::Down => self.down.replace(factor).is_some(),
            Piece::Up => self.up.replace(factor).is_some(),
            Piece::Mid => self.mid.replace(factor).is_some(),
            Piece::Difference | Piece::BiasDifference => self.difference.replace(factor).is_some(),
        };
        if was_there {
            return Err(format!("`{name}` is there twice, under different names"));
        }
        Ok(())
    }

    /// `alpha` is that of the file's metadata; `by_root` says that the root of the rank divides it.
    fn whole(self, alpha: Option<f64>, by_root: bool) -> Result<LoraLayer, String> {
        let Self { given, down, up, mid, difference, alpha: own } = self;
        if let Some(difference) = difference {
            if down.is_some() || up.is_some() || mid.is_some() {
                return Err(format!(
                    "`{given}` changes a weight that low-rank matrices change too, and which of both \
                     counts nothing says"
                ));
            }
            // without a value, sides may be of any size
            if difference.values.is_empty() {
                return Err(format!("`{given}` holds no value"));
            }
            return Ok(LoraLayer { given, addition: Addition::Whole(difference) });
        }
        let (Some(mut down), Some(up)) = (down, up) else {
            return Err(format!("`{given}` is not whole: it needs a down and an up matrix"));
        };
        let rank = down.rows();
        // without a value, sides may be of any size
        if down.values.is_empty() || up.values.is_empty() || up.columns() != rank {
            return Err(format!(
                "`{given}` has a down matrix of {:?} and an up matrix of {:?}, which do not fit",
                down.shape, up.shape
            ));
        }
        if let Some(mid) = mid {
            down = through(&mid, &down).ok_or_else(|| {
                format!("`{given}` has a middle of {:?}, which does not fit", mid.shape)
            })?;
        }
        let alpha = own.or(alpha).unwrap_or(rank as f64);
        let alpha = if by_root { alpha * (rank as f64).sqrt() } else { alpha };
        Ok(LoraLayer { given, addition: Addition::LowRank { down, up, alpha } })
    }
}

/// The kernels of the middle behind the plain `down`, `[rank, in, 1, 1]`, as one `down`:
/// `[rank, in, height, width]` of the middle's `[rank, rank, height, width]`.
fn through(mid: &Factor, down: &Factor) -> Option<Factor> {
    let (rank, inputs) = (down.rows(), down.columns());
    let &[outer, inner, height, width] = &mid.shape[..] else { return None };
    if outer != rank
        || inner != rank
        || mid.values.is_empty()
        || height.max(width) > LARGEST_KERNEL
        || !down.shape.iter().skip(2).all(|side| *side == 1)
    {
        return None;
    }
    let area = height * width;
    let mut values = vec![0.0; rank * inputs * area];
    for (row, kernels) in values.chunks_mut(inputs * area).zip(mid.values.chunks(inner * area)) {
        for (kernel, weights) in kernels.chunks(area).zip(down.values.chunks(inputs)) {
            for (place, weight) in row.chunks_mut(area).zip(weights) {
                place.iter_mut().zip(kernel).for_each(|(sum, value)| *sum += value * weight);
            }
        }
    }
    Some(Factor { shape: vec![rank, inputs, height, width], values })
}

/// What PEFT's configuration says of alpha: that of a file alone, or those of several networks.
struct Config(Value);

impl Config {
    fn read(inside: Option<&str>, beside: Option<&str>) -> Result<Self, String> {
        let Some(json) = inside.or(beside) else { return Ok(Self(Value::Null)) };
        let json: Value = serde_json::from_str(json)
            .map_err(|error| format!("its configuration of PEFT does not parse ({error})"))?;
        // PEFT takes any regular expression, and none but names are known to be written
        let is_name = |name: &str| name.chars().all(|c| c.is_alphanumeric() || "._".contains(c));
        let patterns = json.as_object().into_iter().flatten();
        let patterns = patterns.filter(|(key, _)| key.ends_with("alpha_pattern"));
        let mut names = patterns.filter_map(|(_, pattern)| pattern.as_object()).flat_map(Map::keys);
        match names.find(|name| !is_name(name.strip_prefix('^').unwrap_or(name))) {
            Some(name) => Err(format!(
                "its configuration of PEFT gives alphas by the regular expression `{name}`, which is \
                 not read here; give each layer's name in its place"
            )),
            None => Ok(Self(json)),
        }
    }

    fn get(&self, part: Part, key: &str) -> Option<&Value> {
        self.0.get(format!("{}.{key}", part.network())).or_else(|| self.0.get(key))
    }

    fn alpha(&self, part: Part, layer: &str) -> Option<f64> {
        let pattern = self.get(part, "alpha_pattern").and_then(Value::as_object);
        // the whole name, as diffusers writes what it read of another file, or what it ends in
        let whole = format!("^{layer}");
        let ends = layer.match_indices('.').map(|(dot, _)| &layer[dot + 1..]);
        let names = [&*whole, layer].into_iter().chain(ends);
        // of several the first in the order of the configuration
        let own = pattern.and_then(|pattern| {
            names.filter_map(|name| pattern.get_key_value(name)).min_by_key(|(name, _)| *name)
        });
        own.map(|(_, alpha)| alpha).or_else(|| self.get(part, "lora_alpha"))?.as_f64()
    }

    /// Whether alpha counts by the root of the rank (rsLoRA, Kalajdzievski 2023).
    fn by_root(&self, part: Part) -> bool {
        self.get(part, "use_rslora").and_then(Value::as_bool).unwrap_or(false)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_several_patterns_the_first_in_their_order_counts() {
        let patterns = serde_json::json!({ "b.c": 1, "^a.b.c": 2, "c": 3, "a.b": 4 });
        let config = Config(serde_json::json!({ "alpha_pattern": patterns, "lora_alpha": 5 }));
        let alpha = |layer| config.alpha(Part::Denoiser, layer);
        let layers = ["a.b.c", "b.c", "x.c", "a.b", "a.bb"];
        assert_eq!(layers.map(alpha), [2.0, 1.0, 3.0, 4.0, 5.0].map(Some));
    }
}
