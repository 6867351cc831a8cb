//! Which caption, mask and weight each input of a batch has.

use burn::tensor::{Tensor, TensorData};
use dvar::{
    concept::{ConceptWeights, Method},
    objective::{DiffusionObjective, DrawSource, Draws, Inputs, Rescale},
};

use crate::{determinism::session, golden::assert_close, support::values};

/// The objective of a method, its concept at the start, and what a first step of three inputs draws.
fn begun(method: Method) -> (DiffusionObjective, ConceptWeights, Draws) {
    let (config, session) = session((method, "adamw"), 1, 1);
    let weights = session.concept(&config).plain();
    let draws = session.draws.with_batch_size(3).draw(0);
    (session.objective, weights, draws)
}

/// The noise that was drawn for three inputs.
fn noise(objective: &DiffusionObjective, drawn: &[f32]) -> Tensor<4> {
    let [channels, height, width] = objective.latents.latent_shape(0);
    let data = TensorData::new(drawn.to_vec(), [3, channels, height, width]);
    Tensor::from_data(data, &objective.device())
}

/// What a batch of these draws is made of, but for the class.
fn inputs(objective: &DiffusionObjective, draws: &Draws) -> Inputs {
    let posterior_noise = noise(objective, &draws.posterior_noise);
    Inputs {
        captions: draws.templates.iter().map(|i| objective.templates[*i].clone()).collect(),
        latents: objective.latents.sample(&draws.pictures, &draws.flips, posterior_noise),
        noise: noise(objective, &draws.noise),
        timesteps: draws.timesteps.clone(),
        time_ids: Vec::new(),
    }
}

#[test]
fn each_picture_is_trained_with_captions_of_its_own() {
    let (mut objective, weights, draws) = begun(Method::TextualInversion);
    objective.templates.truncate(6);
    let loss = |objective: &DiffusionObjective, picture: usize, template: usize| {
        let (pictures, templates) = (vec![picture], vec![template]);
        let one = Draws { pictures, templates, ..draws.part(&[0]) };
        values(objective.loss(&weights, &objective.batch(&one)))
    };
    let pairs = || (0..3).flat_map(|picture| [(picture, 0), (picture, 1)]);
    let captions = pairs().map(|(picture, own)| loss(&objective, picture, 2 * picture + own));
    let captions: Vec<_> = captions.collect();
    assert_ne!(captions[0], captions[1], "the caption counts");
    objective.captions_of_pictures = true;
    for ((picture, own), caption) in pairs().zip(captions) {
        assert_eq!(loss(&objective, picture, own), caption, "caption {own} of picture {picture}");
    }
}

#[test]
fn a_mask_is_mirrored_with_its_picture_and_counts_in_every_loss() {
    let (mut objective, weights, draws) = begun(Method::TextualInversion);
    let draws = Draws { pictures: vec![2, 1, 1], flips: vec![false, true, false], ..draws };
    let [channels, height, width] = objective.latents.latent_shape(0);
    let level = |i: usize| (i % 11) as f32 / 10.0;
    let mask = |picture: usize| -> Vec<f32> {
        (0..height * width).map(|place| level(7 * place + picture)).collect()
    };
    let masks: Vec<Vec<f32>> = (0..3).map(mask).collect();
    let all = (3 * channels * height * width) as f32;
    let mut counts = Vec::new();
    for (picture, flip) in draws.pictures.iter().zip(&draws.flips) {
        for row in masks[*picture].chunks(width) {
            let mut row: Vec<f32> = row.iter().map(|counts| counts / all).collect();
            if *flip {
                row.reverse();
            }
            counts.extend(row);
        }
    }
    let counts = TensorData::new(counts, [3, 1, height, width]);
    let counts = Tensor::from_data(counts, &objective.device());
    let want = objective.prepare(inputs(&objective, &draws), Some(counts));
    let want = values(objective.loss(&weights, &want));

    objective.masks = Some(masks);
    let batch = objective.batch(&draws);
    let (loss, each) = objective.loss_and_each_input(&weights, &batch);
    assert_close("loss", &values(loss), &want, 0.0, 1e-6);
    let alone = |i: usize| objective.loss(&weights, &objective.batch(&draws.part(&[i])));
    let alone: Vec<f64> = (0..3).flat_map(|i| values(alone(i))).collect();
    assert_close("each input", &values(each), &alone, 0.0, 1e-5);

    let double = weights.vectors.iter().map(|vectors| vectors.clone() * 2.0).collect();
    let double = ConceptWeights::new(double);
    let want = [want, values(objective.loss(&double, &batch))].concat();
    let losses = objective.losses_side_by_side(&[weights, double], &batch);
    assert_close("side by side", &values(losses), &want, 0.0, 1e-5);
}

