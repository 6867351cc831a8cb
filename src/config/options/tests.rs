//! Options in files: their bytes, their order, and what is told of wrong ones.

use std::collections::BTreeSet;

use super::*;

/// All options as dvar 0.1.0 wrote them, before they were in groups. A saved state holds a mark of
/// such a text, so not a byte of it may change.
const SAVED: &str = include_str!("saved.toml");

fn saved() -> TrainOptions {
    TrainOptions::from_toml(SAVED, "config.toml").unwrap()
}

/// Those that came later.
const LATER: &str = r#"
each_input = true
min_timestep = 1
max_timestep = 2
flip = 0.5
clip_t = true
preserve_embedding_norm = true
min_train_steps = 1
ema = true
prediction_type = "epsilon"
embedding_format = ["kohya"]
lr_schedule = "0.5"
captions = true
caption_template = ["a {}"]
shuffle_tags = true
tag_dropout = 0.5
masked_loss = true
background = "white"
kohya_folders = true
text_encoders = "2"
lora_format = ["kohya"]
tf32 = true
"#;

/// Every option there is, set.
fn all() -> TrainOptions {
    let all = TrainOptions::from_toml(&format!("{SAVED}{LATER}"), "config.toml").unwrap();
    let names = serde_json::to_value(TrainOptions::default()).unwrap();
    let names: BTreeSet<String> = names.as_object().unwrap().keys().cloned().collect();
    assert_eq!(set(&all), names, "an option that is new gets a value above");
    all
}

/// The options that are set.
fn set(options: &TrainOptions) -> BTreeSet<String> {
    toml::Table::try_from(options).unwrap().keys().cloned().collect()
}

#[test]
fn a_configuration_file_keeps_its_bytes_across_the_groups() {
    assert_eq!(set(&saved()).len(), 71, "every option of that version is in it");
    assert_eq!(saved().to_toml().unwrap(), SAVED);
}

#[test]
fn the_defaults_are_read_and_lie_under_what_is_set() {
    let mut options = TrainOptions::default();
    options.stopping.window = Some(9);
    let whole = options.with_defaults().unwrap();
    assert_eq!(whole.stopping.window, Some(9));
    assert_eq!(whole.stopping.threshold, TrainOptions::defaults().stopping.threshold);
    assert!(whole.stopping.threshold.is_some());
}

#[test]
fn a_plateau_has_a_threshold_of_its_own_where_none_is_given() {
    let threshold = |text: &str| {
        let options = TrainOptions::from_toml(text, "config.toml").unwrap();
        options.with_defaults().unwrap().stopping.threshold
    };
    assert_eq!(threshold("stopping = 'plateau'"), Some(0.05));
    assert_eq!(threshold("stopping = 'plateau'\nthreshold = 0.39"), Some(0.39));
    assert_eq!(threshold("stopping = 'dvar'"), TrainOptions::defaults().stopping.threshold);
    assert_eq!(threshold(""), TrainOptions::defaults().stopping.threshold);
}

#[test]
fn a_method_that_trains_weights_has_a_rate_of_its_own_where_none_is_given() {
    let rate = |text: &str| {
        let options = TrainOptions::from_toml(text, "config.toml").unwrap();
        options.with_defaults().unwrap().optimizer.learning_rate
    };
    assert_eq!(rate("method = 'dreambooth-lora'"), Some(5e-4));
    assert_eq!(rate("method = 'custom-diffusion'"), Some(1e-5));
    assert_eq!(rate("method = 'custom-diffusion'\nlearning_rate = 0.1"), Some(0.1));
    for vectors_alone in ["", "method = 'textual-inversion'"] {
        assert_eq!(rate(vectors_alone), TrainOptions::defaults().optimizer.learning_rate);
    }
}

#[cfg(feature = "cli")]
#[test]
fn the_help_tells_the_rates_of_methods_that_train_weights() {
    let command = <TrainOptions as clap::Args>::augment_args(clap::Command::new("train"));
    let mut args = command.get_arguments();
    let help = args.find(|arg| arg.get_id() == "learning_rate").unwrap().get_help().unwrap();
    let said = format!(
        "for dreambooth-lora the default is {LORA_RATE}, for custom-diffusion {CUSTOM_DIFFUSION_RATE}"
    );
    assert!(help.to_string().ends_with(&said), "{help}");
}

