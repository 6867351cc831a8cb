//! A step shared out among this session and replicas of it on other devices of this machine.

mod replica;

use std::sync::Arc;

use burn::tensor::Device;
use replica::{Order, Replica};

use super::{PreparedRun, Session};
use crate::{
    concept::{Concept, HostTensor},
    data::dataset::Dataset,
    objective::Share,
    trainer::{LocalBoxFuture, Part, Replicas, Task, TrainError},
};

/// A device, and how messages call it.
pub type NamedDevice = (Device, String);

/// A session, which computes the first share of each batch, and replicas of it, each of which computes
/// another on a device and a thread of its own. On devices of one kind a share has the same bits
/// wherever it is computed.
pub struct DeviceReplicas<'a> {
    session: &'a Session,
    concept: Concept,
    others: Vec<Replica>,
}

impl<'a> DeviceReplicas<'a> {
    /// Loads the networks on each of the named devices, all at once. `enter` is called first on each
    /// thread that will compute. No GPU may be named twice, nor that of the session: its one thread
    /// would wait for itself.
    ///
    /// # Errors
    ///
    /// [`TrainError::Replica`] names the device that failed.
    pub fn start(
        run: &PreparedRun,
        session: &'a Session,
        class: Option<&Dataset>,
        devices: &[NamedDevice],
        enter: fn(),
    ) -> Result<Self, TrainError> {
        let others = devices.iter().map(|(device, name)| {
            let run = PreparedRun { device: device.clone(), state: None, ..run.clone() };
            Replica::start(name, enter, (run, class.cloned()))
        });
        let others: Vec<Replica> = others.collect();
        for replica in &others {
            replica.answer()?; // it is loaded
        }
        Ok(Self { session, concept: session.concept(&run.checked.config), others })
    }
}

impl Replicas for DeviceReplicas<'_> {
    fn parts<'a>(
        &'a self,
        parameters: &'a [HostTensor],
        task: Task,
    ) -> LocalBoxFuture<'a, Result<Vec<Part>, TrainError>> {
        Box::pin(async move {
            let shared: Arc<[HostTensor]> = parameters.into();
            let mut shares = self.session.shares(task, 1 + self.others.len());
            let own = shares.next().unwrap_or(Share::WHOLE);
            let asked: Vec<&Replica> = (self.others.iter().zip(shares))
                .map(|(replica, share)| {
                    replica.ask(Order { parameters: shared.clone(), task, share });
                    replica
                })
                .collect();
            let own = self.session.part(&self.concept, parameters, task, own).await;
            all(std::iter::once(own).chain(asked.into_iter().map(Replica::answer)))
        })
    }
}

/// Takes every answer, also after one that is an error: one that was left would be taken for the next
/// order's.
fn all(answers: impl Iterator<Item = Result<Part, TrainError>>) -> Result<Vec<Part>, TrainError> {
    let answers: Vec<_> = answers.collect();
    answers.into_iter().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_answer_is_left_for_the_next_order_where_one_is_an_error() {
        let mut taken = 0;
        let answers = [Ok(Part::default()), Err("first"), Err("second"), Ok(Part::default())];
        let answers = answers.into_iter().map(|answer| {
            taken += 1;
            answer.map_err(|why| TrainError::replica("device `cuda:1`", why))
        });
        assert_eq!(all(answers).unwrap_err().to_string(), "device `cuda:1`: first");
        assert_eq!(taken, 4);
    }
}
