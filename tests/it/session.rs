//! What the options of a run say reaches the parts of its session.

use std::{collections::BTreeSet, fs};

use burn::tensor::Device;
use dvar::{
    concept::{ConceptWeights, Method},
    config::{MixedPrecision, TrainConfig, TrainOptions},
    data::dataset::Dataset,
    eval::FixedBatch,
    objective::{DrawSource, Share},
    pipelines::{PromptIds, SamplingOptions},
    session::{PreparedRun, Session, sampling_options},
};

use crate::{
    determinism::{of_several_sizes, options, prepared, session_of},
    golden::{self, assert_close},
    support::{tiny_sd, values},
};

/// A run of a method on the golden model with some options changed.
fn run(method: Method, change: impl FnOnce(&mut TrainOptions)) -> PreparedRun {
    let mut options = options(MixedPrecision::No, (method, "adamw"), 2, 1);
    change(&mut options);
    prepared(options)
}

fn session(method: Method, change: impl FnOnce(&mut TrainOptions)) -> (TrainConfig, Session) {
    let run = run(method, change);
    let session = session_of(&run);
    (run.checked.config, session)
}

#[test]
fn the_evaluation_takes_the_mean_of_the_one_noise_that_is_named() {
    for (latent, noise) in [(false, false), (true, false), (false, true)] {
        let (_, session) = session(Method::TextualInversion, |options| {
            options.evaluation.mean_latent = Some(latent);
            options.evaluation.mean_noise = Some(noise);
        });
        let round = session.evaluation_draws.draw(0).remove(0);
        let is_mean = |drawn: &[f32]| drawn.iter().all(|value| *value == 0.0);
        assert_eq!((is_mean(&round.posterior_noise), is_mean(&round.noise)), (latent, noise));
    }
}

#[test]
fn steps_and_evaluations_draw_from_the_time_steps_that_are_named_and_mirror_as_often() {
    let (_, session) = session(Method::TextualInversion, |options| {
        options.training.min_timestep = Some(400);
        options.training.max_timestep = Some(410);
        options.training.flip = Some(1.0);
    });
    let steps = (0..20).map(|step| session.draws.draw(step));
    for draws in steps.chain(session.evaluation_draws.draw(0)) {
        assert!(draws.timesteps.iter().all(|time| (400..410).contains(time)), "{draws:?}");
        assert!(draws.flips.iter().all(|flip| *flip), "{draws:?}");
    }
}

#[test]
fn custom_diffusion_weighs_the_class_as_asked_and_learns_nothing_from_the_first_token() {
    let (config, mut session) = session(Method::CustomDiffusion, |options| {
        options.method.prior_loss_weight = Some(0.25);
    });
    assert_eq!(session.objective.prior.as_ref().unwrap().weight, 0.25);
    let concept = session.concept(&config);
    let batch = session.objective.batch(&session.draws.draw(0));
    let gradient = |session: &Session| -> Vec<f64> {
        let loss = session.objective.loss(&concept.tracked(), &batch);
        concept.gradient(&loss, None).into_iter().flat_map(values).collect()
    };
    let own = gradient(&session);
    let unet = tiny_sd().load_unet(&Device::flex()).unwrap();
    session.objective.unet = unet.with_first_token_detached();
    assert_close("without the first token", &gradient(&session), &own, 0.0, 1e-6);
    session.objective.unet = unet;
    assert_ne!(gradient(&session), own);
}

#[test]
fn samples_are_drawn_as_the_options_say() {
    let run = run(Method::TextualInversion, |options| {
        options.data.seed = Some(5);
        options.samples.sampling_seed = Some(6);
        options.samples.scheduler = Some("ddim".parse().unwrap());
        options.samples.num_inference_steps = Some(7);
        options.samples.guidance_scale = Some(3.0);
        options.samples.eta = Some(0.5);
    });
    let side = run.checked.size();
    let wanted = SamplingOptions {
        scheduler: "ddim".parse().unwrap(),
        num_inference_steps: 7,
        guidance_scale: 3.0,
        eta: 0.5,
        height: side,
        width: side,
        seed: 6,
    };
    assert_eq!(sampling_options(&run.checked.config, &run.checked.model), wanted);
}

