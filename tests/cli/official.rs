//! The commands of the official README, as they stand there, on small models.

use std::fs;

use crate::harness::{Cli, Ran, golden, initializer, root};

/// What a command line has beyond the README's: the small model, and few steps.
struct Official {
    cli: Cli,
    model: &'static str,
}

impl Official {
    /// `sd` or `ldm`, with pictures.
    fn new(model: &'static str) -> Self {
        Self { cli: Cli::with_pictures_of("teal-robot"), model }
    }

    /// Words that the small models know, and what steers clear of long runs.
    fn train(&self, line: &str) -> Ran {
        let folder = golden().join(format!("models/tiny-{}", self.model));
        let word = initializer(if self.model == "sd" { "clip" } else { "bert" });
        let clip = root().join("models/pretrained/dvar-tiny-emoji/clip");
        let line = line.replace("WORD", &word).replace("CLIP", clip.to_str().unwrap());
        let folder = folder.to_str().unwrap();
        let mut args = vec!["train", "-m", self.model, "--pretrained_model_name_or_path", folder];
        args.extend(["--train_data_dir=pictures", "--placeholder_token=inversion-cat_statue"]);
        args.extend(line.split_whitespace());
        args.extend(["--device", "cpu", "--sample_steps", "1", "--output_dir", "run"]);
        self.cli.run(&args)
    }

    fn config(&self) -> toml::Table {
        toml::from_str(&self.text("config.toml")).unwrap()
    }

    fn result(&self) -> serde_json::Value {
        self.cli.json("run/result.json")
    }

    fn metrics(&self) -> Vec<serde_json::Value> {
        self.cli.metrics("run")
    }

    fn text(&self, name: &str) -> String {
        String::from_utf8(self.cli.read(&format!("run/{name}"))).unwrap()
    }

    fn has(&self, name: &str) -> bool {
        self.cli.path("run").join(name).exists()
    }
}

/// Asserts some keys of a run's configuration.
fn assert_config(config: &toml::Table, expected: &str) {
    let expected: toml::Table = toml::from_str(expected).unwrap();
    for (key, value) in expected {
        assert_eq!(config.get(&key), Some(&value), "{key}");
    }
}

#[test]
fn the_baseline_keeps_the_best_of_its_scored_checkpoints() {
    for (model, batch) in [("sd", 4), ("ldm", 8)] {
        let run = Official::new(model);
        let ran = run.train(&format!(
            "--init_strategy best --train_batch_size={batch} --save_steps 500 --max_train_steps 6100
             --learning_rate 5e-3 --scale_lr --log_unscaled --sample_frequency 500 --n_val_prompts 8
             --variant vanilla --mixed_precision fp16 --logger wandb --seed 59
             --clip_path CLIP --max_train_steps 4 --sample_frequency 2"
        ));
        let notes = ran.stderr.clone();
        let said = ran.ok();
        assert!(notes.contains("note: these are flags of the official code"), "{notes}");
        assert!(said.contains("the best of all checkpoints, scored every 2 steps"), "{said}");
        assert_config(
            &run.config(),
            &format!(
                "stopping = 'baseline'\ninit_strategy = 'best'\ntrain_batch_size = {batch}
                 learning_rate = 5e-3\nscale_lr = true\nsave_steps = 500\nnum_samples = 8
                 log_unscaled = true\nmixed_precision = 'fp16'\nlogger = 'wandb'\nseed = 59
                 crop = 'squash'\nmax_train_steps = 4"
            ),
        );
        let result = run.result();
        assert_eq!(result["steps"], 4);
        assert!(result["initializer_token"].is_string(), "{result}");
        let metrics = run.metrics();
        let score = |step: usize| metrics[step - 1]["clip_i"].as_f64().unwrap();
        let best = if score(4) > score(2) { 4 } else { 2 };
        assert_eq!(result["kept_steps"], best);
        let [guided, unscaled] = ["samples_after.png", "samples_unscaled.png"]
            .map(|sheet| run.cli.read(&format!("run/{sheet}")));
        assert!(guided != unscaled, "these are drawn without guidance");
    }
}

