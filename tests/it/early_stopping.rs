//! The criteria against the official `VarEarlyStopper` and `ClipEarlyStopper` (commit ab2b765,
//! numpy): decisions exact, ratios 1e-10 relative; and the behaviour defined where those are not.

use dvar::early_stopping::{Control, CriterionError, Dvar, ScorePatience, StopReason};
use serde_json::Value;

use crate::golden;

struct Row<'a> {
    label: String,
    series: Vec<f64>,
    window: usize,
    threshold: f64,
    /// NaN where the reference divides 0 by 0 or has met a loss that is not finite.
    ratios: Vec<f64>,
    first_stop: Option<usize>,
    raw: &'a Value,
}

fn first_stop(row: &Value) -> Option<usize> {
    usize::try_from(row["first_stop_index"].as_i64().unwrap()).ok()
}

fn dvar_rows(golden: &Value) -> Vec<Row<'_>> {
    let rows = golden["var"].as_array().unwrap().iter();
    let rows: Vec<_> = rows
        .map(|raw| {
            let name = raw["series"].as_str().unwrap();
            let threshold = raw["eps"].as_f64().unwrap();
            Row {
                label: format!("{name} window {} threshold {threshold}", raw["window"]),
                series: golden::numbers(&golden["var_series"][name]),
                window: raw["window"].as_u64().unwrap() as usize,
                threshold,
                ratios: golden::numbers(&raw["normalized_var"]),
                first_stop: first_stop(raw),
                raw,
            }
        })
        .collect();
    assert!(!rows.is_empty());
    rows
}

/// Two passes over the losses less the first of them. numpy does not take the offset away first
/// and is itself wrong by up to 1e-5 of the ratio on losses of 1e9 (the rounding of its mean).
fn variance(losses: &[f64]) -> f64 {
    let count = losses.len() as f64;
    let moved: Vec<f64> = losses.iter().map(|loss| loss - losses[0]).collect();
    let mean = moved.iter().sum::<f64>() / count;
    moved.iter().map(|loss| (loss - mean).powi(2)).sum::<f64>() / count
}

#[test]
fn dvar_gives_the_ratios_and_stops_of_the_official_stopper() {
    let golden = golden::json("early_stopping");
    let mut checked = 0;
    let mut largest = 0.0f64;
    for row in dvar_rows(&golden) {
        let Ok(mut dvar) = Dvar::new(row.window, row.threshold) else { continue };
        if row.series.iter().any(|loss| !loss.is_finite()) {
            continue;
        }
        let mut ratios = Vec::new();
        let mut stop = None;
        for (step, loss) in row.series.iter().enumerate() {
            let decision = dvar.update(*loss).unwrap();
            ratios.push(dvar.ratio());
            stop = stop.or(match decision {
                Control::Stop(reason) => Some((step, reason)),
                Control::Continue => None,
            });
            if step >= row.window && !row.ratios[step].is_nan() {
                let (window, all) =
                    (&row.series[step + 1 - row.window..=step], &row.series[..=step]);
                let want = variance(window) / variance(all);
                let error = (ratios[step] - want).abs();
                assert!(error <= 1e-10 * want, "{} {step}: {} {want}", row.label, ratios[step]);
                largest = largest.max(error / want.max(f64::MIN_POSITIVE));
            }
        }
        // 0/0 in the reference is 0 here, and a stop unless the threshold is 0.
        let constant = row.ratios.iter().position(|ratio| ratio.is_nan());
        let want: Vec<_> = row.ratios.iter().map(|r| if r.is_nan() { 0.0 } else { *r }).collect();
        golden::assert_close(&row.label, &ratios, &want, 0.0, 1e-10);
        match (constant, stop.clone()) {
            (Some(step), _) if row.threshold > 0.0 => {
                let reason = StopReason::ConstantObjective { step };
                assert_eq!(stop, Some((step, reason)), "{}", row.label);
            }
            (_, Some((at, StopReason::Dvar { step, ratio, threshold, window }))) => {
                assert_eq!((Some(at), step), (row.first_stop, at), "{}", row.label);
                assert_eq!((threshold, window), (row.threshold, row.window), "{}", row.label);
                assert_eq!(ratio, ratios[at], "{}", row.label);
            }
            (_, stop) => assert_eq!((stop, row.first_stop), (None, None), "{}", row.label),
        }
        checked += 1;
    }
    assert!(checked > 0);
    println!("early_stopping: {checked} rows, largest relative error of a ratio {largest:.3e}");
}

