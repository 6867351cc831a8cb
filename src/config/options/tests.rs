use super::*;

/// What an earlier version wrote for these options: a saved state holds a mark of this text, so its
/// order of keys must stay.
const SAVED: &str = r#"model = "m"
train_data_dir = "pictures"
placeholder_token = "<c>"
num_vectors = 2
method = "custom-diffusion"
seed = 7
learning_rate = 0.001
optimizer = "sam"
window = 5
exp_code = "11110"
clip = "scorer"
class_prompt = "cat"
logger = "none"
adam_epsilon = 0.00000001
eta = 0.5
"#;

#[test]
fn a_configuration_file_keeps_its_order_across_the_groups() {
    let options = TrainOptions::from_toml(SAVED, "config.toml").unwrap();
    assert_eq!(options.method.class_prompt.as_deref(), Some("cat"));
    assert_eq!(options.samples.eta, Some(0.5));
    assert_eq!(options.to_toml().unwrap(), SAVED);
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
fn a_wrong_key_or_value_in_a_file_is_told_with_its_line() {
    for (text, parts) in [
        ("seed = 1\nwindw = 3\n", ["line 2", "windw", "did you mean `window`?"]),
        ("seed = 1\nwindow = \"many\"\n", ["line 2", "window = ", "expected usize"]),
        ("seed = \n", ["line 1", "seed", "file.toml"]),
    ] {
        let error = TrainOptions::from_toml(text, "file.toml").unwrap_err().to_string();
        for part in parts {
            assert!(error.contains(part), "{error} tells {part}");
        }
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
fn a_page_has_no_option_about_files_or_other_programs() {
    let here = TrainOptions::from_toml(SAVED, "config.toml").unwrap().on_page();
    assert_eq!((here.data.model, here.samples.clip, here.logs.logger), (None, None, None));
    assert_eq!(here.data.placeholder_token.as_deref(), Some("<c>"));
    assert_eq!(here.stopping.window, Some(5));
}