#[test]
fn few_iterations_draw_nothing_on_the_way_and_fp16_is_answered() {
    for (model, steps) in [("sd", 750), ("ldm", 445)] {
        let run = Official::new(model);
        let said = run
            .train(&format!(
                "--init_strategy best --train_batch_size=4
                 --save_steps 100 --max_train_steps {steps} --learning_rate 5e-3 --scale_lr
                 --sample_frequency -1 --n_val_prompts 8 --variant short_iters
                 --mixed_precision fp16 --logger wandb --seed 59
                 --clip_path CLIP --max_train_steps 2"
            ))
            .ok();
        assert!(said.contains("precision  fp16"), "{said}");
        assert_config(&run.config(), "stopping = 'few-iters'\nsample_frequency = 0\nseed = 59");
        assert_eq!((run.result()["steps"].as_u64(), run.metrics().len()), (Some(2), 2));
        assert!(run.metrics()[0].get("eval_loss").is_none(), "nothing is evaluated");
        assert!(!run.has("checkpoints"));
        let logs: Vec<_> = fs::read_dir(run.cli.path("run/logs/wandb")).unwrap().collect();
        let name = logs[0].as_ref().unwrap().file_name();
        assert!(name.to_string_lossy().starts_with("offline-run-"), "{name:?}");
    }
}

#[test]
fn clip_s_takes_eps_and_patience_for_scores() {
    let run = Official::new("sd");
    // no score exceeds the first one by 2
    run.train(
        "--init_strategy best --train_batch_size=4 --save_steps 50 --max_train_steps 6100
         --learning_rate 5e-3 --scale_lr --sample_frequency 50 --n_val_prompts 8
         --variant clip_early_stopping --early_stop_eps 0.05 --early_stop_patience 5
         --mixed_precision fp16 --logger wandb --seed 59
         --clip_path CLIP --n_val_prompts 1 --sample_frequency 1 --early_stop_eps 2
         --early_stop_patience 2 --early_stop_freq 1",
    )
    .ok();
    assert_config(&run.config(), "stopping = 'clip-s'\nmin_delta = 2.0\npatience = 2");
    let stop = &run.result()["stop"];
    assert_eq!((stop["reason"].as_str(), run.metrics().len()), (Some("no_improvement"), 4));
}

#[test]
fn dvar_takes_eps_and_patience_for_threshold_and_window() {
    for model in ["sd", "ldm"] {
        let run = Official::new(model);
        let said = run
            .train(
                "--init_strategy best --train_batch_size=4 --eval_batch_size=4 --save_steps 100
                 --max_train_steps 6100 --learning_rate 5e-3 --scale_lr --sample_frequency -1
                 --n_val_prompts 8 --variant dvar_early_stopping --early_stop_eps 0.39
                 --early_stop_patience 282 --mixed_precision fp16 --logger tensorboard --seed 59
                 --clip_path CLIP --early_stop_patience 3 --early_stop_eps 0.999 --max_train_steps 30",
            )
            .ok();
        assert!(said.contains("DVAR, window 3, threshold 0.999"), "{said}");
        assert_config(
            &run.config(),
            "stopping = 'dvar'\nwindow = 3\nthreshold = 0.999\nlogger = 'tensorboard'",
        );
        let (result, metrics) = (run.result(), run.metrics());
        assert_eq!(result["stop"]["reason"], "dvar", "{result}");
        assert!(metrics.len() < 30 && metrics.last().unwrap()["ratio"].as_f64().unwrap() < 0.999);
    }
}

#[test]
fn the_semi_deterministic_study_redraws_what_its_code_says() {
    let run = Official::new("sd");
    run.train(
        "--max_train_steps 2500 --init_strategy best --train_batch_size=4 --eval_batch_size=8
         --save_steps 100 --learning_rate 5e-3 --scale_lr --sample_frequency 50 --n_val_prompts 8
         --variant dvar_early_stopping --early_stop_eps 0 --early_stop_patience 2501
         --exp_code 11110 --mixed_precision fp16 --eval_gradient_accumulation_steps 2
         --logger wandb --seed 59 --clip_path CLIP --max_train_steps 3",
    )
    .ok();
    assert_config(
        &run.config(),
        "exp_code = '11110'\neval_batch_size = 8\neval_gradient_accumulation_steps = 2
         threshold = 0.0\nwindow = 2501\nsample_frequency = 50",
    );
    assert_eq!(run.metrics().len(), 3, "a threshold of 0 never stops");
}