#[test]
fn dvar_refuses_the_settings_and_losses_the_official_stopper_has_no_answer_for() {
    let golden = golden::json("early_stopping");
    let (mut settings, mut losses) = (0, 0);
    for row in dvar_rows(&golden) {
        let dvar = Dvar::new(row.window, row.threshold);
        let mut dvar = match dvar {
            Err(CriterionError::Window { window }) => {
                assert!(window < 2 && window == row.window, "{}", row.raw);
                settings += 1;
                continue;
            }
            Err(error) => {
                let threshold = row.threshold;
                assert_eq!(error, CriterionError::Threshold { threshold }, "{}", row.label);
                assert!(threshold >= 1.0, "{}", row.label);
                settings += 1;
                continue;
            }
            Ok(dvar) => dvar,
        };
        let mut clean = Dvar::new(row.window, row.threshold).unwrap();
        let mut poisoned = false;
        for (step, loss) in row.series.iter().enumerate() {
            if loss.is_finite() {
                assert_eq!(dvar.update(*loss), clean.update(*loss), "{} {step}", row.label);
                if !poisoned && !row.ratios[step].is_nan() {
                    assert!((dvar.ratio() - row.ratios[step]).abs() <= 1e-10, "{}", row.label);
                }
            } else {
                let refused = dvar.update(*loss);
                let at = clean.history_len();
                let expected =
                    matches!(refused, Err(CriterionError::NonFinite { step, .. }) if step == at);
                assert!(expected, "{} {step}: {refused:?}", row.label);
                poisoned = true;
                losses += 1;
            }
            assert_eq!(dvar, clean, "{} {step}", row.label);
        }
    }
    assert!(settings > 0 && losses > 0);
}

#[test]
fn score_patience_decides_as_the_official_stopper() {
    let golden = golden::json("early_stopping");
    let rows = golden["clip"].as_array().unwrap();
    assert!(!rows.is_empty());
    for row in rows {
        let name = row["series"].as_str().unwrap();
        let label = format!("{name} eps {} patience {}", row["eps"], row["patience"]);
        let scores = golden::numbers(&golden["clip_series"][name]);
        let patience = row["patience"].as_u64().unwrap() as usize;
        let mut criterion = ScorePatience::new(row["eps"].as_f64().unwrap(), patience).unwrap();
        if scores[0].is_nan() {
            // The reference keeps NaN as its best score for ever.
            let mut later = ScorePatience::new(row["eps"].as_f64().unwrap(), patience).unwrap();
            if patience == 0 {
                let reason = StopReason::NoImprovement { step: 0, best: None, patience };
                assert_eq!(criterion.update(scores[0]), Control::Stop(reason), "{label}");
                continue;
            }
            assert_eq!(criterion.update(scores[0]), Control::Continue, "{label}");
            for score in &scores[1..] {
                let stops = [&mut criterion, &mut later]
                    .map(|criterion| criterion.update(*score) != Control::Continue);
                assert_eq!(stops[0], stops[1], "{label}");
                assert_eq!(criterion.best(), later.best(), "{label}");
            }
            assert!(criterion.best().is_some(), "{label}");
            continue;
        }
        let best = golden::numbers(&row["best_value"]);
        let mut stop = None;
        for (step, score) in scores.iter().enumerate() {
            let stops = criterion.update(*score) != Control::Continue;
            assert_eq!(stops, row["returned"][step].as_bool().unwrap(), "{label} {step}");
            assert_eq!(criterion.best(), Some(best[step]), "{label} {step}");
            if stops {
                stop = Some(step);
                break; // from here on the official one says no more than that it stopped
            }
        }
        assert_eq!(stop, first_stop(row), "{label}");
    }
}
