//! AdamW and SAM against torch 2.8.0.

use std::{cell::RefCell, sync::Arc};

use burn::tensor::{Device, Tensor, TensorData};
use dvar::{
    concept::{Concept, Method},
    config::MixedPrecision,
    objective::DrawSource,
    optim::{AdamWConfig, LrSchedule, LrShape, Optimizer, OptimizerConfig, SamConfig},
    session::{Cause, run},
    trainer::{TrainError, TrainState},
};
use serde_json::Value;

use crate::{
    determinism::{KINDS, States, options, prepared, session, session_of, states},
    golden::{self, Tensors, assert_close, assert_relative, number, numbers},
    replicas::Sharing,
    support::{tensor, values},
};

#[test]
fn adamw_follows_torch_step_by_step() {
    let (golden, meta) = (Tensors::open("optimizers"), golden::json("optimizers"));
    let device = Device::flex();
    let (start, grads) = (golden.get("p0"), golden.get("grads"));
    let width = start.values.len();
    let cases = meta["cases"].as_object().unwrap();
    let cases: Vec<_> = cases.iter().filter(|(_, case)| case["kind"] == "adamw").collect();
    assert!(!cases.is_empty(), "the set holds no AdamW");
    for (name, case) in cases {
        let betas = numbers(&case["betas"]);
        let config = AdamWConfig {
            beta1: betas[0],
            beta2: betas[1],
            epsilon: number(&case["eps"]),
            weight_decay: number(&case["weight_decay"]),
        };
        let mut parameters = vec![tensor::<2>(start, &device)];
        let mut optimizer = config.init(&parameters);
        let mut path = values(parameters[0].clone());
        for gradient in grads.f32().chunks(width) {
            let gradient = TensorData::new(gradient.to_vec(), start.shape.clone());
            let gradient = Tensor::from_data(gradient, &device);
            parameters = optimizer.update(parameters, vec![gradient], number(&case["lr"]));
            path.extend(values(parameters[0].clone()));
        }
        assert_close(name, &path, &golden.get(&format!("{name}.params")).values, 0.0, 2e-6);
    }
}

/// The golden's objective `0.5 p A pᵀ - p·b + sum(sin p)`: its gradient.
fn gradient(p: &Tensor<2>, a: &Tensor<2>, b: &Tensor<2>) -> Tensor<2> {
    let quadratic = p.clone().matmul(a.clone() + a.clone().transpose()).mul_scalar(0.5);
    quadratic - b.clone() + p.clone().cos()
}

#[test]
fn sam_takes_its_second_gradient_where_the_first_one_leads() {
    let (golden, meta) = (Tensors::open("optimizers"), golden::json("optimizers"));
    let device = Device::flex();
    let (start, a) = (golden.get("p0"), tensor::<2>(golden.get("A"), &device));
    let b = golden.get("b");
    let b = Tensor::from_data(TensorData::new(b.f32(), [1, b.values.len()]), &device);
    let cases = meta["cases"].as_object().unwrap();
    let mut met = 0;
    // the official loop never takes the second gradient: it is plain SGD
    let is_sam = |case: &Value| {
        case["kind"] == "sam"
            && case["closure"].as_str().is_some_and(|c| c.starts_with("re-forward"))
    };
    for (name, case) in cases.iter().filter(|(_, case)| is_sam(case)) {
        let config = SamConfig {
            rho: number(&case["rho"]),
            adaptive: case["adaptive"].as_bool().unwrap(),
            momentum: number(&case["momentum"]),
        };
        let want = &golden.get(&format!("{name}.params")).values;
        let mut parameters = vec![tensor::<2>(start, &device)];
        let mut optimizer = config.init(&parameters);
        let mut path = values(parameters[0].clone());
        for _ in 1..want.len() / start.values.len() {
            let first = vec![gradient(&parameters[0], &a, &b)];
            let uphill = optimizer.ascend(&parameters, &first).unwrap();
            let second = vec![gradient(&uphill[0], &a, &b)];
            parameters = optimizer.update(parameters, second, number(&case["lr"]));
            path.extend(values(parameters[0].clone()));
        }
        assert_close(name, &path, want, 0.0, 1e-5);
        met += 1;
    }
    assert!(met > 0, "the set holds no SAM");
}

