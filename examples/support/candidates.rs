//! Ways to decide when a loss lies still, asked about a whole curve at once.

use dvar::early_stopping::{Control, Criterion};

/// The index of the evaluation that stops, if one does.
pub type Stop = Option<usize>;

/// A criterion of this crate.
pub fn criterion(losses: &[f64], mut criterion: impl Criterion) -> Stop {
    losses.iter().position(|loss| !matches!(criterion.update(*loss), Ok(Control::Continue)))
}

/// The variance of the window is under a share of the first window's.
pub fn first_window(losses: &[f64], window: usize, threshold: f64) -> Stop {
    let first = variance(losses.get(..window)?);
    ends(losses, window, 2).find(|(_, last)| variance(last) < threshold * first).map(|(at, _)| at)
}

/// The line through the window falls by less than a share of the whole fall (the paper's appendix B
/// asks the slope alone, whose unit is the loss').
pub fn slope(losses: &[f64], window: usize, threshold: f64) -> Stop {
    let middle = (window - 1) as f64 / 2.0;
    let fall_of_line = |last: &[f64]| {
        let (mut across, mut along) = (0.0, 0.0);
        for (index, loss) in last.iter().enumerate() {
            let x = index as f64 - middle;
            across += x * loss;
            along += x * x;
        }
        -across / along * window as f64
    };
    let is_still = |last: &[f64]| {
        let fall = losses[0] - mean(last);
        fall > 0.0 && fall_of_line(last) < threshold * fall
    };
    ends(losses, window, 1).find(|(_, last)| is_still(last)).map(|(at, _)| at)
}

/// Of the exponential through the means of the last three windows, less than a share of the whole fall
/// is still to come.
pub fn exponential(losses: &[f64], window: usize, threshold: f64) -> Stop {
    let is_still = |last: &[f64]| {
        let [a, b, c] = [0, 1, 2].map(|part| mean(&last[part * window..][..window]));
        let (earlier, later) = (a - b, b - c);
        let fall = losses[0] - c;
        if fall <= 0.0 || later <= 0.0 {
            return fall > 0.0;
        }
        let to_come = later * later / (earlier - later); // of a geometric row
        earlier > later && to_come < threshold * (fall + to_come)
    };
    ends(losses, 3 * window, 1).find(|(_, last)| is_still(last)).map(|(at, _)| at)
}

/// Largest less smallest of the window is under a share of its mean (Hall's; appendix B).
pub fn hall(losses: &[f64], window: usize, threshold: f64) -> Stop {
    let is_still = |last: &[f64]| {
        let largest = last.iter().copied().fold(f64::MIN, f64::max);
        let smallest = last.iter().copied().fold(f64::MAX, f64::min);
        largest - smallest < threshold * mean(last)
    };
    ends(losses, window, 1).find(|(_, last)| is_still(last)).map(|(at, _)| at)
}

/// An exponential moving average (0.1) has changed by less than a share over the window (appendix B).
pub fn moving_average(losses: &[f64], window: usize, threshold: f64) -> Stop {
    let mut average = losses[0];
    let averages: Vec<f64> = losses
        .iter()
        .map(|loss| {
            average += 0.1 * (loss - average);
            average
        })
        .collect();
    let is_still = |at: &usize| {
        let before = averages[at - window];
        (averages[*at] - before).abs() < threshold * before
    };
    (window..losses.len()).find(is_still)
}

/// Every stretch of `window` losses from the first `windows` windows on, and where it ends.
fn ends(losses: &[f64], window: usize, windows: usize) -> impl Iterator<Item = (usize, &[f64])> {
    (windows * window..=losses.len()).map(move |end| (end - 1, &losses[end - window..end]))
}

fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len() as f64
}

fn variance(values: &[f64]) -> f64 {
    let mean = mean(values);
    values.iter().map(|value| (value - mean).powi(2)).sum::<f64>() / values.len() as f64
}
