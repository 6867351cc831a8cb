//! How fast parts are made of something that takes long, and how long the others will take.

use std::time::{Duration, Instant};

use indicatif::HumanDuration;

/// After how long something is said again where there is no terminal.
const SILENCE: Duration = Duration::from_secs(5 * 60);

/// The pace of the parts that this process makes. It is asked when a part is made: in the middle of one that
/// takes minutes it would seem to fall.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pace {
    begun: Instant,
    /// Parts that were made before.
    before: usize,
    /// When it was last said where there is no terminal.
    said: Instant,
}

impl Pace {
    /// The work begins now, of which so many parts were made before.
    pub(super) fn new(before: usize) -> Self {
        Self::since(Instant::now(), before)
    }

    fn since(begun: Instant, before: usize) -> Self {
        Self { begun, before, said: begun }
    }

    /// Seconds of a part, in the mean; none before the first one.
    fn seconds(&self, made: usize) -> Option<f64> {
        let made = made.saturating_sub(self.before);
        (made > 0).then(|| self.begun.elapsed().as_secs_f64() / made as f64)
    }

    /// Steps in a second, or seconds of a step where one takes long.
    pub(super) fn speed(&self, made: usize) -> String {
        match self.seconds(made) {
            None => String::new(),
            Some(seconds) if seconds < 1.0 => format!("{:.2} steps/s", 1.0 / seconds),
            Some(seconds) if seconds < 10.0 => format!("{seconds:.1} s a step"),
            Some(seconds) => format!("{seconds:.0} s a step"),
        }
    }

    /// How long the rest takes at this pace.
    pub(super) fn left(&self, made: usize, of: usize) -> Option<HumanDuration> {
        let seconds = self.seconds(made)? * of.saturating_sub(made) as f64;
        Duration::try_from_secs_f64(seconds).ok().map(HumanDuration)
    }

    /// Whether it is time to say something again where there is no terminal. If so, it counts as said.
    pub(super) fn is_due(&mut self) -> bool {
        let due = self.said.elapsed() >= SILENCE;
        if due {
            self.said = Instant::now();
        }
        due
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn begun(seconds_ago: u64, before: usize) -> Pace {
        let begun = Instant::now().checked_sub(Duration::from_secs(seconds_ago)).unwrap();
        Pace::since(begun, before)
    }

    #[test]
    fn the_first_part_tells_its_own_pace_and_nothing_is_told_before_it() {
        let pace = begun(2, 10);
        assert_eq!(pace.speed(10), "");
        assert!(pace.left(10, 30).is_none());
        assert_eq!(pace.speed(11), "2.0 s a step");
        assert_eq!(format!("{:#}", pace.left(11, 30).unwrap()), "38s");
        assert_eq!(pace.speed(20), "5.00 steps/s");
    }

    #[test]
    fn a_step_of_minutes_is_no_step_in_0_seconds() {
        let pace = begun(2 * 150, 0);
        assert_eq!(pace.speed(2), "150 s a step");
        assert_eq!(format!("{:#}", pace.left(2, 4002).unwrap()), "7d");
    }

    #[test]
    fn what_takes_long_is_told_every_few_minutes() {
        let mut pace = begun(299, 0);
        assert!(!pace.is_due());
        let mut pace =
            Pace { said: pace.said.checked_sub(Duration::from_secs(1)).unwrap(), ..pace };
        assert!(pace.is_due());
        assert!(!pace.is_due());
    }
}