#[test]
fn sam_climbs_by_rho_over_all_parameters_together() {
    let device = Device::flex();
    let tensors =
        |values: [[f32; 2]; 2]| values.map(|row| Tensor::<2>::from_floats([row], &device));
    let parameters = tensors([[3.0, -1.0], [0.5, 2.0]]);
    let gradients = tensors([[3.0, 0.0], [0.0, -4.0]]);
    // the lengths of the gradients, and of the gradients times the parameters
    let (plain, scaled) = (5.0, 145.0_f64.sqrt());
    for (adaptive, climb) in [
        (false, [3.0 / plain, 0.0, 0.0, -4.0 / plain]),
        (true, [27.0 / scaled, 0.0, 0.0, -16.0 / scaled]),
    ] {
        let sam = SamConfig { rho: 0.5, adaptive, momentum: 0.9 }.init(&parameters);
        let uphill = sam.ascend(&parameters, &gradients).unwrap();
        let moved = uphill.into_iter().zip(&parameters).map(|(up, start)| up - start.clone());
        let moved: Vec<f64> = moved.flat_map(values).collect();
        assert_close("climb", &moved, &climb.map(|step| 0.5 * step), 1e-6, 0.0);
    }
}

/// Plain gradient descent.
#[derive(Debug)]
struct Descent;

impl OptimizerConfig for Descent {
    fn init(&self, _parameters: &[Tensor<2>]) -> Box<dyn Optimizer> {
        Box::new(Self)
    }
}

impl Optimizer for Descent {
    fn update(
        &mut self,
        parameters: Vec<Tensor<2>>,
        gradients: Vec<Tensor<2>>,
        learning_rate: f64,
    ) -> Vec<Tensor<2>> {
        let pairs = parameters.into_iter().zip(gradients);
        pairs.map(|(p, g)| p - g.mul_scalar(learning_rate)).collect()
    }
}

#[test]
fn a_gradient_is_cut_to_its_greatest_length_over_all_parameters_together() {
    // so large that what a parameter is adds no rounding to how far it moves
    const RATE: f64 = 1024.0;
    let moved = |most: Option<f64>| -> Vec<f64> {
        let kind = (Method::DreamboothLora, "adamw");
        let mut run = prepared(options(MixedPrecision::No, kind, 1, 1));
        let trainer = &mut run.checked.config.trainer;
        trainer.optimizer = Arc::new(Descent);
        trainer.max_grad_norm = most;
        trainer.lr_schedule = LrSchedule::new(LrShape::Constant, RATE, 0, 1);
        let start = session_of(&run).concept(&run.checked.config);
        let start = pollster::block_on(start.read_parameters()).unwrap();
        let end = states(&run, None, 1).remove(0).parameters;
        let pairs = start.iter().zip(&end).flat_map(|(start, end)| {
            start.values.iter().zip(&end.values).map(|(start, end)| f64::from(start - end) / RATE)
        });
        pairs.collect()
    };
    let whole = moved(None);
    let length = whole.iter().map(|value| value * value).sum::<f64>().sqrt();
    assert_eq!(moved(Some(2.0 * length)), whole);
    let half: Vec<f64> = whole.iter().map(|value| value / 2.0).collect();
    assert_relative("cut to half", &moved(Some(length / 2.0)), &half, 1e-4);
}

/// Descent by the gradient that is taken where every value has the other sign.
#[derive(Debug)]
struct Opposite;

impl OptimizerConfig for Opposite {
    fn init(&self, _parameters: &[Tensor<2>]) -> Box<dyn Optimizer> {
        Box::new(Self)
    }
}

impl Optimizer for Opposite {
    fn ascend(&self, parameters: &[Tensor<2>], _gradients: &[Tensor<2>]) -> Option<Vec<Tensor<2>>> {
        Some(parameters.iter().map(|parameter| parameter.clone().neg()).collect())
    }

    fn update(
        &mut self,
        parameters: Vec<Tensor<2>>,
        gradients: Vec<Tensor<2>>,
        learning_rate: f64,
    ) -> Vec<Tensor<2>> {
        Descent.update(parameters, gradients, learning_rate)
    }
}

#[test]
fn a_second_gradient_is_taken_where_the_optimizer_leads_and_followed_from_the_start() {
    const RATE: f64 = 1024.0;
    let (mut config, session) = session(KINDS[0], 1, 1);
    config.trainer.optimizer = Arc::new(Opposite);
    config.trainer.lr_schedule = LrSchedule::new(LrShape::Constant, RATE, 0, 1);
    let start = session.concept(&config);
    let mut opposite = start.clone();
    opposite.set(start.values().into_iter().map(Tensor::neg).collect());
    let batch = session.objective.batch(&session.draws.draw(0));
    let gradient = |concept: &Concept| -> Vec<f64> {
        let loss = session.objective.loss(&concept.tracked(), &batch);
        concept.gradient(&loss, None).into_iter().flat_map(values).collect()
    };
    let second = gradient(&opposite);
    assert_ne!(gradient(&start), second);

    let mut moved = |most: Option<f64>| -> Vec<f64> {
        config.trainer.max_grad_norm = most;
        let mut trainer = session.trainer(&config);
        pollster::block_on(trainer.train(&mut [])).unwrap();
        let pairs = start.values().into_iter().zip(trainer.concept().values());
        pairs.flat_map(|(start, end)| values((start - end).div_scalar(RATE))).collect()
    };
    assert_relative("second gradient", &moved(None), &second, 1e-4);
    // it is the second one that is cut, by its own length
    let length = second.iter().map(|value| value * value).sum::<f64>().sqrt();
    let half: Vec<f64> = second.iter().map(|value| value / 2.0).collect();
    assert_relative("second gradient, cut", &moved(Some(length / 2.0)), &half, 1e-4);
}

