//! Words tried as starts.

use std::{
    cell::{Cell, RefCell},
    convert::Infallible,
    sync::Arc,
};

use dvar::{
    concept::Method,
    config::{InitStrategy, MixedPrecision, TrainOptions},
    data::dataset::Dataset,
    early_stopping::StopReason,
    pipelines::{ModelFolder, PromptIds},
    session::{
        CheckedOptions, Observer, PreparedRun, Rank, RankedWords, RunError, Session, SessionError,
        Shown, Start, TriedWords, WordSearch, run,
    },
    trainer::{Callbacks, TrainState},
};
use dvar_models::weights::{Folder, ModelSource};

use crate::{
    determinism::{States, bytes, options, prepared, session_of, states},
    golden,
    replicas::Sharing,
};

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

/// Keeps a run's states, what it tried as starts, and whether it looked for a word at all.
struct Looking {
    states: States,
    /// What the vocabulary's search gives.
    nearest: String,
    looked: Cell<bool>,
    tried: RefCell<Vec<TriedWords>>,
}

impl Observer for Looking {
    type Error = Infallible;

    async fn search(&self, _: &WordSearch<'_>) -> Result<RankedWords, RunError<Infallible>> {
        self.looked.set(true);
        Ok(vec![(self.nearest.clone(), 0.5)])
    }

    async fn searching(&self, _: usize, _: usize) -> Result<(), Infallible> {
        self.looked.set(true);
        Ok(())
    }

    fn tried(&self, words: &TriedWords) -> Result<(), Infallible> {
        self.tried.borrow_mut().push(words.clone());
        Ok(())
    }

    async fn class_pictures(
        &self,
        run: &PreparedRun,
    ) -> Result<Option<Dataset>, RunError<Infallible>> {
        self.states.class_pictures(run).await
    }

    async fn samples(&self, shown: Shown<'_>) -> Result<(), Infallible> {
        self.states.samples(shown).await
    }

    fn callbacks<'a>(
        &'a self,
        run: &PreparedRun,
        resumed: Option<&TrainState>,
    ) -> Result<Callbacks<'a>, Infallible> {
        self.states.callbacks(run, resumed)
    }

    fn concludes(&self, stop: &StopReason) -> bool {
        self.states.concludes(stop)
    }
}

#[test]
fn a_run_that_goes_on_starts_from_the_word_that_it_found_and_looks_for_none() {
    let mut options = options(MixedPrecision::No, (Method::TextualInversion, "adamw"), 4, 1);
    // each step then depends on the vectors' start
    options.training.preserve_embedding_norm = Some(true);
    // the options' own scorer would be a folder
    options.samples.clip = Some("given".into());
    let clip = Folder(golden::root().join("models/tiny-clip"));
    let clip = Some(Arc::new(clip) as Arc<dyn ModelSource>);
    let run_ = PreparedRun { clip, ..prepared(options) };
    let tokenizers = run_.checked.model.tokenizers().unwrap();
    let words: Vec<String> = tokenizers.words().into_iter().take(12).collect();
    let with_ids = words.iter().map(|w| (tokenizers.initializer_ids(w).unwrap(), w.clone()));

    for start in [Start::Tried(with_ids.collect()), Start::Searched(Rank::Best)] {
        let made = |state: Option<&TrainState>| {
            let observer = Looking {
                states: States { at: 2, sharing: Sharing::Whole, kept: RefCell::default() },
                nearest: words[5].clone(),
                looked: Cell::default(),
                tried: RefCell::default(),
            };
            let run_ = PreparedRun { start: start.clone(), state: state.cloned(), ..run_.clone() };
            let outcome = pollster::block_on(run(&run_, &observer)).unwrap();
            (outcome.initializer_token.expect("a word was found"), observer)
        };
        let ended = |observer: &Looking| bytes(&observer.states.kept.borrow());
        let (word, whole) = made(None);
        assert!(whole.looked.get(), "{start:?}");
        let saved = whole.states.kept.borrow()[0].to_bytes().unwrap();
        let mut saved = TrainState::from_bytes(&saved).unwrap();
        let (again, resumed) = made(Some(&saved));
        assert!(!resumed.looked.get(), "{start:?}");
        assert_eq!((&again, &resumed.tried), (&word, &whole.tried));
        assert!(ended(&resumed) == ended(&whole), "{start:?}");

        // an earlier version saved no word
        saved.callbacks.remove("found-word").unwrap();
        let (again, resumed) = made(Some(&saved));
        assert!(resumed.looked.get() && again == word, "{start:?}");
        assert!(ended(&resumed) == ended(&whole), "{start:?}");
    }
}

#[test]
fn a_run_that_goes_on_keeps_the_word_that_chance_chose() {
    let mut options = options(MixedPrecision::No, (Method::TextualInversion, "adamw"), 4, 1);
    // each step then depends on the vectors' start
    options.training.preserve_embedding_norm = Some(true);
    let begun = prepared(options);
    let tokenizers = begun.checked.model.tokenizers().unwrap();
    let words = tokenizers.words();
    let made = |word: &String, from: Option<&TrainState>| {
        let start = Start::Drawn(tokenizers.initializer_ids(word).unwrap(), word.clone());
        states(&PreparedRun { start, ..begun.clone() }, from, 2)
    };
    let whole = made(&words[0], None);
    // as where another version knows other words
    assert!(bytes(&made(&words[1], Some(&whole[0]))) == bytes(&whole));
    assert!(bytes(&made(&words[1], None)) != bytes(&whole));
}
