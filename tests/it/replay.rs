//! Whole training runs of the reference (torch 2.8.0, diffusers 0.35.2, the official code's
//! stopper), replayed through our trainer with the recorded draws.

use burn::tensor::Device;
use dvar::{
    concept::ConceptWeights,
    early_stopping::StopReason,
    eval::INTERVALS,
    objective::{DrawSource, Draws},
    trainer::TrainError,
};

use crate::{
    golden::{self, Tensors, assert_close, assert_relative, number},
    support::{SIDES, encode, has_model, prompt_ids, tensor, tiny, tokenizers_of, values},
};

mod recording;

use recording::Recording;

fn replay(name: &'static str) {
    let recording = Recording::open(name);
    let (stop, records, embeddings) = recording.train(0.0);
    assert_eq!(stop, StopReason::MaxSteps { steps: recording.steps() });
    let column =
        |key: &str| -> Vec<f64> { records.iter().map(|record| record.get(key).unwrap()).collect() };
    let ratio = recording.ratio_tolerance();
    for (ours, theirs, absolute, relative) in [
        ("loss", "loss", 5e-6, 0.0),
        ("eval_loss", "eval_loss", 5e-6, 0.0),
        ("grad_norm", "grad_norm", 0.0, 1e-4),
        ("ratio", "normalized_var", ratio, 0.0),
        ("embedding_distance", "emb_dist_after", 5e-5, 0.0),
        ("lr", "lr_used", 0.0, 1e-12),
    ] {
        let label = format!("{name} {theirs}");
        assert_close(&label, &column(ours), &recording.trace(theirs), absolute, relative);
    }
    let want = recording.all_recorded("embeddings", recording.steps() + 1);
    assert_close(&format!("{name} embeddings"), &embeddings, &want, 5e-5, 0.0);
    if recording.config("triple").as_bool() == Some(true) {
        for third in INTERVALS {
            let want: Vec<f64> = (recording.meta["trace_f32"]["triple"].as_array().unwrap())
                .iter()
                .map(|thirds| number(&thirds[third]))
                .collect();
            let ours = column(&format!("eval_loss_{third}"));
            assert_close(&format!("{name} {third}"), &ours, &want, 5e-6, 0.0);
        }
    }
}

fn stops_where_the_reference_stops(name: &'static str) {
    let recording = Recording::open(name);
    let (stop, records, _) = recording.train(recording.number("eps"));
    let want = number(&recording.meta["first_stop_step"]);
    if want < 0.0 {
        // a set may hold a run that its criterion does not stop
        assert_eq!(stop, StopReason::MaxSteps { steps: recording.steps() });
        return;
    }
    let want = want as usize;
    assert!(matches!(stop, StopReason::Dvar { step, .. } if step == want), "{stop:?}, want {want}");
    assert_eq!(records.len(), want + 1, "the update of the stopping step is made, and no more");
}

#[test]
fn a_dvar_run_follows_the_reference_step_by_step() {
    replay("train_dvar");
}

#[test]
fn a_run_with_cosine_schedule_and_two_evaluation_rounds_follows_the_reference() {
    replay("train_dvar_b");
}

#[test]
fn an_ldm_run_follows_the_reference() {
    replay("train_dvar_ldm");
}

#[test]
fn a_run_of_stable_diffusion_2_by_velocity_follows_the_reference() {
    replay("train_dvar_sd2");
}

#[test]
fn runs_of_sdxl_with_vectors_in_both_text_encoders_follow_the_reference() {
    if has_model("sdxl") {
        SDXL.into_iter().for_each(replay);
    }
}

/// Each recorded batch as micro-batches of one input.
struct Singles<'a>(&'a Recording);

impl Singles<'_> {
    fn batch_size(&self) -> usize {
        self.0.number("train_bs") as usize
    }
}

impl DrawSource for Singles<'_> {
    fn draw(&self, micro: usize) -> Draws {
        let (step, i) = (micro / self.batch_size(), micro % self.batch_size());
        let draws = self.0.draw(step);
        let size = draws.noise.len() / self.batch_size();
        let values = i * size..(i + 1) * size;
        Draws {
            pictures: vec![draws.pictures[i]],
            templates: vec![draws.templates[i]],
            flips: vec![draws.flips[i]],
            timesteps: vec![draws.timesteps[i]],
            posterior_noise: draws.posterior_noise[values.clone()].to_vec(),
            noise: draws.noise[values].to_vec(),
            ..Draws::default()
        }
    }
}

/// The official code throws away all micro-batches but the last.
#[test]
fn accumulating_the_inputs_of_each_batch_trains_as_the_whole_does() {
    let recording = Recording::open("train_dvar");
    let singles = Singles(&recording);
    let (_, records, embeddings) = recording.train_on(&singles, singles.batch_size(), 0.0);
    let want = &recording.golden.get("embeddings").values;
    assert_close("accumulated embeddings", &embeddings, want, 5e-5, 0.0);
    // AdamW does not see how long a gradient is
    for (figure, absolute, relative) in [("loss", 5e-6, 0.0), ("grad_norm", 0.0, 1e-4)] {
        let ours: Vec<f64> = records.iter().map(|record| record.get(figure).unwrap()).collect();
        let label = format!("accumulated {figure}");
        assert_close(&label, &ours, &recording.trace(figure), absolute, relative);
    }
}

/// Noise that is no number from a given step on.
struct Poisoned<'a>(&'a Recording, usize);

impl DrawSource for Poisoned<'_> {
    fn draw(&self, step: usize) -> Draws {
        let mut draws = self.0.draw(step);
        if step >= self.1 {
            draws.noise[0] = f32::NAN;
        }
        draws
    }
}