#[cfg(feature = "cli")]
#[test]
fn the_help_tells_the_plateau_s_threshold() {
    let command = <TrainOptions as clap::Args>::augment_args(clap::Command::new("train"));
    let mut args = command.get_arguments();
    let help = args.find(|arg| arg.get_id() == "threshold").unwrap().get_help().unwrap();
    let said = format!("brought, and the default is {PLATEAU_THRESHOLD}");
    assert!(help.to_string().ends_with(&said), "{help}");
}

#[test]
fn an_initializer_takes_the_place_of_another_start_below_it() {
    let read = |text: &str| TrainOptions::from_toml(text, "config.toml").unwrap();
    let over = |upper: &str, lower: &str| read(upper).over(&read(lower)).unwrap();
    let word = "initializer_token = 'car'\n";
    for other in ["init_strategy = 'lowest-loss'", "initializer_text = 'red car'", word] {
        let under = format!("{other}\nnum_vectors = 2\n");
        let merged = over("initializer_token = 'cat'", &under);
        assert_eq!(merged, read("initializer_token = 'cat'\nnum_vectors = 2"));
    }
    // a strategy may name what lies below it
    let merged = over("init_strategy = 'token'", word);
    assert_eq!(merged, read(&format!("{word}init_strategy = 'token'")));
    assert_eq!(over("seed = 1", word), read(&format!("{word}seed = 1")));
}

#[test]
fn what_lies_below_does_not_speak_against_what_lies_above_it() {
    let read = |text: &str| TrainOptions::from_toml(text, "config.toml").unwrap();
    for (upper, lower, merged) in [
        // a threshold belongs to its criterion, a window to any
        ("stopping = 'plateau'", "stopping = 'dvar'\nwindow = 60\nthreshold = 0.39", "window = 60"),
        ("stopping = 'dvar'", "stopping = 'plateau'\nthreshold = 0.05", ""),
        ("stopping = 'few-iters'", "stopping = 'dvar'\nthreshold = 0.39", "threshold = 0.39"),
        ("stopping = 'plateau'", "threshold = 0.1", "threshold = 0.1"),
        ("stopping = 'plateau'\nthreshold = 0.2", "stopping = 'dvar'\nthreshold = 0.39", ""),
        ("learning_rate = 0.1", "lr_schedule = '0.5:9, 0.2'\nlr_power = 2.0", "lr_power = 2.0"),
        ("lr_scheduler = 'cosine'", "lr_schedule = '0.5'", ""),
        (
            "lr_schedule = '0.5'",
            "lr_scheduler = 'cosine'\nlearning_rate = 0.1",
            "learning_rate = 0.1",
        ),
        ("adam_beta1 = 0.5", "lr_schedule = '0.5'", "lr_schedule = '0.5'"),
        ("num_samples = 4", "n_images_per_val_prompt = 2", ""),
        ("num_samples = 4\nn_images_per_val_prompt = 1", "n_images_per_val_prompt = 2", ""),
        ("seed = 1", "n_images_per_val_prompt = 2", "n_images_per_val_prompt = 2"),
    ] {
        let wanted = read(&format!("{upper}\n{merged}"));
        assert_eq!(read(upper).over(&read(lower)).unwrap(), wanted, "{upper} over {lower}");
    }
    // the defaults speak against nothing
    let whole = read("lr_schedule = '0.5'\nstopping = 'clip-s'").with_defaults().unwrap();
    assert!(whole.optimizer.lr_scheduler.is_some() && whole.stopping.threshold.is_some());
}

