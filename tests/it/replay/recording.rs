//! One recorded run, and our trainer on its draws.

use std::{cell::RefCell, rc::Rc, sync::Arc};

use burn::tensor::{Device, Tensor, TensorData};
use dvar::{
    callbacks::DeterministicEval,
    concept::Concept,
    early_stopping::{Control, Dvar, StopReason},
    embedding::{EncoderVectors, LearnedEmbedding},
    eval::{FixedBatch, INTERVALS},
    objective::LatentCache,
    objective::{DiffusionObjective, DrawSource, Draws},
    optim::{AdamWConfig, LrSchedule},
    trainer::{
        Callback, Callbacks, Record, StepContext, TrainError, TrainState, Trainer, TrainerConfig,
    },
};
use serde_json::Value;

use crate::{
    golden::{self, Golden, Tensors, number, numbers},
    support::{encoders_of, of_encoders, prompts_of, tensor, time_ids, tiny, values},
};

/// One recorded run.
pub struct Recording {
    name: &'static str,
    pub golden: Tensors,
    pub meta: Value,
    pub objective: DiffusionObjective,
    /// The text encoders by their names in files, and by the ends of the tensors' names.
    encoders: Vec<(Option<String>, &'static str)>,
    /// What the trainer held when the last run ended.
    pub kept: RefCell<Vec<f64>>,
}

impl Recording {
    pub fn open(name: &'static str) -> Self {
        let (golden, meta) = (Tensors::open(name), golden::json(name));
        let device = Device::flex();
        let side = meta["model"].as_str().unwrap();
        let model = tiny(side);
        let images = golden.get("base_images");
        let [_, channels, height, width] = images.shape[..] else { panic!("not four axes") };
        let pictures = images.f32();
        let pictures = pictures.chunks(channels * height * width);
        let pictures =
            pictures.map(|values| TensorData::new(values.to_vec(), [1, channels, height, width]));
        let vae = model.load_vae(&device).unwrap();
        let mut latents = LatentCache::new(&vae, pictures, &device);
        if let Some(sizes) = golden.find("time_ids_per_image") {
            latents = latents.with_time_ids(time_ids(sizes));
        }
        let num_vectors = meta["n_vectors"].as_u64().unwrap_or(1) as usize;
        let encoders = model.embedding_widths().0.into_iter().map(|(key, _)| key);
        let encoders = encoders.zip(of_encoders(&model)).collect();
        let objective = DiffusionObjective::new(
            encoders_of(&model, side, num_vectors, &device),
            model.load_unet(&device).unwrap(),
            model.scheduler().noise_schedule().clone(),
            latents,
            prompts_of(&model, &golden, "tokenized_templates"),
        );
        Self { name, golden, meta, objective, encoders, kept: RefCell::default() }
    }

    pub fn config(&self, key: &str) -> &Value {
        &self.meta["config"][key]
    }

    pub fn number(&self, key: &str) -> f64 {
        number(self.config(key))
    }

    pub fn steps(&self) -> usize {
        self.number("steps") as usize
    }

    pub fn trace(&self, key: &str) -> Vec<f64> {
        let steps = self.meta["trace_f32"][key].as_array().expect("a list");
        // lengths that are told for each text encoder are those of one vector here
        let length = |each: &Vec<Value>| each.iter().map(|v| number(v).powi(2)).sum::<f64>().sqrt();
        steps.iter().map(|step| step.as_array().map_or_else(|| number(step), length)).collect()
    }

    /// A recorded draw at a step.
    fn drawn(&self, key: &str, step: usize) -> Golden {
        self.golden.get(key).row(step)
    }

    fn draws(
        &self,
        indices: &Golden,
        flips: &Golden,
        noise: [&Golden; 2],
        timesteps: Vec<usize>,
    ) -> Draws {
        let [posterior_noise, noise] = noise;
        Draws {
            pictures: indices
                .usize()
                .iter()
                .map(|i| i % self.objective.latents.pictures())
                .collect(),
            templates: indices.usize().iter().map(|i| i % self.objective.templates.len()).collect(),
            flips: flips.values.iter().map(|flip| *flip == 1.0).collect(),
            posterior_noise: posterior_noise.f32(),
            noise: noise.f32(),
            timesteps,
            ..Draws::default()
        }
    }

    fn evaluation(&self) -> FixedBatch {
        let batch = FixedBatch::new(&self.objective, &self.rounds("eval_timestep_perm"));
        match self.config("triple").as_bool() {
            Some(true) => {
                let thirds = INTERVALS.map(|third| self.rounds(&format!("triple_perm.{third}")));
                batch.with_intervals(&self.objective, &thirds)
            }
            _ => batch,
        }
    }

    /// The evaluation's inputs with time steps from a recorded permutation.
    fn rounds(&self, order: &str) -> Vec<Draws> {
        let get = |name: &str| self.golden.get(name);
        let (size, rounds) = (self.number("eval_bs") as usize, self.number("accum_eval") as usize);
        let order = get(order).usize();
        (0..rounds)
            .map(|round| {
                let timesteps = order[round * size..(round + 1) * size].to_vec();
                let noise = [get("eval_posterior_noise"), get("eval_noise")];
                self.draws(get("eval_indices"), get("eval_flips"), noise, timesteps)
            })
            .collect()
    }

