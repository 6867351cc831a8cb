//! The progress line of a run.

use std::time::Duration;

use indicatif::{HumanDuration, ProgressBar, ProgressDrawTarget, ProgressState, ProgressStyle};

use crate::{
    early_stopping::Control,
    trainer::{Callback, StepContext, TrainError},
};

/// Shows step, steps per second, losses, the ratio against its threshold, and the time left at
/// most. On a terminal the line is redrawn; elsewhere it is printed now and then.
pub struct Progress {
    bar: ProgressBar,
    threshold: f64,
    /// Steps between two lines where there is no terminal.
    print_every: Option<usize>,
}

const LINES_WITHOUT_TERMINAL: usize = 20;

impl Progress {
    /// A line on standard error for a run of at most `steps`, of which `done` are made.
    pub fn new(steps: usize, done: usize, threshold: f64) -> Self {
        let bar = ProgressBar::with_draw_target(Some(steps as u64), ProgressDrawTarget::stderr());
        let hidden = bar.is_hidden();
        let style = ProgressStyle::with_template(
            "{spinner:.cyan} step {pos}/{len}  {speed}  {wide_msg}  at most {eta} left",
        );
        if let Ok(style) = style {
            bar.set_style(style.with_key("speed", speed));
        }
        bar.set_position(done as u64);
        bar.reset_eta();
        bar.enable_steady_tick(Duration::from_millis(100));
        let print_every = hidden.then(|| steps.div_ceil(LINES_WITHOUT_TERMINAL).max(1));
        Self { bar, threshold, print_every }
    }

    fn line(&self, record: &crate::trainer::Record) -> String {
        let mut line = format!("loss {:.4}", record.get("loss").unwrap_or(f64::NAN));
        if let (Some(eval_loss), Some(ratio)) = (record.get("eval_loss"), record.get("ratio")) {
            line += &format!(
                "  deterministic {eval_loss:.5}  ratio {ratio:.3} (stops under {})",
                self.threshold
            );
        }
        line
    }
}

fn speed(state: &ProgressState, line: &mut dyn std::fmt::Write) {
    // a line that cannot be shown is no reason to end a run
    let _ = write!(line, "{:.2} steps/s", state.per_sec());
}

impl<M, S> Callback<M, S> for Progress {
    fn name(&self) -> &'static str {
        "progress"
    }

    fn after_update(&mut self, step: StepContext<'_, M>) -> Result<Control, TrainError> {
        let made = step.record.step + 1;
        if let (Some(scale), Some(1.0)) =
            (step.record.get("loss_scale"), step.record.get("skipped"))
        {
            self.bar.suspend(|| {
                eprintln!("step {made} skipped: its gradient overflows at loss scale {scale}");
            });
        }
        let line = self.line(step.record);
        match self.print_every {
            Some(every) if made.is_multiple_of(every) => {
                let (speed, left) = (self.bar.per_sec(), HumanDuration(self.bar.eta()));
                eprintln!(
                    "step {made}/{}  {speed:.2} steps/s  {line}  at most {left} left",
                    self.bar.length().unwrap_or(0)
                );
            }
            _ => self.bar.set_message(line),
        }
        self.bar.set_position(made as u64);
        Ok(Control::Continue)
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}
