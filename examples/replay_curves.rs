//! Which criterion stops well: asked about the recorded runs of twenty concepts, none of which stopped.
//!
//! ```text
//! cargo run --release --features train --example replay_curves            # examples/curves/records
//! cargo run --release --features train --example replay_curves -- FOLDER  # first takes its runs in
//! ```
//!
//! FOLDER is that of `dvar experiment curves --grid examples/curves/preset.toml`. Prints the tables of
//! `docs/experiments.md`.

use std::{error::Error, path::Path};

use dvar::early_stopping::{Dvar, Plateau};
use support::{
    candidates::{Stop, criterion, exponential, first_window, hall, moving_average, slope},
    records::{Record, from_runs, load, save},
};

mod support {
    pub mod candidates;
    pub mod records;
}

const RECORDS: &str = "examples/curves/records.safetensors";
/// The other concepts are held back.
const CHOOSING: [&str; 10] = [
    "blue-car",
    "blue-umbrella",
    "koala",
    "lobster",
    "orange-guitar",
    "owl",
    "pastel-style",
    "pineapple",
    "tractor",
    "violin",
];
/// The preset's `max_train_steps`.
const MOST_STEPS: usize = 600;
/// What every stop can be compared with: the records end at 1,000 steps.
const LATER: usize = 300;

type Candidate = (&'static str, usize, f64, fn(&[f64], usize, f64) -> Stop);

fn dvar(losses: &[f64], window: usize, threshold: f64) -> Stop {
    criterion(losses, Dvar::new(window, threshold).ok()?)
}

fn plateau(losses: &[f64], window: usize, threshold: f64) -> Stop {
    criterion(losses, Plateau::new(window, threshold).ok()?)
}

/// Every step, and every 4th: the window is counted in evaluations.
const CANDIDATES: [(usize, &[Candidate]); 2] = [
    (1, &[("DVAR", 150, 0.39, dvar), ("DVAR", 282, 0.39, dvar), ("DVAR", 150, 0.15, dvar)]),
    (
        4,
        &[
            ("DVAR", 38, 0.39, dvar),
            ("DVAR", 70, 0.39, dvar),
            ("plateau", 20, 0.05, plateau),
            ("plateau", 25, 0.05, plateau),
            ("plateau", 30, 0.05, plateau),
            ("plateau", 40, 0.05, plateau),
            ("first window", 30, 0.05, first_window),
            ("slope", 50, 0.05, slope),
            ("exponential", 25, 0.1, exponential),
            ("Hall", 75, 0.1, hall),
            ("moving average", 38, 0.02, moving_average),
        ],
    ),
];

fn main() -> Result<(), Box<dyn Error>> {
    let mut records = load(Path::new(RECORDS))?;
    if let Some(folder) = std::env::args().nth(1) {
        let runs = from_runs(Path::new(&folder))?;
        records.retain(|record| runs.iter().all(|run| run.name != record.name));
        records.extend(runs);
        records.sort_by(|a, b| a.name.cmp(&b.name));
        save(&records, Path::new(RECORDS))?;
    }
    for (half, wanted) in [("choosing", true), ("held back", false)] {
        let is_in = |record: &&Record| {
            CHOOSING.iter().any(|name| record.name.starts_with(&format!("{name}--"))) == wanted
        };
        let records: Vec<&Record> = records.iter().filter(is_in).collect();
        println!("\n{half}, {} runs\n", records.len());
        println!(
            "| criterion | every | inputs | steps | CLIP-I, of the best | bad | bad {LATER} on | \
             within 5 % | sank |"
        );
        println!("|---|---|---|---|---|---|---|---|---|");
        for (interval, inputs) in [(1, 4), (1, 16), (4, 16)] {
            for (every, candidates) in CANDIDATES {
                if every != interval {
                    continue;
                }
                for (name, window, threshold, stop) in candidates {
                    let stop = |record: &Record| {
                        let mean = |loss: &Vec<f64>| loss[..inputs].iter().sum::<f64>();
                        let losses: Vec<f64> = record
                            .losses
                            .iter()
                            .step_by(interval)
                            .map(|loss| mean(loss) / inputs as f64)
                            .collect();
                        let at = stop(&losses, *window, *threshold);
                        at.map_or(MOST_STEPS, |at| (at * interval + 1).min(MOST_STEPS))
                    };
                    let name = format!("{name} {window}, {threshold} | {interval} | {inputs}");
                    judge(&name, &records, stop);
                }
            }
        }
        for steps in [200, 300, 400, 600, 1000] {
            judge(&format!("{steps} steps | | "), &records, |_| steps);
        }
    }
    Ok(())
}

/// A line of the table.
fn judge(name: &str, records: &[&Record], stop: impl Fn(&Record) -> usize) {
    let count = records.len() as f64;
    let stops: Vec<usize> = records.iter().map(|record| stop(record)).collect();
    let (mut score, mut best, mut bad, mut near, mut sank) = (0.0, 0.0, [0; 2], 0, 0);
    for (record, &steps) in records.iter().zip(&stops) {
        let at_stop = score_at(record, steps);
        let highest = record.scores.iter().map(|[at, ..]| score_at(record, *at as usize));
        let highest = highest.fold(f64::MIN, f64::max);
        score += at_stop / count;
        best += highest / count;
        for (bad, later) in bad.iter_mut().zip([3 * steps, steps + LATER]) {
            let later = score_at(record, later.min(record.losses.len()));
            *bad += usize::from(at_stop < later - 0.1 * later.abs());
        }
        near += usize::from(at_stop >= highest - 0.05 * highest.abs());
        sank += usize::from(at_stop < record.before);
    }
    let mean = stops.iter().sum::<usize>() as f64 / count;
    let [bad, bad_later] = bad;
    println!(
        "| {name} | {mean:.0} ({} to {}) | {score:.3} of {best:.3} | {bad} | {bad_later} | \
         {near} | {sank} |",
        stops.iter().min().unwrap_or(&0),
        stops.iter().max().unwrap_or(&0),
    );
}

/// CLIP-I after so many updates: a mean of five scores in a row, since one alone has a standard
/// deviation of 0.05, and between two of them a line.
fn score_at(record: &Record, steps: usize) -> f64 {
    let scores = &record.scores;
    let smooth = |index: usize| {
        let near = &scores[index.saturating_sub(2)..(index + 3).min(scores.len())];
        near.iter().map(|[_, clip_i, _]| clip_i).sum::<f64>() / near.len() as f64
    };
    let next = scores.partition_point(|[at, ..]| *at < steps as f64);
    if next == 0 || next == scores.len() {
        return smooth(next.min(scores.len() - 1));
    }
    let [from, to] = [scores[next - 1][0], scores[next][0]];
    let share = (steps as f64 - from) / (to - from);
    smooth(next - 1) * (1.0 - share) + smooth(next) * share
}