#[test]
fn a_loss_that_is_no_number_ends_the_run_and_keeps_the_last_good_vectors() {
    let recording = Recording::open("train_dvar");
    let (end, records, embeddings) = recording.train_on(&Poisoned(&recording, 3), 1, 0.0);
    assert!(matches!(end, Err(TrainError::NonFinite { step: 3, .. })), "{end:?}");
    assert_eq!(records.len(), 3);
    let want = &recording.golden.get("embeddings").values[..embeddings.len()];
    assert_close("embeddings before the poisoned step", &embeddings, want, 5e-5, 0.0);
}

#[test]
fn a_step_that_overshoots_ends_the_run_and_keeps_the_vectors_before_it() {
    let mut recording = Recording::open("train_dvar");
    recording.meta["lr_scaled"] = serde_json::json!(1e38);
    let (end, _, embeddings) = recording.train_on(&recording, 1, 0.0);
    assert!(matches!(end, Err(TrainError::NonFinite { .. } | TrainError::Criterion(_))), "{end:?}");
    let kept = recording.kept.borrow().clone();
    let width = kept.len();
    assert!(kept.iter().all(|value| value.is_finite()), "{kept:?}");
    assert_eq!(kept, embeddings[..width], "the overshooting step's vectors were kept");
}

#[test]
fn dvar_stops_at_the_reference_step() {
    recordings().into_iter().for_each(stops_where_the_reference_stops);
}

/// All that the sets hold.
fn recordings() -> Vec<&'static str> {
    let mut all = vec!["train_dvar", "train_dvar_b", "train_dvar_ldm", "train_dvar_sd2"];
    if has_model("sdxl") {
        all.extend(SDXL);
    }
    all
}

/// Of one and of two vectors for each text encoder.
const SDXL: [&str; 2] = ["train_dvar_sdxl", "train_dvar_sdxl_2v"];

#[test]
fn the_gradient_of_every_recorded_step_agrees_with_torch() {
    for name in recordings() {
        let recording = Recording::open(name);
        let mut gradients = Vec::new();
        for step in 0..recording.steps() {
            let vectors = recording.vectors(step).into_iter();
            let vectors: Vec<_> = vectors.map(|v| v.autodiff().require_grad()).collect();
            let batch = recording.objective.batch(&recording.draw(step));
            let weights = ConceptWeights::new(vectors.clone());
            let backward = recording.objective.loss(&weights, &batch).backward();
            let each = vectors.iter().flat_map(|v| values(v.grad(&backward).unwrap()));
            gradients.extend(each);
        }
        let want = recording.all_recorded("grads", recording.steps());
        assert_relative(&format!("{name} grads"), &gradients, &want, 5e-5);
    }
}

#[test]
fn the_objective_and_its_gradient_agree_with_torch() {
    SIDES.into_iter().for_each(|side| objective_agrees(side, side));
}

#[test]
fn the_velocity_objective_and_its_gradient_agree_with_torch() {
    for name in ["sd2_v", "sd2_eps", "sd2_2v"] {
        objective_agrees("sd2", name);
    }
}

fn objective_agrees(side: &str, name: &str) {
    let golden = Tensors::open(&format!("ti_grad_{name}"));
    let label = |what: &str| format!("{name} {what}");
    let device = Device::flex();
    let meta = golden::json(&format!("ti_grad_{name}"));
    let prediction = meta["prediction_type"].as_str().map(|name| name.parse().unwrap());
    let model = tiny(side).with_prediction_type(prediction).unwrap();
    let num_vectors = golden.get("concept_embedding").shape[0];
    let tokenizers = tokenizers_of(&model, side, num_vectors);
    let encoder = model.load_prompt_encoder(tokenizers, &device).unwrap();
    let unet = model.load_unet(&device).unwrap();
    let get = |name: &str| golden.get(name);
    let (latents, noise) =
        (tensor::<4>(get("latents"), &device), tensor::<4>(get("noise"), &device));
    let times = get("timesteps").usize();
    let schedule = model.scheduler().noise_schedule();
    let noisy = schedule.add_noise(latents.clone(), noise.clone(), &times);
    let target = schedule.target(latents, noise, &times);
    if let Some(want) = golden.find("target") {
        assert_close(&label("target"), &values(target.clone()), &want.values, 0.0, 1e-6);
    }
    assert_close(
        &label("noisy_latents"),
        &values(noisy.clone()),
        &get("noisy_latents").values,
        0.0,
        1e-6,
    );

    let concept = tensor::<2>(get("concept_embedding"), &device).autodiff().require_grad();
    let prompts = encoder.prepare(&prompt_ids(get("input_ids")));
    let states = encode(&encoder, &prompts, &concept);
    // a leaf of its own, to see the gradient that reaches the hidden states
    let leaf = states.clone().inner().autodiff().require_grad();
    let noise_pred = unet.forward(noisy, &get("timesteps").values, leaf.clone());
    let want = &get("noise_pred").values;
    assert_close(&label("noise_pred"), &values(noise_pred.clone().inner()), want, 2e-5, 0.0);
    let loss = (noise_pred - target).square().mean();
    assert_close(&label("loss"), &values(loss.clone().inner()), &get("loss").values, 2e-6, 0.0);
    let to_states = leaf.grad(&loss.backward()).unwrap();
    let want = &get("grad_encoder_hidden_states").values;
    assert_relative(&label("grad_encoder_hidden_states"), &values(to_states.clone()), want, 2e-5);
    let gradients = (states * to_states).sum().backward();
    let to_concept = values(concept.grad(&gradients).unwrap());
    assert_relative(&label("grad_concept"), &to_concept, &get("grad_concept").values, 2e-5);
}
