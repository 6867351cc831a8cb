//! The progress line of a run.

use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::{
    cli::{bar::TURNING, pace::Pace},
    early_stopping::Control,
    trainer::{Callback, Record, StepContext, TrainError},
};

/// Shows step, speed, the time left at most, the last ratio against its threshold, and losses. On a
/// terminal the line is redrawn; elsewhere it is printed now and then.
pub(super) struct Progress {
    bar: ProgressBar,
    pace: Pace,
    threshold: f64,
    /// What the last evaluation gave, which stands until the next one.
    evaluated: String,
    /// Steps of the whole run, at most.
    steps: usize,
    /// The first step that this process makes.
    first: usize,
}

const LINES_WITHOUT_TERMINAL: usize = 20;

impl Progress {
    /// A line on standard error for a run of at most `steps`, of which `done` are made.
    pub fn new(steps: usize, done: usize, threshold: f64) -> Self {
        let bar = ProgressBar::with_draw_target(Some(steps as u64), ProgressDrawTarget::stderr());
        // a line that cannot be shown is no reason to end a run
        if let Ok(style) =
            ProgressStyle::with_template("{spinner:.cyan} step {pos}/{len}{prefix}  {wide_msg}")
        {
            bar.set_style(style.tick_chars(TURNING));
        }
        bar.set_position(done as u64);
        bar.enable_steady_tick(Duration::from_millis(100));
        Self {
            bar,
            pace: Pace::new(done),
            threshold,
            evaluated: String::new(),
            steps,
            first: done + 1,
        }
    }

    /// The ratio first: a narrow terminal shows only the beginning.
    fn line(&mut self, record: &Record) -> String {
        if let (Some(eval_loss), Some(ratio)) = (record.get("eval_loss"), record.get("ratio")) {
            // a threshold of 0 only watches
            let stops = if self.threshold > 0.0 {
                format!(" (stops under {})", self.threshold)
            } else {
                String::new()
            };
            self.evaluated = format!("ratio {ratio:.3}{stops}  deterministic {eval_loss:.5}  ");
        }
        format!("{}loss {:.4}", self.evaluated, record.get("loss").unwrap_or(f64::NAN))
    }

    /// Speed and time left, in front of all that a narrow terminal may not show.
    fn time(&self, made: usize) -> String {
        let left = self.pace.left(made, self.steps);
        let left = left.map_or(String::new(), |left| format!("  at most {left:#} left"));
        format!("  {}{left}", self.pace.speed(made))
    }

    /// Whether a line is due where there is no terminal: the first step tells how long all will take, and
    /// steps may take minutes.
    fn is_due(&mut self, made: usize) -> bool {
        let every = self.steps.div_ceil(LINES_WITHOUT_TERMINAL).max(1);
        self.pace.is_due() || made == self.first || made.is_multiple_of(every)
    }
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
        let (time, line) = (self.time(made), self.line(step.record));
        if self.bar.is_hidden() && self.is_due(made) {
            eprintln!("step {made}/{}{time}  {line}", self.steps);
        }
        self.bar.set_prefix(time);
        self.bar.set_message(line);
        self.bar.set_position(made as u64);
        Ok(Control::Continue)
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_log_has_the_first_step_of_a_process_and_some_of_the_others() {
        let mut progress = Progress::new(6100, 50, 0.0);
        let due: Vec<usize> = (51..=700).filter(|made| progress.is_due(*made)).collect();
        assert_eq!(due, [51, 305, 610]);
    }
}