#[test]
fn concepts_compared_side_by_side_have_their_losses_on_pictures_of_several_sizes_too() {
    let mut options = options(MixedPrecision::No, (Method::TextualInversion, "adamw"), 1, 1);
    // more of one size than of the others, and twice
    options.evaluation.eval_batch_size = Some(5);
    options.evaluation.eval_gradient_accumulation_steps = Some(2);
    let run = of_several_sizes(options);
    let session = session_of(&run);
    let (objective, draws) = (&session.objective, session.evaluation_draws.clone());
    let fixed = FixedBatch::from_draws(objective, draws, false, Share::WHOLE);
    let own = session.concept(&run.checked.config).plain();
    let double = own.vectors.iter().map(|vectors| vectors.clone() * 2.0).collect();
    let concepts = [own, ConceptWeights::new(double)];
    let alone = |concept| values(fixed.losses(objective, concept, 0).0.remove(0));
    let wanted = concepts.each_ref().map(alone).concat();
    let together = values(fixed.losses_side_by_side(objective, &concepts));
    assert_close("side by side", &together, &wanted, 0.0, 1e-5);
}

/// All that may become of the tags of the caption below.
const CAPTIONS: [&str; 11] = [
    "{}, on grass, grey",
    "{}, grey, on grass",
    "on grass, {}, grey",
    "on grass, grey, {}",
    "grey, {}, on grass",
    "grey, on grass, {}",
    "{}, on grass",
    "on grass, {}",
    "{}, grey",
    "grey, {}",
    "{}",
];

/// The captions of two pictures with the same text beside them, whose tags are treated so.
fn captions(shuffle: bool, dropout: f64) -> [Vec<&'static str>; 2] {
    let folder = tempfile::tempdir().unwrap();
    for name in ["a", "b"] {
        let file = folder.path().join(name);
        let picture = golden::root().join("images/generated/g0.png");
        fs::copy(picture, file.with_extension("png")).unwrap();
        fs::write(file.with_extension("txt"), CAPTIONS[0]).unwrap();
    }
    let run = run(Method::TextualInversion, |options| {
        options.pictures.captions = Some(true);
        options.pictures.shuffle_tags = Some(shuffle);
        options.pictures.tag_dropout = Some(dropout);
    });
    let (size, reading) = (run.checked.size(), run.checked.config.reading);
    let dataset = Dataset::from_folder(folder.path(), size, reading).unwrap();
    let token = run.checked.config.placeholder_token.clone();
    let objective = session_of(&PreparedRun { dataset, ..run }).objective;
    let tokenizers = objective.encoder.tokenizers();
    let known = CAPTIONS.map(|text| tokenizers.encode_caption(&text.replace("{}", &token)));
    let text =
        |ids: &PromptIds| CAPTIONS[known.iter().position(|known| known == ids).expect("a caption")];
    let texts: Vec<&str> = objective.templates.iter().map(text).collect();
    let (first, second) = texts.split_at(texts.len() / 2);
    [first.to_vec(), second.to_vec()]
}

#[test]
fn tags_are_shuffled_for_each_picture_and_left_out_as_often_as_asked_but_the_concept_never() {
    let [first, second] = captions(true, 0.0);
    let orders: BTreeSet<&str> = first.iter().copied().collect();
    assert!(
        orders.len() > 3 && orders.iter().all(|text| CAPTIONS[..6].contains(text)),
        "{orders:?}"
    );
    assert_ne!(first, second, "each picture has its own");

    for texts in captions(false, 0.1) {
        let whole = texts.iter().filter(|text| **text == CAPTIONS[0]).count();
        assert!(2 * whole > texts.len(), "{texts:?}");
        let in_order = [CAPTIONS[0], "{}, on grass", "{}, grey", "{}"];
        assert!(texts.iter().all(|text| in_order.contains(text)), "{texts:?}");
    }
    for texts in captions(false, 1.0) {
        assert!(texts.iter().all(|text| *text == "{}"), "{texts:?}");
    }
}
