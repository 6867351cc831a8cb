//! Steps, learning rate and optimiser, checked.

use super::{
    ConfigError, MethodConfig, MixedPrecision, TrainOptions,
    range::{batch, count, out_of_range, positive, set},
};
use crate::{
    optim::{LrSchedule, LrShape, ScaledPieces},
    trainer::TrainerConfig,
};

/// What the trainer is told.
pub(super) fn trainer(
    o: &TrainOptions,
    method: &MethodConfig,
    train_batch_size: usize,
) -> Result<TrainerConfig, ConfigError> {
    let gradient_accumulation_steps =
        batch("gradient_accumulation_steps", o.training.gradient_accumulation_steps)?;
    let max_train_steps = count("max_train_steps", o.training.max_train_steps)?;
    let min_train_steps = o.training.min_train_steps.unwrap_or(0);
    if min_train_steps > max_train_steps {
        return Err(out_of_range("min_train_steps", min_train_steps, "at most `max_train_steps`"));
    }
    let custom = matches!(method, MethodConfig::CustomDiffusion { .. });
    let inputs = train_batch_size * gradient_accumulation_steps * method.inputs_per_picture();
    let scale = if set("scale_lr", o.optimizer.scale_lr) { inputs } else { 1 };
    let optimizer = set("optimizer", o.training.optimizer).settings(&o.optimizer)?;
    let max_grad_norm =
        o.training.max_grad_norm.map(|n| positive("max_grad_norm", Some(n))).transpose()?;
    let pieces = pieces(o, max_train_steps, scale as f64)?;
    let base_lr = positive("learning_rate", o.optimizer.learning_rate)? * scale as f64;
    Ok(TrainerConfig {
        max_train_steps,
        min_train_steps,
        gradient_accumulation_steps,
        lr_schedule: LrSchedule {
            kind: set("lr_scheduler", o.optimizer.lr_scheduler),
            base_lr: pieces.as_ref().map_or(base_lr, |pieces| pieces.at(0)),
            warmup_steps: set("lr_warmup_steps", o.optimizer.lr_warmup_steps),
            total_steps: max_train_steps,
            num_cycles: set("lr_num_cycles", o.optimizer.lr_num_cycles),
            power: positive("lr_power", o.optimizer.lr_power)?,
            pieces,
        },
        optimizer,
        max_grad_norm: max_grad_norm.or(custom.then_some(1.0)),
        loss_scaling: set("mixed_precision", o.training.mixed_precision) == MixedPrecision::Fp16,
    })
}

/// Rates at given steps, in place of one rate and a shape.
fn pieces(
    o: &TrainOptions,
    max_train_steps: usize,
    scale: f64,
) -> Result<Option<ScaledPieces>, ConfigError> {
    let Some(pieces) = o.optimizer.lr_schedule.clone() else { return Ok(None) };
    let refused = |expected| out_of_range("lr_schedule", format!("`{pieces}`"), expected);
    if set("lr_scheduler", o.optimizer.lr_scheduler) != LrShape::Constant {
        return Err(refused("given without `lr_scheduler`, whose place it takes"));
    }
    if pieces.end().is_some_and(|end| end < max_train_steps) {
        return Err(refused("as long as `max_train_steps`, or end in a rate without a step"));
    }
    Ok(Some(ScaledPieces { pieces, scale }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{concept::Method, config::TrainConfig};

    fn trainer(method: Method, change: impl FnOnce(&mut TrainOptions)) -> TrainerConfig {
        let mut options = TrainOptions::default();
        options.data.train_data_dir = Some("my-cat".into());
        options.data.placeholder_token = Some("<my-cat>".into());
        options.start.initializer_token = Some("cat".into());
        options.method.method = Some(method);
        options.method.class_prompt = Some("cat".into());
        change(&mut options);
        TrainConfig::new(&options).unwrap().trainer
    }

    #[test]
    fn a_scaled_rate_counts_every_input_of_an_update_and_those_of_the_class() {
        let rates = |method, pieces: Option<&str>| {
            let config = trainer(method, |options| {
                options.training.train_batch_size = Some(3);
                options.training.gradient_accumulation_steps = Some(2);
                options.optimizer.learning_rate = Some(0.5);
                options.optimizer.lr_schedule = pieces.map(|pieces| pieces.parse().unwrap());
                options.optimizer.scale_lr = Some(true);
            });
            [0, 1].map(|update| config.lr_schedule.at(update))
        };
        assert_eq!(rates(Method::TextualInversion, None), [3.0; 2]);
        assert_eq!(rates(Method::CustomDiffusion, None), [6.0; 2]);
        assert_eq!(rates(Method::TextualInversion, Some("0.5:1, 0.25")), [3.0, 1.5]);
    }

    #[test]
    fn custom_diffusion_alone_cuts_its_gradient_where_no_length_is_named() {
        let most = |method, named| {
            trainer(method, |options| options.training.max_grad_norm = named).max_grad_norm
        };
        assert_eq!(most(Method::CustomDiffusion, None), Some(1.0));
        assert_eq!(most(Method::CustomDiffusion, Some(2.0)), Some(2.0));
        assert_eq!(most(Method::DreamboothLora, None), None);
    }
}
