//! One replica: a thread with a session of its own, which answers each order with a part.

use std::{
    error::Error,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        Arc,
        mpsc::{Receiver, Sender, channel},
    },
    thread::{self, JoinHandle},
};

use crate::{
    concept::HostTensor,
    data::dataset::Dataset,
    objective::Share,
    session::PreparedRun,
    tensor::{DeviceError, on_device, panic_message},
    trainer::{Part, Task, TrainError},
};

/// What is to be computed.
pub(super) struct Order {
    pub parameters: Arc<[HostTensor]>,
    pub task: Task,
    pub share: Share,
}

/// The run, with the replica's device, and the pictures of the class.
pub(super) type Start = (PreparedRun, Option<Dataset>);

type Failure = Box<dyn Error + Send + Sync>;
type Answer = Result<Part, Failure>;

pub(super) struct Replica {
    name: String,
    /// The thread ends when this is gone.
    orders: Option<Sender<Order>>,
    answers: Receiver<Answer>,
    thread: Option<JoinHandle<()>>,
}

impl Replica {
    /// Begins to load; the first answer, an empty part, is that it has.
    pub(super) fn start(name: &str, enter: fn(), start: Start) -> Self {
        let (orders, asked) = channel();
        let (answer, answers) = channel();
        let device = start.0.device.clone();
        let thread = thread::spawn(move || {
            let work = || {
                enter();
                pollster::block_on(serve(start, asked, &answer))
            };
            let error = match catch_unwind(AssertUnwindSafe(|| on_device(&device, work))) {
                Ok(Ok(Ok(()))) => return,
                Ok(Ok(Err(error))) => error,
                Ok(Err(error)) => error.into(),
                Err(panic) => DeviceError::new(panic_message(&*panic)).into(),
            };
            send(&answer, Err(error));
        });
        Self { name: name.into(), orders: Some(orders), answers, thread: Some(thread) }
    }

    /// Does not wait. A replica that is no longer there says why when it is asked for its answer.
    pub(super) fn ask(&self, order: Order) {
        if let Some(orders) = &self.orders {
            let _ = orders.send(order);
        }
    }

    /// Waits for an answer.
    pub(super) fn answer(&self) -> Result<Part, TrainError> {
        let ended = |_| Err(DeviceError::new("its thread has ended").into());
        let answer = self.answers.recv().unwrap_or_else(ended);
        answer.map_err(|error| TrainError::replica(format!("device `{}`", self.name), error))
    }
}

impl Drop for Replica {
    fn drop(&mut self) {
        self.orders = None;
        if let Some(thread) = self.thread.take() {
            let _ = thread.join(); // it catches its panics
        }
    }
}

async fn serve(
    (run, class): Start,
    orders: Receiver<Order>,
    answers: &Sender<Answer>,
) -> Result<(), Failure> {
    let session = run.replica(class.as_ref()).await?;
    let concept = session.concept(&run.checked.config);
    send(answers, Ok(Part::default()));
    for Order { parameters, task, share } in orders {
        send(answers, Ok(session.part(&concept, &parameters, task, share).await?));
    }
    Ok(())
}

/// Nobody listens where the run has ended for another reason.
fn send(answers: &Sender<Answer>, answer: Answer) {
    let _ = answers.send(answer);
}