#[test]
fn a_wrong_key_or_value_in_a_file_is_told_with_its_line() {
    for (text, parts) in [
        ("seed = 1\nwindw = 3\n", ["line 2", "windw", "did you mean `window`?"]),
        ("seed = 1\nwindow = \"many\"\n", ["line 2", "window = ", "expected a whole number"]),
        ("seed = 1\nflip = \"often\"\n", ["line 2", "flip = ", "expected a number"]),
        ("ema = 1\n", ["line 1", "ema = ", "expected `true` or `false`"]),
        ("train_data_dir = 1\n", ["line 1", "train_data_dir = ", "expected a path"]),
        ("stopping = 1\n", ["line 1", "stopping = ", "expected a name"]),
        ("lora_format = 'kohya'\n", ["line 1", "lora_format = ", "expected a list"]),
        ("seed = \n", ["line 1", "seed", "file.toml"]),
    ] {
        let error = TrainOptions::from_toml(text, "file.toml").unwrap_err().to_string();
        for part in parts {
            assert!(error.contains(part), "{error} tells {part}");
        }
    }
}

#[test]
fn a_windows_path_between_double_quotes_is_told_how_to_be_written() {
    for path in [r"C:\Users\me", r"C:\pictures", r"D:\cats"] {
        let read = |quote| {
            TrainOptions::from_toml(&format!("train_data_dir = {quote}{path}{quote}"), "file.toml")
        };
        let error = read('"').unwrap_err().to_string();
        assert!(error.ends_with("; write a path with `/`, or between single quotes"), "{error}");
        assert_eq!(read('\'').unwrap().data.train_data_dir, Some(path.into()));
    }
}

