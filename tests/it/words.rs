//! Words tried as starts.

use dvar::{
    concept::Method,
    config::{InitStrategy, MixedPrecision, TrainOptions},
    pipelines::{ModelFolder, PromptIds},
    session::{CheckedOptions, Session, SessionError},
};

use crate::determinism::{options, prepared, session_of};

#[test]
fn words_compared_side_by_side_have_the_losses_of_each_alone() {
    for method in [Method::TextualInversion, Method::DreamboothLora, Method::CustomDiffusion] {
        let mut options = options(MixedPrecision::No, (method, "adamw"), 1, 1);
        options.evaluation.eval_batch_size = Some(11);
        let run = prepared(options);
        let CheckedOptions { config, .. } = &run.checked;
        let mut session = session_of(&run);
        let words: Vec<_> =
            (0..30).map(|id| (PromptIds(vec![vec![id]]), format!("number {id}"))).collect();
        let start_from = |session: &mut Session, words: &[(PromptIds, String)]| {
            pollster::block_on(
                session.start_from_best_of(config, words, async |_, _| Ok::<_, SessionError>(())),
            )
            .unwrap()
        };
        // the whole fixed batch, by the way that a run evaluates it
        let evaluated = |session: &Session| {
            let losses = session.evaluation_losses(&session.concept(config), 0);
            f64::from(losses[0].clone().into_scalar::<f32>())
        };

        let tried = start_from(&mut session, &words);
        assert_eq!((tried.of, tried.best.len()), (30, 4));
        assert!(tried.best.is_sorted_by(|a, b| a.1 <= b.1), "{tried:?}");
        let (best, start) = (evaluated(&session), session.initial.clone());
        assert!((best - tried.best[0].1).abs() < 1e-5 * best, "{method:?}: {best}, {tried:?}");
        for (word, loss) in &tried.best {
            let one = words.iter().find(|(_, name)| name == word).unwrap();
            start_from(&mut session, std::slice::from_ref(one));
            let alone = evaluated(&session);
            assert!((alone - loss).abs() < 1e-5 * alone, "{method:?}, {word}: {alone}, {loss}");
        }
        start_from(&mut session, &words);
        assert_eq!(session.initial, start);
    }
}

#[test]
fn custom_diffusion_starts_from_its_class_where_that_is_a_word() {
    let starts = |method, class: &str| {
        let mut options = TrainOptions::default();
        options.data.train_data_dir = Some("unused".into());
        options.data.placeholder_token = Some("<crab>".into());
        options.method.method = Some(method);
        options.method.class_prompt = Some(class.into());
        let model = ModelFolder::open("models/pretrained/dvar-tiny-emoji".as_ref()).unwrap();
        let start = CheckedOptions::new(&options, model).unwrap().options.start;
        (start.initializer_token, start.init_strategy)
    };
    let searched = (None, Some(InitStrategy::LowestLoss));
    assert_eq!(starts(Method::CustomDiffusion, "octopus").0.as_deref(), Some("octopus"));
    assert_eq!(starts(Method::CustomDiffusion, "red octopus"), searched);
    assert_eq!(starts(Method::DreamboothLora, "octopus"), searched);
}
