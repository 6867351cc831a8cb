//! Unit and property tests of [`Dvar`].

use proptest::{collection::vec, prelude::*};

use super::*;

fn losses_of(dvar: &mut Dvar, losses: &[f64]) -> Vec<Control> {
    losses.iter().map(|loss| dvar.update(*loss).unwrap()).collect()
}

/// Two passes over the losses less the first of them, which takes the common offset away before
/// anything is rounded.
fn naive_variance(losses: &[f64]) -> f64 {
    let count = losses.len() as f64;
    let moved: Vec<f64> = losses.iter().map(|loss| loss - losses[0]).collect();
    let mean = moved.iter().sum::<f64>() / count;
    moved.iter().map(|loss| (loss - mean).powi(2)).sum::<f64>() / count
}

fn naive_ratio(history: &[f64], window: usize) -> f64 {
    let all = naive_variance(history);
    match history.len() {
        len if len >= window && all == 0.0 => 0.0,
        len if len <= window => 1.0,
        len => naive_variance(&history[len - window..]) / all,
    }
}

/// Random, constant, stepped and repeating series around offsets from none to a huge one.
fn series() -> impl Strategy<Value = Vec<f64>> {
    let values = prop_oneof![
        4 => vec(-1.0..1.0f64, 1..200),
        1 => (1usize..200, -1.0..1.0f64).prop_map(|(len, value)| vec![value; len]),
        2 => vec(prop_oneof![Just(0.25), Just(0.5)], 1..200),
        2 => vec((-12i32..0, -1.0..1.0f64).prop_map(|(e, v)| v * 10f64.powi(e)), 1..200),
    ];
    let offset = prop_oneof![Just(0.0), Just(1.0), Just(-3e4), Just(1e9)];
    (values, offset).prop_map(|(v, offset)| v.into_iter().map(|v| v + offset).collect())
}

proptest! {
    #[test]
    fn the_ratio_is_that_of_two_passes(losses in series(), window in 2usize..250) {
        let mut dvar = Dvar::new(window, 0.0).unwrap();
        for seen in 1..=losses.len() {
            prop_assert_eq!(dvar.update(losses[seen - 1]), Ok(Control::Continue));
            let (got, want) = (dvar.ratio(), naive_ratio(&losses[..seen], window));
            prop_assert!((got - want).abs() <= 1e-12 * want + 1e-28, "{seen}: {got} {want}");
        }
        prop_assert_eq!(dvar.history_len(), losses.len());
    }

    #[test]
    fn a_saved_criterion_goes_on_bit_for_bit(
        losses in series(), window in 2usize..60, threshold in 0.0..1.0f64, cut in 0.0..1.0f64,
    ) {
        let (before, after) = losses.split_at((losses.len() as f64 * cut) as usize);
        let mut kept = Dvar::new(window, threshold).unwrap();
        losses_of(&mut kept, before);
        let json = serde_json::to_string(&kept).unwrap();
        let mut resumed: Dvar = serde_json::from_str(&json).unwrap();
        prop_assert_eq!(&resumed, &kept);
        for loss in after {
            prop_assert_eq!(resumed.update(*loss), kept.update(*loss));
            prop_assert_eq!(resumed.ratio().to_bits(), kept.ratio().to_bits());
        }
    }

    #[test]
    fn holds_no_more_than_the_window(losses in series(), window in 2usize..60) {
        let mut dvar = Dvar::new(window, 0.1).unwrap();
        losses_of(&mut dvar, &losses);
        prop_assert_eq!(dvar.older.len() + dvar.newer.len(), window.min(losses.len()));
    }
}

#[test]
fn refuses_windows_and_thresholds_without_a_meaning() {
    for window in [0, 1] {
        assert_eq!(Dvar::new(window, 0.15), Err(CriterionError::Window { window }));
    }
    for threshold in [-0.1, 1.0, 1.5, f64::NAN, f64::INFINITY] {
        let refused = Dvar::new(10, threshold);
        assert!(matches!(refused, Err(CriterionError::Threshold { .. })), "{threshold}");
    }
}

#[test]
fn a_loss_that_is_not_finite_is_refused_and_leaves_no_trace() {
    let mut dvar = Dvar::new(2, 0.1).unwrap();
    losses_of(&mut dvar, &[1.0, 2.0, 3.0]);
    let before = dvar.clone();
    for loss in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY, 1e200] {
        let refused = dvar.update(loss);
        assert!(matches!(refused, Err(CriterionError::NonFinite { step: 3, .. })), "{refused:?}");
        assert_eq!(dvar, before);
    }
}

#[test]
fn a_constant_loss_stops_at_the_first_full_window_with_its_own_reason() {
    let mut dvar = Dvar::new(3, 0.1).unwrap();
    let stop = |step| Control::Stop(StopReason::ConstantObjective { step });
    let go = || Control::Continue;
    assert_eq!(losses_of(&mut dvar, &[0.1; 4]), [go(), go(), stop(2), stop(3)]);
    assert_eq!(dvar.update(0.2), Ok(go()));
}

#[test]
fn a_threshold_of_0_never_stops_not_even_on_a_constant_loss() {
    let mut dvar = Dvar::new(2, 0.0).unwrap();
    let decisions = losses_of(&mut dvar, &[1.0, 1.0, 1.0, 2.0, 2.0, 2.0]);
    assert!(decisions.iter().all(|decision| *decision == Control::Continue));
    assert_eq!(dvar.ratio(), 0.0);
}

