//! Unit and property tests of [`Plateau`].

use proptest::{collection::vec, prelude::*};

use super::*;

/// The share by its definition, from all losses.
fn naive_share(history: &[f64], window: usize) -> f64 {
    let mean = |losses: &[f64]| losses.iter().sum::<f64>() / losses.len() as f64;
    let Some(start) = history.len().checked_sub(2 * window) else { return 1.0 };
    let earlier = mean(&history[start..start + window]);
    let recent = mean(&history[start + window..]);
    let fall = history[0] - recent;
    if fall > 0.0 { (earlier - recent) / fall } else { 1.0 }
}

fn series() -> impl Strategy<Value = Vec<f64>> {
    let values = prop_oneof![
        4 => vec(-1.0..1.0f64, 1..200),
        1 => (1usize..200, -1.0..1.0f64).prop_map(|(len, value)| vec![value; len]),
        2 => vec(0.0..0.1f64, 1..200).prop_map(|steps| {
            steps.iter().scan(1.0, |loss, step| { *loss -= step; Some(*loss) }).collect()
        }),
    ];
    let offset = prop_oneof![Just(0.0), Just(1.0), Just(-3e3)];
    (values, offset).prop_map(|(v, offset)| v.into_iter().map(|v| v + offset).collect())
}

proptest! {
    #[test]
    fn the_share_is_that_of_its_definition(losses in series(), window in 2usize..90) {
        let mut plateau = Plateau::new(window, 0.0).unwrap();
        for seen in 1..=losses.len() {
            prop_assert_eq!(plateau.update(losses[seen - 1]), Ok(Control::Continue));
            let (got, want) = (plateau.share(), naive_share(&losses[..seen], window));
            let recent = &losses[seen.saturating_sub(window)..seen];
            let fall = losses[0] - recent.iter().sum::<f64>() / recent.len() as f64;
            // both are quotients by the fall: next to none, rounding decides
            if fall.abs() > 1e-6 {
                prop_assert!((got - want).abs() <= 1e-5 * (1.0 + want.abs()), "{seen}: {got} {want}");
            }
        }
    }

    #[test]
    fn a_saved_criterion_goes_on_bit_for_bit(
        losses in series(), window in 2usize..60, threshold in 0.0..1.0f64, cut in 0.0..1.0f64,
    ) {
        let (before, after) = losses.split_at((losses.len() as f64 * cut) as usize);
        let mut kept = Plateau::new(window, threshold).unwrap();
        before.iter().for_each(|loss| { let _ = kept.update(*loss).unwrap(); });
        let json = serde_json::to_string(&kept).unwrap();
        let mut resumed: Plateau = serde_json::from_str(&json).unwrap();
        prop_assert_eq!(&resumed, &kept);
        for loss in after {
            prop_assert_eq!(resumed.update(*loss), kept.update(*loss));
            prop_assert_eq!(resumed.share().to_bits(), kept.share().to_bits());
        }
    }
}

#[test]
fn refuses_what_dvar_refuses() {
    assert_eq!(Plateau::new(1, 0.1), Err(CriterionError::Window { window: 1 }));
    for threshold in [-0.1, 1.0, f64::NAN] {
        let refused = Plateau::new(10, threshold);
        assert!(matches!(refused, Err(CriterionError::Threshold { .. })), "{threshold}");
    }
    let mut plateau = Plateau::new(2, 0.1).unwrap();
    assert_eq!(plateau.update(1.0), Ok(Control::Continue));
    let before = plateau.clone();
    for loss in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY, 1e200] {
        let refused = plateau.update(loss);
        assert!(matches!(refused, Err(CriterionError::NonFinite { step: 1, .. })), "{refused:?}");
        assert_eq!(plateau, before);
    }
}

#[test]
fn a_loss_that_never_falls_does_not_stop_and_a_constant_one_has_its_own_reason() {
    let decide = |losses: &[f64], threshold| {
        let mut plateau = Plateau::new(3, threshold).unwrap();
        losses.iter().map(|loss| plateau.update(*loss).unwrap()).last().unwrap()
    };
    let rising: Vec<f64> = (0..100).map(f64::from).collect();
    assert_eq!(decide(&rising, 0.5), Control::Continue);
    let constant = Control::Stop(StopReason::ConstantObjective { step: 5 });
    assert_eq!(decide(&[0.1; 5], 0.5), Control::Continue);
    assert_eq!(decide(&[0.1; 6], 0.5), constant);
    assert_eq!(decide(&[0.1; 6], 0.0), Control::Continue);
}

