//! What was measured, in words or as JSON.

use std::time::Duration;

use serde_json::{Map, json};

use super::work::Work;

/// The parts of a step, in order.
pub(super) const PHASES: [&str; 5] =
    ["text_encoder", "unet_forward", "backward", "optimizer", "evaluation"];

/// Everything that a bench finds out.
pub(super) struct Report {
    pub model: String,
    pub device: String,
    pub precision: String,
    pub resolution: usize,
    pub batch: usize,
    pub eval_batch: usize,
    pub load: Duration,
    /// For each of [`PHASES`], the time of each step.
    pub phases: [Vec<Duration>; PHASES.len()],
    /// What the processor did in a step.
    pub work: Work,
    /// The networks' forward pass on as many inputs as the evaluation has, without the evaluation.
    pub forward_alone: Vec<Duration>,
    /// Operations of the denoiser in one step.
    pub operations: f64,
    /// Operations a second that the device makes in a large product of matrices.
    pub ceiling: f64,
    pub device_memory_mb: Option<f64>,
}

impl Report {
    pub fn print(&self, as_json: bool) {
        let phases = self.phases.each_ref().map(|times| median(times));
        let step: f64 = phases.iter().sum();
        let rate = self.operations / (step / 1000.0);
        let overhead = self.evaluation_overhead();
        let memory = peak_memory_mb();
        if as_json {
            let named = PHASES.iter().map(|name| name.to_string());
            let phases: Map<_, _> = named.zip(phases.map(|ms| json!(ms))).collect();
            let report = json!({
                "model": self.model, "device": self.device, "precision": self.precision,
                "resolution": self.resolution, "batch": self.batch, "eval_batch": self.eval_batch,
                "steps": self.forward_alone.len(), "load_seconds": self.load.as_secs_f64(),
                "phases_ms": phases, "step_ms": step, "steps_per_second": 1000.0 / step,
                "gflop_per_step": self.operations / 1e9, "tflops": rate / 1e12,
                "ceiling_tflops": self.ceiling / 1e12, "share_of_ceiling": rate / self.ceiling,
                "evaluation_overhead": overhead, "peak_memory_mb": memory,
                "device_memory_mb": self.device_memory_mb, "work": self.work.json(step),
            });
            println!("{report}");
            return;
        }
        let Self { model, device, precision, resolution, batch, eval_batch, .. } = self;
        println!(
            "{model} on {device}, {precision}, {resolution} px, batch {batch} with evaluation of {eval_batch}"
        );
        println!("{:14} {:9.2} s", "loading", self.load.as_secs_f64());
        for (name, ms) in PHASES.iter().zip(phases) {
            println!("{name:14} {ms:9.2} ms");
        }
        println!("{:14} {step:9.2} ms, {:.2} steps/s", "step", 1000.0 / step);
        println!(
            "{:14} {:9.3} TFLOP/s of the denoiser, {:.0} % of a product's {:.3}",
            "arithmetic",
            rate / 1e12,
            100.0 * rate / self.ceiling,
            self.ceiling / 1e12
        );
        for line in self.work.lines(step, self.ceiling) {
            println!("{line}");
        }
        println!("{:14} {:9.1} % over its forward pass", "evaluation", 100.0 * overhead);
        for (name, memory) in [("peak memory", memory), ("device memory", self.device_memory_mb)] {
            if let Some(memory) = memory {
                println!("{name:14} {memory:9.0} MB");
            }
        }
    }

    /// What an evaluation costs beyond its forward pass, as a share of that: the median over the
    /// steps, each compared with the forward pass that followed it, because a machine's speed drifts.
    fn evaluation_overhead(&self) -> f64 {
        let pairs = self.phases[PHASES.len() - 1].iter().zip(&self.forward_alone);
        middle(pairs.map(|(whole, alone)| whole.div_duration_f64(*alone)).collect()) - 1.0
    }
}

/// Milliseconds.
fn median(times: &[Duration]) -> f64 {
    middle(times.iter().map(|time| time.as_secs_f64() * 1000.0).collect())
}

fn middle(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}

/// The process' largest resident size, where the system tells it.
fn peak_memory_mb() -> Option<f64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find(|line| line.starts_with("VmHWM:"))?;
    let kilobytes: f64 = line.split_whitespace().nth(1)?.parse().ok()?;
    Some(kilobytes / 1024.0)
}
