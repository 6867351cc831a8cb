//! The progress line of a run.

use std::{
    fmt::Write,
    time::{Duration, Instant},
};

use indicatif::{HumanDuration, ProgressBar, ProgressDrawTarget, ProgressState, ProgressStyle};

use crate::{
    early_stopping::Control,
    trainer::{Callback, StepContext, TrainError},
};

/// Shows step, steps per second, the last ratio against its threshold, losses, and the time left at
/// most. On a terminal the line is redrawn; elsewhere it is printed now and then.
pub(super) struct Progress {
    bar: ProgressBar,
    pace: Pace,
    threshold: f64,
    /// What the last evaluation gave, which stands until the next one.
    evaluated: String,
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
            "{spinner:.cyan} step {pos}/{len}{speed}  {wide_msg}{left}",
        );
        let pace = Pace { begun: Instant::now(), done: done as u64 };
        if let Ok(style) = style {
            // a line that cannot be shown is no reason to end a run
            let speed = move |state: &ProgressState, line: &mut dyn Write| {
                let _ = line.write_str(&pace.speed(state.pos()));
            };
            let left = move |state: &ProgressState, line: &mut dyn Write| {
                let _ = line.write_str(&pace.left(state.pos(), state.len().unwrap_or(0)));
            };
            bar.set_style(style.with_key("speed", speed).with_key("left", left));
        }
        bar.set_position(done as u64);
        bar.enable_steady_tick(Duration::from_millis(100));
        let print_every = hidden.then(|| steps.div_ceil(LINES_WITHOUT_TERMINAL).max(1));
        Self { bar, pace, threshold, evaluated: String::new(), print_every }
    }

    /// The ratio first: a narrow terminal shows only the beginning.
    fn line(&mut self, record: &crate::trainer::Record) -> String {
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
}

/// How fast the steps of this process are made; nothing is said before the first one.
#[derive(Clone, Copy, Debug)]
struct Pace {
    begun: Instant,
    /// Steps that were made before.
    done: u64,
}

impl Pace {
    fn per_second(&self, made: u64) -> Option<f64> {
        let seconds = self.begun.elapsed().as_secs_f64();
        let made = made.saturating_sub(self.done) as f64;
        Some(made / seconds).filter(|speed| *speed > 0.0 && speed.is_finite())
    }

    fn speed(&self, made: u64) -> String {
        self.per_second(made).map_or(String::new(), |speed| format!("  {speed:.2} steps/s"))
    }

    fn left(&self, made: u64, steps: u64) -> String {
        let left = self.per_second(made).map(|speed| steps.saturating_sub(made) as f64 / speed);
        let left = left.and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
        left.map_or(String::new(), |left| format!("  at most {:#} left", HumanDuration(left)))
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
        let line = self.line(step.record);
        match self.print_every {
            Some(every) if made.is_multiple_of(every) => {
                let (now, steps) = (made as u64, self.bar.length().unwrap_or(0));
                let (speed, left) = (self.pace.speed(now), self.pace.left(now, steps));
                eprintln!("step {made}/{steps}{speed}  {line}{left}");
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_step_tells_its_own_pace_and_nothing_is_told_before_it() {
        let begun = Instant::now().checked_sub(Duration::from_secs(2)).unwrap();
        let pace = Pace { begun, done: 10 };
        assert_eq!((pace.speed(10), pace.left(10, 30)), (String::new(), String::new()));
        assert_eq!(pace.speed(11), "  0.50 steps/s");
        assert_eq!(pace.left(11, 30), "  at most 38s left");
    }
}