/// An optimiser from outside of the crate; `remembers` says whether it has momentum.
#[derive(Clone, Debug)]
struct Own {
    remembers: bool,
    momentum: Vec<Tensor<2>>,
}

impl OptimizerConfig for Own {
    fn init(&self, parameters: &[Tensor<2>]) -> Box<dyn Optimizer> {
        let momentum = parameters.iter().map(Tensor::zeros_like).collect();
        Box::new(Self { momentum, ..self.clone() })
    }
}

impl Optimizer for Own {
    fn update(
        &mut self,
        parameters: Vec<Tensor<2>>,
        gradients: Vec<Tensor<2>>,
        learning_rate: f64,
    ) -> Vec<Tensor<2>> {
        if self.remembers {
            let pairs = self.momentum.iter().zip(gradients);
            self.momentum = pairs.map(|(m, g)| m.clone().mul_scalar(0.9) + g).collect();
        } else {
            self.momentum = gradients;
        }
        let pairs = parameters.into_iter().zip(&self.momentum);
        pairs.map(|(p, m)| p - m.clone().sign().mul_scalar(learning_rate)).collect()
    }

    fn memory(&self) -> Vec<(&'static str, Vec<Tensor<2>>)> {
        if self.remembers { vec![("momentum", self.momentum.clone())] } else { Vec::new() }
    }

    fn restore(&mut self, _updates: usize, memory: Vec<Vec<Tensor<2>>>) {
        self.momentum = memory.into_iter().next().unwrap_or_default();
    }
}

#[test]
fn an_optimizer_of_ones_own_trains_and_resumes_with_and_without_a_memory() {
    for remembers in [false, true] {
        let kind = (Method::DreamboothLora, "adamw");
        let mut run = prepared(options(MixedPrecision::No, kind, 5, 1));
        let own = Own { remembers, momentum: Vec::new() };
        run.checked.config.trainer.optimizer = Arc::new(own);
        let whole = states(&run, None, 3);
        let [middle, end] = &whole[..] else { panic!("two states") };
        assert_ne!(middle.parameters, end.parameters);
        let slots = if remembers { end.parameters.len() } else { 0 };
        assert_eq!(end.optimizer.len(), slots);
        let saved = TrainState::from_bytes(&middle.to_bytes().unwrap()).unwrap();
        let resumed = states(&run, Some(&saved), 3);
        assert_eq!(end.to_bytes().unwrap(), resumed.last().unwrap().to_bytes().unwrap());
    }
}

/// An optimiser that changes nothing but, at its third update, the last parameter to no number.
#[derive(Debug, Default)]
struct Breaking {
    updates: usize,
}

impl OptimizerConfig for Breaking {
    fn init(&self, _parameters: &[Tensor<2>]) -> Box<dyn Optimizer> {
        Box::new(Self::default())
    }
}

impl Optimizer for Breaking {
    fn update(
        &mut self,
        mut parameters: Vec<Tensor<2>>,
        _gradients: Vec<Tensor<2>>,
        _learning_rate: f64,
    ) -> Vec<Tensor<2>> {
        self.updates += 1;
        if let Some(last) = parameters.last_mut().filter(|_| self.updates == 3) {
            *last = last.clone().mul_scalar(f32::NAN);
        }
        parameters
    }
}

#[test]
fn a_weight_that_is_no_number_is_not_saved_in_the_place_of_the_last_good_state() {
    for method in [Method::DreamboothLora, Method::CustomDiffusion] {
        let mut broken = prepared(options(MixedPrecision::No, (method, "adamw"), 5, 1));
        broken.checked.config.trainer.optimizer = Arc::new(Breaking::default());
        let observer = States { at: 3, sharing: Sharing::Whole, kept: RefCell::default() };
        let error = pollster::block_on(run(&broken, &observer)).unwrap_err();
        let told = matches!(error.cause, Cause::Train(TrainError::NonFinite { step: 2, .. }));
        assert!(told, "{method:?}: {error:?}");
        assert!(observer.kept.into_inner().is_empty(), "{method:?}");
        let start = session_of(&broken).concept(&broken.checked.config);
        let start = pollster::block_on(start.read()).unwrap();
        assert_eq!(*error.last_good.unwrap(), start, "{method:?}");
    }
}