#[test]
fn json_names_the_option_that_cannot_be_read() {
    let error = TrainOptions::from_json(r#"{"seed": null, "window": "many"}"#).unwrap_err();
    assert_eq!(error.option(), Some("window"));
    let error = TrainOptions::from_json(r#"{"windw": 1}"#).unwrap_err().to_string();
    assert_eq!(error, "there is no option `windw`; did you mean `window`?");
    assert!(TrainOptions::from_json("[]").is_err());
}

#[test]
fn a_page_has_all_options_but_those_about_files_or_other_programs() {
    let here = set(&all().on_page());
    let missing: Vec<String> = set(&all()).difference(&here).cloned().collect();
    assert_eq!(
        missing,
        [
            "background",
            "caption_template",
            "captions",
            "class_data_dir",
            "clip",
            "ema",
            "embedding_format",
            "exp_name",
            "initializer_file",
            "kohya_folders",
            "log_unscaled",
            "logger",
            "lora_format",
            "masked_loss",
            "model",
            "output_dir",
            "project_name",
            "save_init_embeds",
            "shuffle_tags",
            "tag_dropout",
            "train_data_dir",
            "wandb",
        ]
    );
}

#[test]
fn every_field_of_the_page_is_an_option_that_a_page_has() {
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/web/page/settings_fields.ts");
    let text = std::fs::read_to_string(file).unwrap();
    let named = text.split("option: \"").skip(1).map(|rest| rest.split('"').next().unwrap());
    let named: Vec<&str> = named.collect();
    let here = set(&all().on_page());
    let unknown: Vec<&&str> = named.iter().filter(|name| !here.contains(**name)).collect();
    assert!(!named.is_empty() && unknown.is_empty(), "{unknown:?} in {file}");
}

#[cfg(feature = "cli")]
#[test]
fn the_help_tells_how_often_samples_are_scored_by_default() {
    use crate::config::Stopping;

    let command = <TrainOptions as clap::Args>::augment_args(clap::Command::new("train"));
    let mut args = command.get_arguments();
    let help = args.find(|arg| arg.get_id() == "sample_frequency").unwrap().get_help().unwrap();
    let said = format!(
        "[default: {} for clip-s, {} for baseline, else {}]",
        Stopping::ClipS.default_sample_frequency(),
        Stopping::Baseline.default_sample_frequency(),
        Stopping::Dvar.default_sample_frequency()
    );
    assert!(help.to_string().ends_with(&said), "{help}");
}

/// Options of which a method and a criterion are chosen.
fn chosen(method: Option<Method>, stopping: Option<Stopping>) -> TrainOptions {
    let mut chosen = TrainOptions::default();
    (chosen.method.method, chosen.stopping.stopping) = (method, stopping);
    chosen
}

#[test]
fn a_model_advises_a_method_what_its_table_says() {
    let text = "learning_rate = 0.005\nflip = 0.0\n[dreambooth-lora]\nlearning_rate = 0.001\n";
    let advised =
        |method| TrainOptions::from_advice(text, &chosen(method, None), "dvar.toml").unwrap();
    let rate = |method| advised(method).optimizer.learning_rate;
    assert_eq!(rate(None), Some(0.005));
    assert_eq!(rate(Some(Method::CustomDiffusion)), Some(0.005));
    assert_eq!(rate(Some(Method::DreamboothLora)), Some(0.001));
    assert_eq!(advised(Some(Method::DreamboothLora)).training.flip, Some(0.0));
    let refused =
        |text| TrainOptions::from_advice(text, &TrainOptions::default(), "dvar.toml").is_err();
    assert!(refused("[hypernetwork]\nlearning_rate = 1.0\n"));
    assert!(refused("[dreambooth-lora]\nrate = 1.0\n"));
}

#[test]
fn wrong_advice_is_told_with_its_file_and_a_place_of_the_user_s_is_none_of_a_model_s_to_choose() {
    for (text, told) in [
        ("[dreambooth-lora]\nrate = 1.0", "there is no option `rate`"),
        ("flip = 'no'\n[plateau]\nwindow = 30", "`flip`"),
        ("output_dir = 'a'", "`output_dir` is for the user to choose"),
        ("[custom-diffusion]\nclass_data_dir = 'a'", "`class_data_dir` is for the user to choose"),
    ] {
        let advised = TrainOptions::from_advice(text, &TrainOptions::default(), "its/dvar.toml");
        let error = advised.unwrap_err().to_string();
        assert!(error.contains("`its/dvar.toml`") && error.contains(told), "{error}");
    }
}

#[test]
fn a_model_advises_each_criterion_its_own_window_and_threshold() {
    let text = "stopping = \"plateau\"\nwindow = 9\n[dvar]\nwindow = 38\nthreshold = 0.39\n\
                [plateau]\nwindow = 30\n[dreambooth-lora]\nstopping = \"dvar\"\n";
    let advised = |method, stopping| {
        let advised = TrainOptions::from_advice(text, &chosen(method, stopping), "dvar.toml");
        let StoppingOptions { window, threshold, .. } = advised.unwrap().stopping;
        (window, threshold)
    };
    let lora = Some(Method::DreamboothLora);
    assert_eq!(advised(None, None), (Some(30), None));
    assert_eq!(advised(lora, None), (Some(38), Some(0.39)));
    assert_eq!(advised(None, Some(Stopping::Dvar)), (Some(38), Some(0.39)));
    assert_eq!(advised(lora, Some(Stopping::Plateau)), (Some(30), None));
    assert_eq!(advised(None, Some(Stopping::ClipS)), (Some(9), None));
}

#[test]
fn what_a_model_advises_a_criterion_is_taken_by_a_run_that_chooses_it_and_by_no_other() {
    let text = "stopping = 'plateau'\nthreshold = 0.1\n[dvar]\nwindow = 38\n[plateau]\nwindow = 30\n\
                [dreambooth-lora]\nstopping = 'dvar'\nthreshold = 0.3\n[clip-s]\npatience = 2\n";
    let threshold = |method, stopping| {
        let chosen = chosen(method, stopping);
        let advised = TrainOptions::from_advice(text, &chosen, "dvar.toml").unwrap();
        chosen.over(&advised).unwrap().with_defaults().unwrap().stopping.threshold
    };
    let lora = Some(Method::DreamboothLora);
    assert_eq!(threshold(None, None), Some(0.1));
    assert_eq!(threshold(None, Some(Stopping::Dvar)), Some(0.39), "the 0.1 is the plateau's");
    assert_eq!(threshold(lora, None), Some(0.3));
    assert_eq!(threshold(lora, Some(Stopping::Plateau)), Some(0.05), "the 0.3 is DVAR's");
}
