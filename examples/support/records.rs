//! Runs of `dvar experiment curves`, in one small file.

use std::{collections::HashMap, error::Error, fs, path::Path};

use half::f16;
use safetensors::{Dtype, SafeTensors, tensor::TensorView};
use serde_json::Value;

/// One run without a stop.
pub struct Record {
    /// `CONCEPT--seed-N`.
    pub name: String,
    /// After each update, the deterministic loss of each input of the fixed batch.
    pub losses: Vec<Vec<f64>>,
    /// Updates, CLIP-I and CLIP-T of each time that samples were scored.
    pub scores: Vec<[f64; 3]>,
    /// CLIP-I before the first update.
    pub before: f64,
}

/// The finished runs of an experiment's folder.
pub fn from_runs(folder: &Path) -> Result<Vec<Record>, Box<dyn Error>> {
    let mut records = Vec::new();
    for entry in fs::read_dir(folder.join("runs"))? {
        let run = entry?.path();
        let Ok(result) = fs::read_to_string(run.join("result.json")) else { continue };
        let number = |value: &Value, key: &str| value[key].as_f64().ok_or(format!("no {key}"));
        let before = number(&serde_json::from_str(&result)?, "clip_i_before")?;
        let (mut losses, mut scores) = (Vec::new(), Vec::new());
        for line in fs::read_to_string(run.join("metrics.jsonl"))?.lines() {
            let metrics: Value = serde_json::from_str(line)?;
            let inputs = (0..).map_while(|i| metrics[format!("eval_loss_input_{i}")].as_f64());
            losses.push(inputs.collect());
            if let (Some(clip_i), Some(clip_t)) =
                (metrics["clip_i"].as_f64(), metrics["clip_t"].as_f64())
            {
                scores.push([losses.len() as f64, clip_i, clip_t]);
            }
        }
        let name = run.file_name().ok_or("no name")?.to_string_lossy().into_owned();
        records.push(Record { name, losses, scores, before });
    }
    records.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(records)
}

/// Writes them: losses as f16, each less its input's first one, which is kept in f32 as all else is.
pub fn save(records: &[Record], file: &Path) -> Result<(), Box<dyn Error>> {
    let mut tensors: Vec<(String, Dtype, Vec<usize>, Vec<u8>)> = Vec::new();
    let mut add = |record: &Record, key: &str, shape: Vec<usize>, values: &[f64], dtype| {
        let bytes = values.iter().flat_map(|value| match dtype {
            Dtype::F16 => f16::from_f64(*value).to_le_bytes().to_vec(),
            _ => (*value as f32).to_le_bytes().to_vec(),
        });
        tensors.push((format!("{}.{key}", record.name), dtype, shape, bytes.collect()));
    };
    for record in records {
        let (first, inputs) = (&record.losses[0], record.losses[0].len());
        let fall = |loss: &Vec<f64>| -> Vec<f64> {
            loss.iter().zip(first).map(|(loss, first)| loss - first).collect()
        };
        let falls: Vec<f64> = record.losses.iter().flat_map(fall).collect();
        let scores = record.scores.concat();
        add(record, "losses", vec![record.losses.len(), inputs], &falls, Dtype::F16);
        add(record, "first", vec![inputs], first, Dtype::F32);
        add(record, "scores", vec![record.scores.len(), 3], &scores, Dtype::F32);
        add(record, "before", vec![1], &[record.before], Dtype::F32);
    }
    let views = tensors.iter().map(|(name, dtype, shape, bytes)| {
        Ok((name.clone(), TensorView::new(*dtype, shape.clone(), bytes)?))
    });
    let views: HashMap<_, _> = views.collect::<Result<_, Box<dyn Error>>>()?;
    Ok(safetensors::serialize_to_file(views, None, file)?)
}

/// Reads what [`save`] wrote.
pub fn load(file: &Path) -> Result<Vec<Record>, Box<dyn Error>> {
    let bytes = fs::read(file)?;
    let tensors = SafeTensors::deserialize(&bytes)?;
    let values = |name: &str| -> Result<Vec<f64>, Box<dyn Error>> {
        let tensor = tensors.tensor(name)?;
        let bytes = tensor.data();
        Ok(match tensor.dtype() {
            Dtype::F16 => {
                bytes.as_chunks().0.iter().map(|two| f16::from_le_bytes(*two).into()).collect()
            }
            _ => bytes.as_chunks().0.iter().map(|four| f32::from_le_bytes(*four).into()).collect(),
        })
    };
    let mut names: Vec<&str> =
        tensors.names().into_iter().filter_map(|name| name.strip_suffix(".before")).collect();
    names.sort_unstable();
    let record = |name: &str| {
        let first = values(&format!("{name}.first"))?;
        let falls = values(&format!("{name}.losses"))?;
        let loss = |falls: &[f64]| -> Vec<f64> {
            falls.iter().zip(&first).map(|(fall, first)| first + fall).collect()
        };
        Ok(Record {
            name: name.into(),
            losses: falls.chunks(first.len()).map(loss).collect(),
            scores: values(&format!("{name}.scores"))?.as_chunks().0.to_vec(),
            before: values(&format!("{name}.before"))?[0],
        })
    };
    names.into_iter().map(record).collect()
}