#[test]
fn the_class_counts_by_its_weight_and_the_concept_where_it_is_shown() {
    let (objective, ..) = begun(Method::TextualInversion);
    let [channels, height, width] = objective.latents.latent_shape(0);
    let places = height * width;
    // of the first picture every other place
    let shown = |place: usize| place >= places || place.is_multiple_of(2);
    let mask: Vec<f32> = (0..2 * places).map(|place| f32::from(u8::from(shown(place)))).collect();
    let weights = values(objective.error_weights(&mask, 3, 0.25));
    let (concept, class) = weights.split_at(2 * places);
    assert!((0..2 * places).all(|place| shown(place) == (concept[place] > 0.0)));
    let sums = concept.chunks(places).map(|picture| picture.iter().sum());
    assert_close("concept", &sums.collect::<Vec<f64>>(), &[0.5; 2], 1e-6, 0.0);
    let sum = channels as f64 * class.iter().sum::<f64>();
    assert_eq!(class.len(), 3 * places);
    assert_close("class", &[sum], &[0.25], 1e-6, 0.0);
}

#[test]
fn pictures_of_the_class_come_with_its_caption_and_time_steps_of_their_own() {
    let (mut objective, weights, draws) = begun(Method::CustomDiffusion);
    objective.rescaled = None;
    let draws = Draws { rescales: Vec::new(), ..draws };
    // the class' pictures are the concept's here: in another order they are others
    let mut prior = objective.prior.take().expect("prior preservation");
    prior.latents = prior.latents.in_rounds_of(&[1, 2, 0]);
    prior.weight = 0.5;

    let class = draws.prior.as_deref().expect("pictures of the class");
    let mut both = inputs(&objective, &draws);
    let posterior_noise = noise(&objective, &class.posterior_noise);
    let latents = prior.latents.sample(&class.pictures, &class.flips, posterior_noise);
    both.latents = Tensor::cat(vec![both.latents, latents], 0);
    both.noise = Tensor::cat(vec![both.noise, noise(&objective, &class.noise)], 0);
    both.timesteps.extend(&class.timesteps);
    both.captions.extend(vec![prior.caption.clone(); 3]);
    let [_, height, width] = objective.latents.latent_shape(0);
    let counts = objective.error_weights(&vec![1.0; 3 * height * width], 3, 0.5);
    let want = objective.prepare(both, Some(counts));
    let want = values(objective.loss(&weights, &want));

    objective.prior = Some(prior);
    let loss = objective.loss(&weights, &objective.batch(&draws));
    assert_close("loss", &values(loss), &want, 0.0, 1e-6);
}

#[test]
fn a_picture_that_is_rescaled_to_its_own_size_is_the_one_whose_latents_are_kept() {
    let (mut objective, weights, draws) = begun(Method::CustomDiffusion);
    let mut rescaled = objective.rescaled.take().expect("pictures to rescale");
    rescaled.round = vec![2, 0, 1];
    objective.latents = objective.latents.in_rounds_of(&rescaled.round);
    let whole = Rescale { scale: rescaled.size, center: [rescaled.size / 2; 2], prefix: 0 };
    let (pictures, flips) = (vec![0, 1, 1], vec![false, true, false]);
    let draws = Draws { pictures, flips, rescales: Vec::new(), ..draws };
    let loss = |objective: &DiffusionObjective, draws: &Draws| {
        values(objective.loss(&weights, &objective.batch(draws)))
    };
    let kept = loss(&objective, &draws);
    objective.rescaled = Some(rescaled);
    let draws = Draws { rescales: vec![whole; 3], ..draws };
    assert_close("loss", &loss(&objective, &draws), &kept, 0.0, 1e-5);
}