    /// What was recorded for each text encoder at a step, `[num_vectors, width]`; `embeddings` before
    /// it, `grads` in it.
    pub fn recorded(&self, key: &str, step: usize) -> Vec<Golden> {
        let each = self.encoders.iter().map(|(_, end)| {
            let Golden { shape, values } = self.drawn(&format!("{key}{end}"), step);
            // one vector for the only encoder has no axis of its own
            let shape = if shape.len() == 1 { vec![1, shape[0]] } else { shape };
            Golden { shape, values }
        });
        each.collect()
    }

    /// The same for all of so many steps, one behind the other.
    pub fn all_recorded(&self, key: &str, steps: usize) -> Vec<f64> {
        let each = (0..steps).flat_map(|step| self.recorded(key, step));
        each.flat_map(|golden| golden.values).collect()
    }

    pub fn vectors(&self, step: usize) -> Vec<Tensor<2>> {
        let device = self.objective.device();
        self.recorded("embeddings", step).iter().map(|golden| tensor(golden, &device)).collect()
    }

    /// Runs our trainer on the recorded draws; `threshold` 0 never stops.
    pub fn train(&self, threshold: f64) -> (StopReason, Vec<Record>, Vec<f64>) {
        let (stop, records, embeddings) = self.train_on(self, 1, threshold);
        (stop.unwrap(), records, embeddings)
    }

    /// The same on other draws, `accumulation` micro-batches for each update.
    pub fn train_on(
        &self,
        draws: &dyn DrawSource,
        accumulation: usize,
        threshold: f64,
    ) -> (Result<StopReason, TrainError>, Vec<Record>, Vec<f64>) {
        let adamw = &self.meta["adamw"];
        let betas = numbers(&adamw["betas"]);
        let config = TrainerConfig {
            max_train_steps: self.steps(),
            min_train_steps: 0,
            gradient_accumulation_steps: accumulation,
            lr_schedule: LrSchedule::new(
                self.config("sched").as_str().unwrap().parse().unwrap(),
                number(&self.meta["lr_scaled"]),
                self.number("warmup") as usize,
                self.steps(),
            ),
            optimizer: Arc::new(AdamWConfig {
                beta1: betas[0],
                beta2: betas[1],
                epsilon: number(&adamw["eps"]),
                weight_decay: number(&adamw["weight_decay"]),
            }),
            max_grad_norm: None,
            loss_scaling: false,
        };
        let token = self.meta["placeholder"].as_str().unwrap();
        let start = self.recorded("embeddings", 0);
        let num_vectors = start[0].shape[0];
        let start = start.iter().zip(&self.encoders).map(|(golden, (key, _))| EncoderVectors {
            key: key.clone(),
            values: golden.f32(),
            dim: golden.shape[1],
        });
        let initial = LearnedEmbedding::for_encoders(token, start.collect(), num_vectors).unwrap();
        let concept = Concept::new(&initial, &self.objective.device());
        let evaluation = self.evaluation();
        let objective =
            |concept: &Concept, step| evaluation.losses(&self.objective, &concept.plain(), step).0;
        let parts: &[&str] = match self.config("triple").as_bool() {
            Some(true) => &INTERVALS,
            _ => &[],
        };
        let dvar = Dvar::new(self.number("window") as usize, threshold).unwrap();
        let seen = Rc::new(RefCell::new((Vec::new(), all_values(concept.vectors()))));
        let mut callbacks: Callbacks<'_> = vec![
            Box::new(DeterministicEval::from_losses(objective).stop_when(dvar).with_parts(parts)),
            Box::new(Collector(seen.clone())),
        ];
        let mut trainer = Trainer::new(config, &self.objective, draws, concept);
        let stop = pollster::block_on(trainer.train(&mut callbacks));
        drop(callbacks);
        *self.kept.borrow_mut() = all_values(trainer.concept().vectors());
        let (records, embeddings) = Rc::into_inner(seen).unwrap().into_inner();
        (stop, records, embeddings)
    }

    /// `normalized_var` of short windows over almost flat losses is ill-conditioned: torch's own
    /// f32 and f64 runs differ most there.
    pub fn ratio_tolerance(&self) -> f64 {
        if self.name == "train_dvar" { 5e-5 } else { 1e-3 }
    }
}

impl DrawSource for Recording {
    fn draw(&self, step: usize) -> Draws {
        let noise = [&self.drawn("train_posterior_noise", step), &self.drawn("train_noise", step)];
        let timesteps = self.drawn("train_timesteps", step).usize();
        let (indices, flips) = (self.drawn("train_indices", step), self.drawn("train_flips", step));
        self.draws(&indices, &flips, noise, timesteps)
    }
}

fn all_values(vectors: Vec<Tensor<2>>) -> Vec<f64> {
    vectors.into_iter().flat_map(values).collect()
}

/// Keeps every record and the vectors after every update.
struct Collector(Rc<RefCell<(Vec<Record>, Vec<f64>)>>);

impl Callback<Concept, TrainState> for Collector {
    fn name(&self) -> &'static str {
        "collector"
    }

    fn after_update(&mut self, step: StepContext<'_, Concept>) -> Result<Control, TrainError> {
        let mut seen = self.0.borrow_mut();
        seen.0.push(step.record.clone());
        seen.1.extend(all_values(step.model.vectors()));
        Ok(Control::Continue)
    }
}
