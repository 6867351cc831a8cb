//! A criterion of one's own in this crate's trainer; `burn_train` has it in burn's `Learner`.

use std::cell::RefCell;

use dvar::{
    callbacks::DeterministicEval,
    concept::{Concept, Method},
    early_stopping::{Control, Criterion, StopReason},
    trainer::{Callbacks, TrainState},
};

use crate::{
    determinism::{States, bytes, session},
    replicas::Sharing,
};

#[path = "../../examples/support/slow_fall.rs"]
mod slow_fall;

pub use slow_fall::SlowFall;

#[test]
fn a_criterion_of_ones_own_stops_the_trainer_and_goes_on_from_a_saved_state() {
    let kind = (Method::TextualInversion, "adamw");
    let (config, session) = session(kind, 40, 1);
    let run = |from: Option<&TrainState>| {
        let losses = |concept: &Concept, evaluation| session.evaluation_losses(concept, evaluation);
        let states = States { at: 3, sharing: Sharing::Whole, kept: RefCell::default() };
        let mut callbacks: Callbacks<'_> = vec![
            Box::new(DeterministicEval::from_losses(losses).stop_when(SlowFall::new(4, 0.6))),
            Box::new(&states),
        ];
        let mut trainer = session.trainer(&config);
        if let Some(state) = from {
            trainer.restore(state, &mut callbacks).unwrap();
        }
        let stop = pollster::block_on(trainer.train(&mut callbacks)).unwrap();
        drop(callbacks);
        (stop, states.kept.into_inner())
    };
    let (stop, states) = run(None);
    assert!(matches!(&stop, StopReason::Other { step, .. } if *step > 3), "{stop}");
    let saved = TrainState::from_bytes(&states[0].to_bytes().unwrap()).unwrap();
    let (resumed, ends) = run(Some(&saved));
    assert_eq!(resumed, stop);
    assert_eq!(bytes(&ends), bytes(&states));
}

#[test]
fn a_loss_that_has_not_fallen_stops_nothing() {
    // the same number, and what rises and then falls, but not to where it began
    for losses in [[0.5; 8], [0.5, 0.6, 0.7, 0.8, 0.7, 0.6, 0.55, 0.54]] {
        let mut slow_fall = SlowFall::new(2, 0.25);
        for loss in losses {
            assert_eq!(slow_fall.update(loss).unwrap(), Control::Continue, "{losses:?}");
            assert_eq!(slow_fall.figures(), [("fall", 1.0)]);
        }
    }
}

#[test]
fn the_page_shows_the_criterion_that_is_compiled_here() {
    let page = include_str!("../../docs/extending.md");
    let source = include_str!("../../examples/support/slow_fall.rs");
    let code = source.split_once("\n\n").unwrap().1;
    assert!(page.contains(code.trim_end()), "copy {code} into docs/extending.md");
}