#[test]
fn dreambooth_and_custom_diffusion_have_the_official_names() {
    for (method, steps, files) in [
        (
            "dreambooth",
            1000,
            ["run/pytorch_lora_weights.safetensors", "run/learned_embeds.safetensors"],
        ),
        (
            "custom",
            500,
            ["run/pytorch_custom_diffusion_weights.safetensors", "classes/class-0001.png"],
        ),
    ] {
        let run = Official::new("sd");
        let mut line = format!(
            "--method {method} --variant dvar_early_stopping --initializer_token WORD
             --max_train_steps {steps} --save_steps 6100 --learning_rate 1e-5 --scale_lr
             --sample_frequency -1 --n_train_prompts 8 --early_stop_patience 180
             --early_stop_eps 0.15 --mixed_precision fp16 --logger wandb --sample_steps 50
             --n_images_per_val_prompt 2 --validation_prompts {{}}-on-snow,blue-{{}} --seed 59
             --guidance 6 --class_prompt cat_statue --class_data_dir=classes --triple
             --num_class_images 2 --max_train_steps 2"
        );
        if method == "dreambooth" {
            line += " --center_crop";
        }
        run.train(&line).ok();
        let (crop, own) = match method {
            "dreambooth" => ("center", "dreambooth-lora"),
            _ => ("squash", "custom-diffusion"),
        };
        assert_config(
            &run.config(),
            &format!(
                "method = '{own}'\nclass_prompt = 'cat statue'\ncrop = '{crop}'\ntriple = true
                 guidance_scale = 6.0\nn_images_per_val_prompt = 2
                 validation_prompt = ['{{}}-on-snow', 'blue-{{}}']"
            ),
        );
        for interval in ["begin", "middle", "end"] {
            let loss = &run.metrics()[1][format!("eval_loss_{interval}")];
            assert!(loss.as_f64().unwrap() > 0.0, "{interval}: {loss}");
        }
        let drawn = run.cli.json("run/samples/prompts.json");
        assert_eq!(drawn.as_array().unwrap().len(), 4, "two pictures of each of two prompts");
        for file in files {
            assert!(run.cli.path(file).is_file(), "{file} is missing");
        }
    }
}

#[test]
fn official_spelling_and_our_own_make_the_same_run() {
    let official = Official::new("sd");
    official
        .train("--initializer_token WORD --variant short_iters --weight_decay 0.1 --center_crop --max_train_steps 1")
        .ok();
    let config = official.config();
    let cli = &official.cli;
    let model = config["model"].as_str().unwrap();
    let word = config["initializer_token"].as_str().unwrap();
    cli.run(&[
        "train",
        "--preset",
        "official",
        "--model",
        model,
        "--train-data-dir",
        "pictures",
        "--placeholder-token",
        "inversion-cat_statue",
        "--initializer-token",
        word,
        "--stopping",
        "few-iters",
        "--adam-weight-decay",
        "0.1",
        "--crop",
        "center",
        "--max-train-steps",
        "1",
        "--num-inference-steps",
        "1",
        "--device",
        "cpu",
        "-o",
        "own",
    ])
    .ok();
    for file in ["config.toml", "metrics.jsonl", "learned_embeds.safetensors"] {
        assert_eq!(cli.read(&format!("run/{file}")), cli.read(&format!("own/{file}")), "{file}");
    }
}

#[test]
fn a_flag_without_a_meaning_says_so_in_one_line() {
    let run = Official::new("sd");
    let ran = run.train(
        "--init_strategy manual --initialization_token WORD --variant short_iters
         --max_train_steps 1 --repeats 100
         --num_train_epochs 3 --offline_mode --logging_dir logs --local_rank -1
         --tokenizer_name none --sample_before_start --save_pipeline --pipeline_output_dir out
         --template_set default --early_stop_eps 0.3 --sam_adaptive False",
    );
    let notes: Vec<&str> = ran.stderr.lines().filter(|line| line.starts_with("note: ")).collect();
    for flag in [
        "repeats",
        "num_train_epochs",
        "offline_mode",
        "logging_dir",
        "local_rank",
        "tokenizer_name",
        "sample_before_start",
        "save_pipeline",
        "pipeline_output_dir",
        "template_set",
        "early_stop_eps",
        "sam_adaptive",
    ] {
        let about = notes.iter().filter(|note| note.starts_with(&format!("note: `--{flag}")));
        assert_eq!(about.count(), 1, "{flag}: {notes:?}");
    }
    assert_eq!(notes.len(), 13, "and one on the defaults");
    ran.ok();
    assert_config(
        &run.config(),
        "init_strategy = 'token'\nsam_adaptive = false\ntrain_batch_size = 2\nlr_warmup_steps = 500
         logger = 'tensorboard'",
    );
}

#[test]
fn what_neither_program_has_is_refused() {
    let run = Official::new("sd");
    let refused = |line: &str, what: &str| {
        let ran = run.train(line);
        assert_eq!(ran.code, Some(2), "{ran:?}");
        assert!(ran.stderr.contains(what), "{}", ran.stderr);
        assert!(!run.cli.path("run").exists());
    };
    refused("--no_such_flag 3", "unexpected argument '--no-such-flag'");
    refused("--variant fastest", "`--variant` is `fastest`; give `vanilla`");
    refused("--exp_code 1111", "five digits");
    refused(
        "--initializer_token WORD --variant dvar_early_stopping --triple --eval_batch_size 400",
        "`triple` evaluates 400 inputs",
    );
}
