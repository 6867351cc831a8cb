//! Steps and evaluations that are shared out end in the same bytes, whoever computes the shares.

use burn::tensor::Device;
use dvar::{
    concept::{Concept, HostTensor, Method},
    config::MixedPrecision,
    data::dataset::Dataset,
    session::{DeviceReplicas, PreparedRun, Session},
    trainer::{LocalBoxFuture, Part, Replicas, Task, TrainError},
};

use crate::{
    determinism::{KINDS, bytes, options, prepared, session_of, states_shared},
    golden::assert_relative,
};

/// Who computes a batch.
#[derive(Clone, Debug)]
pub enum Sharing {
    /// The session alone, in one go.
    Whole,
    /// The session alone, so many shares one after the other.
    InTurn(usize),
    /// The session, and replicas on threads of their own, on these devices.
    Devices(Vec<Device>),
}

impl Sharing {
    pub fn replicas<'a>(
        &self,
        run: &PreparedRun,
        session: &'a Session,
        class: Option<&Dataset>,
    ) -> Result<Option<Box<dyn Replicas + 'a>>, TrainError> {
        Ok(match self {
            Self::Whole => None,
            Self::InTurn(shares) => Some(Box::new(InTurn {
                session,
                concept: session.concept(&run.checked.config),
                shares: *shares,
            })),
            Self::Devices(devices) => {
                let named = devices.iter().enumerate();
                let named: Vec<_> = named.map(|(i, d)| (d.clone(), format!("cpu {i}"))).collect();
                Some(Box::new(DeviceReplicas::start(run, session, class, &named, || {})?))
            }
        })
    }
}

struct InTurn<'a> {
    session: &'a Session,
    concept: Concept,
    shares: usize,
}

impl Replicas for InTurn<'_> {
    fn parts<'a>(
        &'a self,
        parameters: &'a [HostTensor],
        task: Task,
    ) -> LocalBoxFuture<'a, Result<Vec<Part>, TrainError>> {
        Box::pin(async move {
            let mut parts = Vec::new();
            for share in self.session.shares(task, self.shares) {
                parts.push(self.session.part(&self.concept, parameters, task, share).await?);
            }
            Ok(parts)
        })
    }
}

/// A run whose batches of 3 inputs do not come out even in two shares, and all that an evaluation can
/// give.
fn uneven(kind: (Method, &str)) -> PreparedRun {
    let mut options = options(MixedPrecision::No, kind, 4, 2);
    options.training.train_batch_size = Some(3);
    options.evaluation.eval_batch_size = Some(3);
    options.evaluation.eval_gradient_accumulation_steps = Some(2);
    options.evaluation.triple = Some(true);
    options.evaluation.each_input = Some(true);
    prepared(options)
}

#[test]
fn two_devices_give_the_bytes_of_one_with_the_same_shares_whole_or_resumed() {
    for kind in KINDS {
        let run = uneven(kind);
        let two = || Sharing::Devices(vec![Device::flex()]);
        let shared = states_shared(&run, two(), None, 2);
        let alone = states_shared(&run, Sharing::InTurn(2), None, 2);
        assert_eq!(bytes(&shared), bytes(&alone), "{kind:?}");
        let resumed = states_shared(&run, two(), Some(&shared[0]), 2);
        assert_eq!(bytes(&shared), bytes(&resumed), "{kind:?}");
        let whole = states_shared(&run, Sharing::Whole, None, 2);
        assert_ne!(bytes(&shared), bytes(&whole), "{kind:?}: nothing was shared out");
    }
}

#[cfg(feature = "cuda")]
#[test]
#[ignore = "wants two NVIDIA GPUs, or stand-ins for them"]
fn two_gpus_give_the_bytes_of_one_with_the_same_shares() {
    let (first, second) = (Device::cuda(0_usize), Device::cuda(1_usize));
    let options = options(MixedPrecision::No, KINDS[0], 2, 1);
    let run = PreparedRun { device: first.clone(), ..prepared(options) };
    let states = |sharing: Sharing| {
        dvar::tensor::on_device(&first, || states_shared(&run, sharing, None, 1)).unwrap()
    };
    let shared = states(Sharing::Devices(vec![second]));
    assert_eq!(bytes(&shared), bytes(&states(Sharing::InTurn(2))));
    assert_ne!(shared[0].parameters, shared[1].parameters, "nothing was executed");
}

#[test]
fn more_devices_than_inputs_leave_some_without_a_share() {
    let run = uneven(KINDS[0]);
    let five = Sharing::Devices(vec![Device::flex(); 4]);
    let shared = states_shared(&run, five, None, 2);
    assert_eq!(bytes(&shared), bytes(&states_shared(&run, Sharing::InTurn(3), None, 2)));
}

#[test]
fn a_replica_that_panics_ends_the_run_with_one_error_that_names_its_device() {
    let run = uneven(KINDS[0]);
    let session = session_of(&run);
    let devices = ["cuda:1", "cuda:2"].map(|name| (Device::flex(), name.to_string()));
    let enter = || std::panic::resume_unwind(Box::new("no kernel for this GPU"));
    let error = DeviceReplicas::start(&run, &session, None, &devices, enter).err().unwrap();
    assert_eq!(error.to_string(), "device `cuda:1`: the device failed: no kernel for this GPU");
    assert!(matches!(error, TrainError::Replica { .. }));
}

#[test]
fn the_shares_add_up_to_the_loss_the_gradient_and_the_evaluation_of_the_whole() {
    for kind in KINDS {
        let run = uneven(kind);
        let session = session_of(&run);
        let config = &run.checked.config;
        let concept = session.concept(config);
        let sum = |shares, task| {
            let sharing = Sharing::InTurn(shares);
            let replicas = sharing.replicas(&run, &session, None).unwrap().unwrap();
            pollster::block_on(Part::of_all(&*replicas, &concept, task)).unwrap()
        };
        for task in [Task::Gradient { micro_batch: 1, scale: None }, Task::Evaluation(0)] {
            let whole = sum(1, task);
            for shares in [2, 3] {
                let shared = sum(shares, task);
                let named = |what: &str| format!("{what} of {kind:?}, {task:?} in {shares} shares");
                assert_relative(
                    &named("losses"),
                    &wide(&shared.losses),
                    &wide(&whole.losses),
                    1e-6,
                );
                assert_eq!(shared.inputs.len(), whole.inputs.len());
                for (round, wanted) in shared.inputs.iter().zip(&whole.inputs) {
                    assert_relative(&named("inputs"), &wide(round), &wide(wanted), 1e-6);
                }
                if task != Task::Evaluation(0) {
                    let (got, want) = (all(&shared.gradients), all(&whole.gradients));
                    assert_relative(&named("gradient"), &got, &want, 1e-5);
                }
            }
        }
    }
}

/// All tensors behind each other: some have no gradient at all.
fn all(tensors: &[HostTensor]) -> Vec<f64> {
    tensors.iter().flat_map(|tensor| wide(&tensor.values)).collect()
}

fn wide(values: &[f32]) -> Vec<f64> {
    values.iter().map(|value| f64::from(*value)).collect()
}
