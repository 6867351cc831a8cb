//! A criterion of one's own stops this crate's trainer and burn's `Learner`, and is seen in the
//! metrics and the plots of both:
//!
//! ```text
//! cargo run --release --features train --example own_criterion
//! ```

use std::{error::Error, path::Path};

use burn::{
    data::{
        dataloader::{DataLoaderBuilder, batcher::Batcher},
        dataset::InMemDataset,
    },
    optim::AdamConfig,
    tensor::Device,
    train::{Learner, SupervisedTraining},
};
use dvar::{
    burn_train::StepwiseLearningStrategy,
    callbacks::{DeterministicEval, MetricsLog, Saves},
    concept::Concept,
    config::TrainOptions,
    data::dataset::Dataset,
    early_stopping::StopReason,
    pipelines::ModelFolder,
    plot::{Watched, curve_svg},
    session::{CheckedOptions, InitialVectors, Session, Tokens},
    trainer::Callbacks,
};
use support::{
    denoiser::{AddNoise, Denoiser},
    digits::digits,
    quiet::Quiet,
    slow_fall::SlowFall,
};

mod support {
    pub mod denoiser;
    pub mod digits;
    pub mod quiet;
    pub mod slow_fall;
}

const OPTIONS: &str = r#"
train_data_dir = "examples/concepts/blue-umbrella"
placeholder_token = "<blue-umbrella>"
initializer_token = "umbrella"
max_train_steps = 100
"#;

fn main() -> Result<(), Box<dyn Error>> {
    let folder = Path::new("runs/own-criterion");
    std::fs::create_dir_all(folder)?;
    let [concept, digits] = ["concept.jsonl", "digits.jsonl"].map(|file| folder.join(file));
    let stop = pollster::block_on(learn_concept(&concept))?;
    plot(&concept, 0.2, &stop, "A concept in dvar's trainer")?;
    let stop = learn_digits(folder, &digits)?;
    plot(&digits, 0.1, &stop, "Digits in burn's Learner")
}

/// A concept on the default model, in this crate's trainer.
async fn learn_concept(metrics: &Path) -> Result<StopReason, Box<dyn Error>> {
    let options = TrainOptions::from_toml(OPTIONS, "the example's options")?;
    let (files, name) = dvar_models::pretrained::dvar_tiny_emoji().ok_or("no default model")?;
    let model = ModelFolder::new(files, name.into())?;
    let CheckedOptions { config, model, .. } = CheckedOptions::new(&options, model)?;
    let initial = InitialVectors::Tokens(model.tokenizers()?.initializer_ids("umbrella")?);
    let tokens = Tokens::new(&config, &model, initial)?;
    let size = model.native_resolution();
    let pictures = Dataset::from_folder(&config.train_data_dir, size, config.reading)?;
    let session = Session::new(&config, &model, tokens, &pictures, None, &Device::flex()).await?;

    let losses = |concept: &Concept, evaluation| session.evaluation_losses(concept, evaluation);
    let mut callbacks: Callbacks<'_> = vec![
        Box::new(DeterministicEval::from_losses(losses).stop_when(SlowFall::new(10, 0.2))),
        Box::new(MetricsLog::open(metrics, 0, Saves::every(100))?),
    ];
    Ok(session.trainer(&config).train(&mut callbacks).await?)
}

/// A diffusion model of digits, in burn's `Learner`.
fn learn_digits(folder: &Path, metrics: &Path) -> Result<StopReason, Box<dyn Error>> {
    let device = Device::flex();
    device.seed(0);
    let loader = |digits| {
        DataLoaderBuilder::new(AddNoise::default()).batch_size(20).build(InMemDataset::new(digits))
    };
    let fixed_batch = AddNoise::default().batch(digits()[..100].to_vec(), &device);
    let strategy = StepwiseLearningStrategy::<Denoiser>::new(device.clone())
        .with_loss(|output| output.loss.clone())
        .with_callback(
            DeterministicEval::new(fixed_batch, Denoiser::loss).stop_when(SlowFall::new(50, 0.1)),
        )
        .with_callback(MetricsLog::open(metrics, 0, Saves::every(100))?);
    let outcome = strategy.outcome();
    let result = SupervisedTraining::new(folder, loader(digits()), loader(digits()))
        .num_epochs(40)
        .renderer(Box::new(Quiet))
        .with_training_strategy(strategy.into())
        .launch(Learner::new(Denoiser::new(&device.autodiff()), AdamConfig::new().init(), 1e-3));
    if let Some(error) = result.error {
        return Err(error.to_string().into());
    }
    Ok(outcome.stop().ok_or("the run ended without a reason")?)
}

/// Draws the criterion's figure, from the metrics, against its threshold.
fn plot(metrics: &Path, share: f64, stop: &StopReason, title: &str) -> Result<(), Box<dyn Error>> {
    if !matches!(stop, StopReason::Other { .. }) {
        return Err(format!("{title}: the criterion did not stop the run: {stop}").into());
    }
    let text = std::fs::read_to_string(metrics)?;
    let points = text.lines().map(serde_json::from_str).collect::<Result<Vec<_>, _>>()?;
    let watched = Watched { figure: "fall", label: "share of the fall", threshold: share };
    let label = format!("stopped after {} steps", points.len());
    let curve = metrics.with_extension("svg");
    std::fs::write(&curve, curve_svg(&points, &watched, Some(&label), title))?;
    println!("{title}: {stop}\ncurve: {}", curve.display());
    Ok(())
}
