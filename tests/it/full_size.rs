//! A model of published size, which `tests/bench/full_size` makes, against PyTorch's numbers: as a
//! folder and as a single file. The parts are loaded one after the other, for machines with little
//! memory.

use std::{
    path::{Path, PathBuf},
    time::Instant,
};

use burn::tensor::{Device, Tensor};
use dvar::pipelines::{
    AddedConditioning, Conditioning, ModelFolder, PromptEncoder, PromptTokenizers,
};
use dvar_models::{single_file::SingleFile, weights::Folder};

use crate::{
    golden::{self, Golden, Tensors, assert_relative},
    support::{of_encoders, prompts_of, tensor, time_ids, values, vectors_of},
};

/// Of f32, over the depth of such networks.
const LIMIT: f64 = 1e-4;

fn device() -> Device {
    Device::flex()
}

#[test]
#[ignore = "wants a model of published size, which tests/bench/full_size makes"]
fn a_model_of_published_size_agrees_with_pytorch_as_a_folder_and_as_a_single_file() {
    let root = std::env::var_os("DVAR_FULL_SIZE").expect("DVAR_FULL_SIZE names the folder");
    let root = PathBuf::from(root);
    let golden = Tensors::at(&root.join("golden.safetensors"));
    let single = SingleFile::open(&Folder(root.clone()), "model.safetensors").unwrap();
    println!("model.safetensors: {}", single.kind().name());
    let models = [
        ("folder", ModelFolder::open(&root.join("folder")).unwrap()),
        ("single file", ModelFolder::new(single, "model.safetensors".into()).unwrap()),
    ];
    let results =
        models.map(|(name, model)| Check { root: &root, golden: &golden, name, model }.run());
    assert_eq!(results[0], results[1], "folder and single file");
}

struct Check<'a> {
    root: &'a Path,
    golden: &'a Tensors,
    name: &'a str,
    model: ModelFolder,
}

impl Check<'_> {
    fn get(&self, name: &str) -> &Golden {
        self.golden.get(name)
    }

    /// The numbers are those of PyTorch; and what they are.
    fn run(&self) -> Vec<Vec<f64>> {
        let vectors = vectors_of(&self.model, self.golden, &device());
        let told = self.told(&self.encoder(), &vectors);
        let mut results = vec![values(told.hidden_states.clone())];
        self.agree("encoder_hidden_states", &results[0]);
        if let Some(added) = &told.added {
            results.push(values(added.text_embeds.clone()));
            self.agree("text_embeds", &results[1]);
        }
        let (predicted, to_states, to_pooled) = self.denoiser(told);
        results.push(predicted);

        let vectors: Vec<_> = vectors.into_iter().map(|v| v.autodiff().require_grad()).collect();
        let told = self.told(&self.encoder(), &vectors);
        let mut sum = (told.hidden_states * to_states).sum();
        if let (Some(added), Some(to_pooled)) = (told.added, to_pooled) {
            sum = sum + (added.text_embeds * to_pooled).sum();
        }
        let gradients = sum.backward();
        for (vectors, end) in vectors.iter().zip(of_encoders(&self.model)) {
            let gradient = values(vectors.grad(&gradients).unwrap());
            self.agree(&format!("grad_concept{end}"), &gradient);
            results.push(gradient);
        }
        results
    }

    /// The prediction, and the loss' gradients to the texts' states.
    fn denoiser(&self, told: Conditioning) -> (Vec<f64>, Tensor<3>, Option<Tensor<2>>) {
        let unet = measured(&format!("{}: denoiser", self.name), || {
            self.model.load_unet(&device()).unwrap()
        });
        let (latents, noise) =
            (tensor(self.get("latents"), &device()), tensor(self.get("noise"), &device()));
        let (schedule, times) = (self.model.scheduler().noise_schedule(), self.get("timesteps"));
        let noisy = schedule.add_noise(latents.clone(), noise.clone(), &times.usize());
        let states = told.hidden_states.autodiff().require_grad();
        let added = told.added.map(|added| AddedConditioning {
            text_embeds: added.text_embeds.autodiff().require_grad(),
            time_ids: added.time_ids,
        });
        let told = Conditioning { hidden_states: states.clone(), added: added.clone() };
        let predicted = measured(&format!("{}: its forward pass", self.name), || {
            unet.forward(noisy, &times.values, told)
        });
        let prediction = values(predicted.clone().inner());
        self.agree("noise_pred", &prediction);
        let target = schedule.target(latents, noise, &times.usize());
        let loss = (predicted - target.autodiff()).square().mean();
        self.agree("loss", &values(loss.clone().inner()));
        let gradients = loss.backward();
        let to_states = states.grad(&gradients).unwrap();
        let to_pooled = added.map(|added| added.text_embeds.grad(&gradients).unwrap());
        (prediction, to_states, to_pooled)
    }

    /// The text encoders; the tokenizers read the prompts as transformers' do.
    fn encoder(&self) -> PromptEncoder {
        let tokenizers = self.tokenizers();
        measured(&format!("{}: text encoders", self.name), || {
            self.model.load_prompt_encoder(tokenizers, &device()).unwrap()
        })
    }

    fn tokenizers(&self) -> PromptTokenizers {
        let about = golden::json_at(&self.root.join("golden.json"));
        let mut tokenizers = self.model.tokenizers().unwrap();
        tokenizers.add_placeholder(about["placeholder"].as_str().unwrap(), 1).unwrap();
        let prompts: Vec<String> = serde_json::from_value(about["prompts"].clone()).unwrap();
        let read: Vec<_> = prompts.iter().map(|prompt| tokenizers.encode(prompt)).collect();
        assert_eq!(read, prompts_of(&self.model, self.golden, "input_ids"));
        tokenizers
    }

    fn told(&self, encoder: &PromptEncoder, vectors: &[Tensor<2>]) -> Conditioning {
        let prompts = encoder.prepare(&prompts_of(&self.model, self.golden, "input_ids"));
        let sizes = self.golden.find("time_ids").map(time_ids).unwrap_or_default();
        encoder.encode(&prompts, vectors, &sizes)
    }

    fn agree(&self, name: &str, got: &[f64]) {
        assert_relative(&format!("{}: {name}", self.name), got, &self.get(name).values, LIMIT);
    }
}

/// Says how long something took; on Linux also what it read and the memory that the process held at
/// most meanwhile.
fn measured<T>(what: &str, work: impl FnOnce() -> T) -> T {
    // makes the kernel forget the peak until now
    let _ = std::fs::write("/proc/self/clear_refs", "5");
    let megabytes = |file: &str, key: &str, unit: f64| {
        let text = std::fs::read_to_string(format!("/proc/self/{file}")).unwrap_or_default();
        let line = text.lines().find_map(|line| line.strip_prefix(key));
        let number = line.and_then(|line| line.split_whitespace().next()?.parse::<f64>().ok());
        number.unwrap_or(f64::NAN) * unit / 1e6
    };
    let (clock, before) = (Instant::now(), megabytes("io", "rchar:", 1.0));
    let done = work();
    println!(
        "{what}: {:.1} s, {:.0} MB read, {:.0} MB held at most, {:.0} MB at the end",
        clock.elapsed().as_secs_f64(),
        megabytes("io", "rchar:", 1.0) - before,
        megabytes("status", "VmHWM:", 1024.0),
        megabytes("status", "VmRSS:", 1024.0),
    );
    done
}