/// Straight lines are stopped after 20.5 windows.
#[test]
fn a_huge_loss_leaves_no_rounding_behind() {
    let mut plateau = Plateau::new(10, 0.05).unwrap();
    for step in 0..200 {
        let loss = if step == 45 { 1e16 } else { 10.0 - f64::from(step) / 40.0 };
        assert_eq!(plateau.update(loss), Ok(Control::Continue), "{step}: {}", plateau.share());
    }
}

#[test]
fn the_reason_holds_the_numbers_of_the_decision() {
    let mut plateau = Plateau::new(2, 0.5).unwrap();
    let decisions: Vec<_> =
        [8.0, 4.0, 3.0, 2.0, 2.0].iter().map(|loss| plateau.update(*loss).unwrap()).collect();
    assert_eq!(decisions[3], Control::Continue, "3.5 of a fall of 5.5");
    let reason = StopReason::Plateau { step: 4, share: 0.25, threshold: 0.5, window: 2 };
    assert_eq!(decisions[4], Control::Stop(reason));
}

#[test]
fn a_share_on_the_threshold_does_not_stop() {
    let decide = |threshold| {
        let mut plateau = Plateau::new(2, threshold).unwrap();
        [8.0, 4.0, 3.0, 2.0, 2.0].map(|loss| plateau.update(loss).unwrap())
    };
    assert_eq!(decide(0.25)[4], Control::Continue, "1.5 of a fall of 6");
    assert_ne!(decide(0.25_f64.next_up())[4], Control::Continue);
}

/// In the sums it hides all digits of the losses beside it.
#[test]
fn a_loss_that_once_was_huge_leaves_no_trace() {
    let loss = |i: i32| if i == 5 { 1e20 } else { 1.0 / f64::from(i + 1) };
    let losses: Vec<f64> = (0..40).map(loss).collect();
    let mut plateau = Plateau::new(4, 0.0).unwrap();
    losses.iter().for_each(|loss| drop(plateau.update(*loss)));
    assert!((plateau.share() - naive_share(&losses, 4)).abs() < 1e-12, "{}", plateau.share());
}

#[test]
fn a_saved_state_that_contradicts_itself_is_refused() {
    let mut plateau = Plateau::new(2, 0.5).unwrap();
    [1.0, 2.0, 3.0].iter().for_each(|loss| drop(plateau.update(*loss)));
    let good = serde_json::to_value(&plateau).unwrap();
    for (field, value) in [
        ("window", serde_json::json!(1)),
        ("threshold", serde_json::json!(2.0)),
        ("losses", serde_json::json!([1.0])),
        ("first", serde_json::json!(1e300)),
        ("recent", serde_json::json!(1e300)),
    ] {
        let mut bad = good.clone();
        bad[field] = value;
        assert!(serde_json::from_value::<Plateau>(bad.clone()).is_err(), "{bad}");
    }
    // as no run gets so far, it is not counted on
    let mut far = good.clone();
    far["count"] = serde_json::json!(usize::MAX);
    far["losses"] = serde_json::json!([0.0, 1.0, 2.0, 3.0]);
    let mut far: Plateau = serde_json::from_value(far).unwrap();
    assert!(far.update(5.0).is_ok());
    assert_eq!(serde_json::to_value(&far).unwrap()["count"], usize::MAX);
}

/// Windows until the stop, on a loss that is a function of the time in windows.
fn windows_until_stop(threshold: f64, loss: impl Fn(f64) -> f64) -> f64 {
    const WINDOW: usize = 1000;
    let mut plateau = Plateau::new(WINDOW, threshold).unwrap();
    let mut losses = (0..).map(|step| loss(f64::from(step) / WINDOW as f64));
    let stop = losses.position(|loss| plateau.update(loss) != Ok(Control::Continue)).unwrap();
    (stop + 1) as f64 / WINDOW as f64
}

#[test]
fn a_loss_that_rises_again_is_soon_stopped() {
    let stop = windows_until_stop(0.05, |time| (time - 3.0).abs());
    assert!((stop - 3.935).abs() < 0.01, "{stop}");
}

#[test]
fn a_trend_does_not_fool_it_as_the_documents_tell() {
    for (threshold, line) in [(0.05, 20.5), (0.1, 10.5)] {
        let stop = windows_until_stop(threshold, |time| -time);
        assert!((stop - line).abs() < 0.01, "a straight line under {threshold}: {stop}");
    }
    for (threshold, constant, done) in [
        (0.05, 0.25, 1.0),
        (0.05, 1.0, 0.98),
        (0.05, 4.0, 0.87),
        (0.1, 1.0, 0.97),
        (0.1, 4.0, 0.77),
    ] {
        let stop = windows_until_stop(threshold, |time| (-time / constant).exp());
        let share = 1.0 - (-stop / constant).exp();
        assert!((share - done).abs() < 0.01, "{constant} windows under {threshold}: {share}");
    }
}