#[test]
fn the_reason_holds_the_numbers_of_the_decision() {
    let mut dvar = Dvar::new(2, 0.5).unwrap();
    let decisions = losses_of(&mut dvar, &[0.0, 8.0, 8.0]);
    let reason = StopReason::Dvar { step: 2, ratio: 0.0, threshold: 0.5, window: 2 };
    assert_eq!(decisions[2], Control::Stop(reason));
}

#[test]
fn a_ratio_on_the_threshold_does_not_stop() {
    let decide = |threshold| {
        let mut dvar = Dvar::new(2, threshold).unwrap();
        (losses_of(&mut dvar, &[1.0, 0.5, 0.45]).pop(), dvar.ratio())
    };
    let (_, ratio) = decide(0.0);
    assert_eq!(decide(ratio).0, Some(Control::Continue));
    assert_ne!(decide(ratio.next_up()).0, Some(Control::Continue));
}

#[test]
fn a_saved_state_that_contradicts_itself_is_refused() {
    let mut dvar = Dvar::new(2, 0.5).unwrap();
    losses_of(&mut dvar, &[1.0, 2.0, 3.0]);
    let good = serde_json::to_value(&dvar).unwrap();
    assert_eq!(serde_json::from_value::<Dvar>(good.clone()).unwrap(), dvar);
    for (field, value) in [
        ("window", serde_json::json!(1)),
        ("threshold", serde_json::json!(2.0)),
        ("newer", serde_json::json!([1.0, 2.0, 3.0])),
        ("newer", serde_json::json!([1e300])),
        ("older", serde_json::json!([])),
    ] {
        let mut bad = good.clone();
        bad[field] = value;
        assert!(serde_json::from_value::<Dvar>(bad.clone()).is_err(), "{bad}");
    }
    let mut bad = good;
    bad["all"]["squared_deviations"] = serde_json::json!(-1.0);
    assert!(serde_json::from_value::<Dvar>(bad).is_err());
}

proptest! {
    /// Losses that are refused leave no trace, wherever in a series they come.
    #[test]
    fn refused_losses_change_no_decision(
        losses in series(),
        window in 2usize..250,
        threshold in 0.0..1.0f64,
        odd in vec(prop_oneof![
            3 => Just(None),
            1 => prop_oneof![
                Just(f64::NAN), Just(f64::INFINITY), Just(f64::NEG_INFINITY), Just(-1e200),
            ].prop_map(Some),
        ], 200),
    ) {
        let mut dvar = Dvar::new(window, threshold).unwrap();
        for (seen, loss) in losses.iter().enumerate() {
            if let Some(odd) = odd[seen] {
                let refused = dvar.update(odd);
                let expected = matches!(refused, Err(CriterionError::NonFinite { step, .. }) if step == seen);
                prop_assert!(expected, "{refused:?}");
            }
            let control = dvar.update(*loss).unwrap();
            let ratio = naive_ratio(&losses[..=seen], window);
            // a ratio on the threshold's brink may round to either side
            if (ratio - threshold).abs() > 1e-9 {
                prop_assert_eq!(control != Control::Continue, ratio < threshold, "{}: {}", seen, ratio);
            }
        }
    }
}

/// Windows until the stop, on a loss that is a function of the time in windows.
fn windows_until_stop(threshold: f64, loss: impl Fn(f64) -> f64) -> f64 {
    const WINDOW: usize = 1000;
    let mut dvar = Dvar::new(WINDOW, threshold).unwrap();
    let mut losses = (0..).map(|step| loss(f64::from(step) / WINDOW as f64));
    let stop = losses.position(|loss| dvar.update(loss) != Ok(Control::Continue)).unwrap();
    (stop + 1) as f64 / WINDOW as f64
}

#[test]
fn dvar_asks_how_much_a_loss_moves_and_not_where_to() {
    let rising = windows_until_stop(0.15, |time| time);
    assert!((rising - 2.58).abs() < 0.01, "a straight line upwards: {rising}");
    let explodes: fn(f64) -> f64 = |time| (4.0 * time).exp();
    let circles: fn(f64) -> f64 = |time| (core::f64::consts::TAU * time).sin();
    for loss in [explodes, circles] {
        let mut dvar = Dvar::new(1000, 0.15).unwrap();
        let mut losses = (0..10_000).map(|step| loss(f64::from(step) / 1000.0));
        assert!(losses.all(|loss| dvar.update(loss) == Ok(Control::Continue)), "{}", dvar.ratio());
    }
}

#[test]
fn what_dvar_cannot_see_is_as_the_documents_tell_it() {
    for (threshold, line) in [(0.39, 1.60), (0.15, 2.58), (0.05, 4.47)] {
        let stop = windows_until_stop(threshold, |time| -time);
        assert!((stop - line).abs() < 0.01, "a straight line under {threshold}: {stop}");
    }
    // of an exponential with this time constant in windows, this share of the fall is done
    for (threshold, constant, done) in [
        (0.39, 0.25, 0.99),
        (0.39, 1.0, 0.74),
        (0.39, 4.0, 0.31),
        (0.15, 1.0, 0.82),
        (0.15, 4.0, 0.42),
    ] {
        let stop = windows_until_stop(threshold, |time| (-time / constant).exp());
        let share = 1.0 - (-stop / constant).exp();
        assert!((share - done).abs() < 0.01, "{constant} windows under {threshold}: {share}");
    }
}
