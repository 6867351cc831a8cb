//! When a run is saved.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use crate::{
    early_stopping::{Control, StopReason},
    trainer::{Callback, StepContext, TrainError},
};

/// Where steps are slow, no more than this and a step is lost by a power cut.
const AT_LATEST: Duration = Duration::from_secs(10 * 60);

/// When the state is saved: every so many steps, at the end, and where a [`SaveClock`] takes part in the run
/// also after ten minutes. Clones say the same, so that all that belongs to a state is written with it.
#[derive(Clone, Debug)]
pub struct Saves {
    interval: usize,
    late: Arc<AtomicBool>,
}

impl Saves {
    /// Every `interval` steps and at the end. 0 is taken as 1.
    pub fn every(interval: usize) -> Self {
        Self { interval: interval.max(1), late: Arc::default() }
    }

    /// Whether the state after so many steps is one to save.
    pub fn wants(&self, steps: usize, stop: Option<&StopReason>) -> bool {
        stop.is_some() || steps.is_multiple_of(self.interval) || self.late.load(Ordering::Relaxed)
    }

    /// The clock of these and of all their clones. Before the first saved state it counts from `begun`, when
    /// there was nothing that could be lost.
    pub fn clock(&self, begun: Instant) -> SaveClock {
        SaveClock { saves: self.clone(), due: begun + AT_LATEST }
    }
}

/// Tells in each step whether the last saved state is ten minutes old.
#[derive(Debug)]
pub struct SaveClock {
    saves: Saves,
    /// When it will be.
    due: Instant,
}

impl<M, S> Callback<M, S> for SaveClock {
    fn name(&self) -> &'static str {
        "save-clock"
    }

    fn after_update(&mut self, _step: StepContext<'_, M>) -> Result<Control, TrainError> {
        self.saves.late.store(Instant::now() >= self.due, Ordering::Relaxed);
        Ok(Control::Continue)
    }

    fn wants_state(&self, steps: usize, stop: Option<&StopReason>) -> bool {
        self.saves.wants(steps, stop)
    }

    fn on_state(&mut self, _state: &S) -> Result<(), TrainError> {
        self.due = Instant::now() + AT_LATEST;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::trainer::Record;

    /// Whether a clone wants the state after this many steps, as it is told within the last of them.
    fn wanted(clock: &mut dyn Callback<(), ()>, clone: &Saves, steps: usize) -> bool {
        let mut record = Record::new(steps - 1);
        let control = clock.after_update(StepContext { model: &(), record: &mut record }).unwrap();
        assert!(matches!(control, Control::Continue));
        let wanted = clone.wants(steps, None);
        assert_eq!(clock.wants_state(steps, None), wanted);
        if wanted {
            clock.on_state(&()).unwrap();
        }
        wanted
    }

    #[test]
    fn an_interval_of_0_is_each_step() {
        assert!(Saves::every(0).wants(7, None));
        assert!(!Saves::every(2).wants(7, None));
    }

    #[test]
    fn a_run_whose_steps_are_slow_is_saved_every_ten_minutes_too() {
        let saves = Saves::every(50);
        let (mut clock, clone) = (saves.clock(Instant::now()), saves.clone());
        // not into the past: no clock need reach back before this test
        let pass = |clock: &mut SaveClock, time: Duration| clock.due -= time;
        assert!(!wanted(&mut clock, &clone, 1));
        pass(&mut clock, AT_LATEST);
        assert!(wanted(&mut clock, &clone, 2));
        assert!(!wanted(&mut clock, &clone, 3), "ten minutes after the last one");
        pass(&mut clock, AT_LATEST / 2);
        assert!(wanted(&mut clock, &clone, 50), "by the number of steps");
        pass(&mut clock, AT_LATEST / 2 + Duration::from_secs(1));
        assert!(!wanted(&mut clock, &clone, 51), "and the time counts from there");
        assert!(clone.wants(52, Some(&StopReason::MaxSteps { steps: 52 })));
    }
}
