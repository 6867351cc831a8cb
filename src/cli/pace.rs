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
        let begun = Instant::now();
        Self { begun, before, said: begun }
    }

    /// Seconds of a part, in the mean; none before the first one.
    fn seconds(&self, made: usize, now: Instant) -> Option<f64> {
        let made = made.saturating_sub(self.before);
        (made > 0).then(|| (now - self.begun).as_secs_f64() / made as f64)
    }

    /// Steps in a second, or seconds of a step where one takes long.
    pub(super) fn speed(&self, made: usize) -> String {
        self.speed_at(made, Instant::now())
    }

    fn speed_at(&self, made: usize, now: Instant) -> String {
        match self.seconds(made, now) {
            None => String::new(),
            Some(seconds) if seconds < 1.0 => format!("{:.2} steps/s", 1.0 / seconds),
            Some(seconds) if seconds < 10.0 => format!("{seconds:.1} s a step"),
            Some(seconds) => format!("{seconds:.0} s a step"),
        }
    }

    /// How long the rest takes at this pace.
    pub(super) fn left(&self, made: usize, of: usize) -> Option<HumanDuration> {
        self.left_at(made, of, Instant::now())
    }

    fn left_at(&self, made: usize, of: usize, now: Instant) -> Option<HumanDuration> {
        let seconds = self.seconds(made, now)? * of.saturating_sub(made) as f64;
        Duration::try_from_secs_f64(seconds).ok().map(HumanDuration)
    }

    /// Whether it is time to say something again where there is no terminal. If so, it counts as said.
    pub(super) fn is_due(&mut self) -> bool {
        self.is_due_at(Instant::now())
    }

    fn is_due_at(&mut self, now: Instant) -> bool {
        let due = now - self.said >= SILENCE;
        if due {
            self.said = now;
        }
        due
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The pace of work of which so many parts were made before, and the time so many seconds after it began.
    fn after(seconds: u64, before: usize) -> (Pace, Instant) {
        let pace = Pace::new(before);
        (pace, pace.begun + Duration::from_secs(seconds))
    }

    #[test]
    fn the_first_part_tells_its_own_pace_and_nothing_is_told_before_it() {
        let (pace, now) = after(2, 10);
        assert_eq!(pace.speed_at(10, now), "");
        assert!(pace.left_at(10, 30, now).is_none());
        assert_eq!(pace.speed_at(11, now), "2.0 s a step");
        assert_eq!(format!("{:#}", pace.left_at(11, 30, now).unwrap()), "38s");
        assert_eq!(pace.speed_at(20, now), "5.00 steps/s");
    }

    #[test]
    fn a_step_of_minutes_is_no_step_in_0_seconds() {
        let (pace, now) = after(2 * 150, 0);
        assert_eq!(pace.speed_at(2, now), "150 s a step");
        assert_eq!(format!("{:#}", pace.left_at(2, 4002, now).unwrap()), "7d");
    }

    #[test]
    fn what_takes_long_is_told_every_few_minutes() {
        let (mut pace, now) = after(299, 0);
        let second = Duration::from_secs(1);
        assert!(!pace.is_due_at(now));
        assert!(pace.is_due_at(now + second));
        assert!(!pace.is_due_at(now + SILENCE));
        assert!(pace.is_due_at(now + second + SILENCE));
    }
}
