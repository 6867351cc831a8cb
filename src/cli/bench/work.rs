//! What the processor did in the steps of a run on the CPU.

use std::time::Duration;

use serde_json::{Value, json};

/// Watches the steps.
#[derive(Default)]
pub(super) struct Meter {
    begun: Duration,
    /// Processor time of all threads; 0 where the system does not tell it.
    processor: Duration,
}

impl Meter {
    pub fn begin(&mut self) {
        self.begun = processor_time();
        #[cfg(feature = "flex")]
        dvar_models::count_kernels(true);
    }

    pub fn end(&mut self) {
        #[cfg(feature = "flex")]
        dvar_models::count_kernels(false);
        self.processor += processor_time().saturating_sub(self.begun);
    }

    /// The work of one of so many steps.
    pub fn work(&self, steps: usize) -> Work {
        let milliseconds = |time: Duration| time.as_secs_f64() * 1000.0 / steps as f64;
        #[cfg(feature = "flex")]
        let spent =
            dvar_models::spent_in_kernels().into_iter().filter(|spent| !spent.time.is_zero());
        #[cfg(feature = "flex")]
        let kinds = spent.map(|spent| Kind {
            name: format!("{:?}", spent.kind).to_lowercase(),
            milliseconds: milliseconds(spent.time),
            operations: spent.operations / steps as f64,
        });
        #[cfg(not(feature = "flex"))]
        let kinds = std::iter::empty();
        let processor_ms = (!self.processor.is_zero()).then(|| milliseconds(self.processor));
        Work { processor_ms, kinds: kinds.collect() }
    }
}

/// The work of one step, all threads together.
pub(super) struct Work {
    /// Where the system tells it.
    processor_ms: Option<f64>,
    /// The layers that have a kernel of ours.
    kinds: Vec<Kind>,
}

struct Kind {
    name: String,
    milliseconds: f64,
    operations: f64,
}

impl Work {
    /// A line for each figure. `step` is the time of one in milliseconds, `ceiling` what all threads
    /// make in a second in a product of matrices.
    pub fn lines(&self, step: f64, ceiling: f64) -> Vec<String> {
        let threads = threads();
        let busy = self.processor_ms.map(|milliseconds| milliseconds / step);
        let busy = busy.map(|busy| format!("{:14} {busy:9.2} of {threads} busy", "threads"));
        let mut lines = Vec::from_iter(busy);
        for Kind { name, milliseconds, operations } in &self.kinds {
            let share = operations / (milliseconds / 1000.0) / (ceiling / threads as f64);
            let of_ceiling = match *operations > 0.0 {
                true => format!(", {:.0} % of a product's speed", 100.0 * share),
                false => String::new(),
            };
            lines.push(format!("  {name:12} {milliseconds:9.2} ms of a thread{of_ceiling}"));
        }
        let in_kinds: f64 = self.kinds.iter().map(|kind| kind.milliseconds).sum();
        // a clock's times: where threads wait, they may be more than the processor's
        if let Some(all) = self.processor_ms.filter(|all| in_kinds > 0.0 && *all > in_kinds) {
            lines.push(format!("  {:12} {:9.2} ms of a thread", "all else", all - in_kinds));
        }
        lines
    }

    pub fn json(&self, step: f64) -> Value {
        let kinds = self.kinds.iter().map(|kind| {
            json!({ "kind": kind.name, "thread_ms": kind.milliseconds, "gflop": kind.operations / 1e9 })
        });
        json!({
            "threads": threads(), "threads_busy": self.processor_ms.map(|ms| ms / step),
            "thread_ms": self.processor_ms, "kinds": kinds.collect::<Vec<_>>(),
        })
    }
}

/// How many threads share the CPU backend's work.
fn threads() -> usize {
    #[cfg(feature = "flex")]
    return dvar_models::threads();
    #[cfg(not(feature = "flex"))]
    std::thread::available_parallelism().map_or(1, usize::from)
}

/// Of all threads of this process so far, in Linux.
fn processor_time() -> Duration {
    let Ok(tasks) = std::fs::read_dir("/proc/self/task") else { return Duration::ZERO };
    let time = |task: std::fs::DirEntry| -> Option<u64> {
        let text = std::fs::read_to_string(task.path().join("schedstat")).ok()?;
        text.split_whitespace().next()?.parse().ok()
    };
    Duration::from_nanos(tasks.filter_map(Result::ok).filter_map(time).sum())
}
