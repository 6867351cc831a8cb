//! Networks in f16 and bf16: a step against the f32 golden, the scaled loss, a resumed run.

use std::{cell::RefCell, rc::Rc};

use burn::tensor::{DType, Device};
use dvar::{
    concept::{Concept, Method},
    config::MixedPrecision,
    early_stopping::Control,
    objective::DrawSource,
    optim::{LossScaler, LrSchedule, LrShape},
    session::Session,
    trainer::{Callback, StepContext, TrainError, TrainState},
};

use crate::{
    backends::Step,
    determinism::{KINDS, bytes, options, prepared, session_in, states},
    golden::assert_relative,
    support::{SIDES, gpu, tiny_sd, values},
};

/// What one rounding may change, relatively.
pub fn rounding(dtype: DType) -> f64 {
    match dtype {
        DType::F16 => 2.0_f64.powi(-11),
        DType::BF16 => 2.0_f64.powi(-8),
        _ => 2.0_f64.powi(-24),
    }
}

/// Asserts that loss and gradient of the golden step are the golden's, but for roundings: the loss
/// to one, the gradient to twenty, which is the depth of these networks, about.
fn step_agrees(name: &str, sides: &[&str], device: &Device, dtype: DType) {
    for side in sides {
        let step = Step::open(side, dtype, device);
        let get = |name: &str| step.golden.get(name);
        let label = |what: &str| format!("{name} {} {side} {what}", dtype.name());
        let first = step.evaluate();
        assert_relative(&label("loss"), &first, &get("loss").values, rounding(dtype));
        assert_eq!(first, step.evaluate(), "two evaluations of the same vectors differ");

        let tracked = step.concept.clone().autodiff().require_grad();
        // f16's smallest numbers, too, must not be left out of the gradient
        let scale = LossScaler::default().scale();
        let gradients = step.loss(&step.unet, &tracked).mul_scalar(scale).backward();
        let gradient = tracked.grad(&gradients).unwrap();
        assert_eq!(gradient.dtype(), DType::F32);
        let gradient = values(gradient.div_scalar(scale));
        let want = &get("grad_concept").values;
        assert_relative(&label("gradient"), &gradient, want, 20.0 * rounding(dtype));
    }
}

#[test]
fn a_step_in_a_low_type_agrees_with_the_golden_but_for_roundings() {
    step_agrees("flex", &SIDES, &Device::flex(), DType::F16);
    step_agrees("flex", &SIDES, &Device::flex(), DType::BF16);
}

#[test]
#[ignore = "wants a GPU, or a software adapter, that computes in f16: `DVAR_DEVICE` names it"]
fn the_gpu_agrees_with_the_golden_in_f16() {
    let (name, device) = gpu();
    assert!(device.supports_dtype(DType::F16), "{name} does not compute in f16");
    step_agrees(&name, &SIDES[..1], &device, DType::F16);
}

/// Loss and gradient of a run's first step that is not skipped, its gradient being finite; the gradients
/// of all parameters in a row.
pub fn first_step(session: &Session, config: &dvar::config::TrainConfig) -> (Vec<f64>, Vec<f64>) {
    let concept = session.concept(config);
    let batch = session.objective.batch(&session.draws.draw(0));
    let mut scaler = LossScaler::default();
    loop {
        let loss = session.objective.loss(&concept.tracked(), &batch);
        let gradient = concept.gradient(&loss, Some(scaler.scale()));
        assert!(gradient.iter().all(|gradient| gradient.dtype() == DType::F32));
        let gradient: Vec<f64> = gradient.into_iter().flat_map(values).collect();
        if gradient.iter().all(|value| value.is_finite()) {
            return (values(loss.inner()), gradient);
        }
        assert!(scaler.may_overflow(), "the gradient itself is not finite");
        scaler.update(false);
    }
}

/// AdamW, which trains with such a scale, does not see how long a gradient is.
#[test]
fn the_factor_on_a_loss_is_taken_off_its_gradient_again() {
    let (config, session) = session_in(MixedPrecision::No, KINDS[2], 1, 1);
    let concept = session.concept(&config);
    let batch = session.objective.batch(&session.draws.draw(0));
    let gradient = |scale| -> Vec<f64> {
        let loss = session.objective.loss(&concept.tracked(), &batch);
        concept.gradient(&loss, scale).into_iter().flat_map(values).collect()
    };
    assert_relative("scaled gradient", &gradient(Some(1024.0)), &gradient(None), 1e-6);
}

#[test]
fn the_gradient_of_every_method_agrees_with_that_in_f32() {
    for (method, optimizer) in KINDS {
        let step = |precision| {
            let (config, session) = session_in(precision, (method, optimizer), 1, 1);
            first_step(&session, &config)
        };
        let (want_loss, want) = step(MixedPrecision::No);
        for precision in [MixedPrecision::Fp16, MixedPrecision::Bf16] {
            let (loss, gradient) = step(precision);
            let limit = rounding(precision.dtype());
            assert_relative(&format!("{method:?} {precision} loss"), &loss, &want_loss, limit);
            let label = format!("{method:?} {precision} gradient");
            assert_relative(&label, &gradient, &want, 20.0 * limit);
        }
    }
}

#[test]
fn what_a_low_type_would_harm_stays_in_f32() {
    let (config, session) =
        session_in(MixedPrecision::Bf16, (Method::DreamboothLora, "adamw"), 1, 1);
    assert_eq!(session.objective.encoder.token_tables()[0].dtype(), DType::F32);
    assert!(session.objective.unet.projections().values().all(|w| w.dtype() == DType::BF16));
    let concept = session.concept(&config);
    assert!(concept.values().iter().all(|value| value.dtype() == DType::F32));
}

#[test]
fn a_resumed_run_in_a_low_type_ends_in_the_same_bytes() {
    let runs = KINDS.map(|kind| (MixedPrecision::Bf16, kind)).into_iter();
    for (precision, kind) in runs.chain([(MixedPrecision::Fp16, KINDS[0])]) {
        let session = prepared(options(precision, kind, 5, 2));
        let whole = states(&session, None, 3);
        let saved = TrainState::from_bytes(&whole[0].to_bytes().unwrap()).unwrap();
        assert_eq!(saved.loss_scaler.is_some(), precision == MixedPrecision::Fp16);
        let resumed = states(&session, Some(&saved), 3);
        assert_eq!(bytes(&whole), bytes(&resumed), "{precision} {kind:?}");
    }
}

#[test]
fn steps_whose_gradient_overflows_are_skipped_until_the_scale_is_small_enough() {
    const STEPS: usize = 30;
    for optimizer in ["adamw", "sam"] {
        let kind = (Method::TextualInversion, optimizer);
        let session = prepared(options(MixedPrecision::Fp16, kind, STEPS, 1));
        let mut start =
            states(&prepared(options(MixedPrecision::Fp16, kind, 2, 1)), None, 2).remove(0);
        start.stop = None; // this run goes on
        // so large that no gradient of these networks is a number in f16
        let scale = 2.0_f64.powi(36);
        let scaler = serde_json::json!({ "scale": scale, "good_steps": 0, "skipped": 0 });
        start.loss_scaler = Some(serde_json::from_value(scaler).unwrap());

        let whole = states(&session, Some(&start), 5);
        let scaler = |state: &TrainState| state.loss_scaler.clone().unwrap();
        assert_eq!(scaler(&whole[0]).skipped(), 3, "{optimizer:?}");
        assert_eq!(scaler(&whole[0]).scale(), scale / 8.0);
        assert_eq!(whole[0].parameters, start.parameters, "a skipped step changes nothing");
        assert_eq!(whole[0].optimizer, start.optimizer);

        let end = &whole[1];
        let skipped = scaler(end).skipped();
        assert!((4..STEPS - 2).contains(&skipped), "{skipped} steps were skipped");
        assert_eq!(scaler(end).scale(), scale / 2.0_f64.powi(skipped as i32));
        assert_ne!(end.parameters, start.parameters);

        let resumed = states(&session, Some(&whole[0]), STEPS);
        assert_eq!(bytes(&whole), bytes(&resumed), "{optimizer:?}");
    }
}

/// The learning rate of each step, and whether the step was skipped.
#[derive(Default)]
struct Rates(Rc<RefCell<Vec<(f64, bool)>>>);

impl Callback<Concept, TrainState> for Rates {
    fn name(&self) -> &'static str {
        "rates"
    }

    fn after_update(&mut self, step: StepContext<'_, Concept>) -> Result<Control, TrainError> {
        let figure = |name| step.record.get(name).unwrap();
        self.0.borrow_mut().push((figure("lr"), figure("skipped") == 1.0));
        Ok(Control::Continue)
    }
}

#[test]
fn the_learning_rate_waits_for_steps_that_are_skipped() {
    const STEPS: usize = 30;
    let kind = (Method::TextualInversion, "adamw");
    let (mut config, session) = session_in(MixedPrecision::Fp16, kind, STEPS, 1);
    config.trainer.lr_schedule = LrSchedule::new(LrShape::Linear, 1e-3, 0, STEPS);
    let mut start = states(&prepared(options(MixedPrecision::Fp16, kind, 2, 1)), None, 2).remove(0);
    let scaler = serde_json::json!({ "scale": 2.0_f64.powi(36), "good_steps": 0, "skipped": 0 });
    start.loss_scaler = Some(serde_json::from_value(scaler).unwrap());

    let rates = Rates::default();
    let seen = rates.0.clone();
    let mut trainer = session.trainer(&config).with_fingerprint(start.fingerprint);
    trainer.restore(&start, &mut []).unwrap();
    pollster::block_on(trainer.train(&mut [Box::new(rates)])).unwrap();

    let mut updates = 2;
    for (rate, skipped) in seen.borrow().iter() {
        assert_eq!(*rate, config.trainer.lr_schedule.at(updates));
        updates += usize::from(!skipped);
    }
    assert!(updates < STEPS, "some steps were skipped");
}

#[test]
fn a_type_that_the_device_lacks_is_refused() {
    // only GPUs have it
    let model = tiny_sd().with_precision(DType::Flex32);
    let said = model.check_precision(&Device::flex(), "device `cpu`").unwrap_err().to_string();
    assert_eq!(said, "device `cpu` does not compute in flex32; take `--mixed-precision no`");
    let said = model.load_unet(&Device::flex()).unwrap_err().to_string();
    assert!(said.starts_with("this device does not compute in flex32"), "{said}");
}
