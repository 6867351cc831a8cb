//! Command lines of the official code, and what becomes of them.

use clap::Parser;

use super::{
    flags::{FLAGS, Flag},
    *,
};
use crate::cli::Cli;

const DOCS: &str = include_str!("../../../docs/official-flags.md");

fn translated(line: &str) -> Translated {
    translate(line.split_whitespace().map(OsString::from).collect()).unwrap()
}

/// What a line becomes, without what every official line begins with, and its scorer.
fn args(line: &str) -> Vec<String> {
    let args = translated(line).args;
    let args: Vec<_> = args.iter().map(|arg| arg.to_string_lossy().into_owned()).collect();
    assert_eq!(args[..3], ["dvar", "train", "--preset=official"]);
    let given = line.contains("--clip_path");
    args[3..].iter().filter(|arg| given || !arg.starts_with("--clip=")).cloned().collect()
}

/// Any value that the flag takes.
fn example(flag: &Flag) -> &'static str {
    match flag.name {
        "init_strategy" => "best",
        "method" => "dreambooth",
        "learnable_property" => "style",
        "mixed_precision" => "fp16",
        "optimizer" => "sam",
        "lr_scheduler" => "cosine_with_restarts",
        "variant" => "dvar_early_stopping",
        "exp_code" => "10101",
        "sam_adaptive" => "True",
        "logger" => "wandb",
        "learning_rate" => "5e-3",
        name if name.starts_with("adam_") || name.starts_with("sam_") => "0.5",
        "weight_decay" | "guidance" | "early_stop_eps" => "0.5",
        _ => "7",
    }
}

#[test]
fn other_command_lines_stay_as_they_are() {
    for line in [
        "dvar",
        "dvar train",
        "dvar train -m sd --seed 3 --num_vectors 2 --scale-lr --triple --method custom",
        "dvar generate --train_data_dir x",
        "dvar train --train-data-dir my_pictures --placeholder-token a_b",
        "dvar train --resume my_run --max_train_steps 9",
    ] {
        let words: Vec<OsString> = line.split_whitespace().map(OsString::from).collect();
        let Translated { args, notes } = translate(words.clone()).unwrap();
        assert_eq!((args, notes.len()), (words, 0));
    }
}

#[test]
fn values_stand_behind_an_equals_sign_or_in_the_next_word() {
    assert_eq!(args("dvar train --save_steps=5"), ["--save-steps=5"]);
    assert_eq!(args("dvar train --save_steps 5"), ["--save-steps=5"]);
    assert_eq!(
        args("dvar train --sample_frequency -1 --variant short_iters")[0],
        "--sample-frequency=0"
    );
    assert_eq!(
        args(
            "dvar train -m sd -o out --scale_lr --lora_rank 2 --lora_scale=2 --train_data_dir --triple"
        ),
        [
            "--model=sd",
            "-o",
            "out",
            "--scale-lr",
            "--lora-rank",
            "2",
            "--lora-scale=2",
            "--train-data-dir",
            "--triple"
        ]
    );
}

#[test]
fn every_flag_is_translated_to_one_that_this_program_has_or_noted() {
    for flag in &FLAGS {
        let value = if flag.takes_value { example(flag) } else { "" };
        let line = format!("dvar train --variant dvar_early_stopping --{} {value}", flag.name);
        let Translated { args, notes } = translated(&line);
        let said = notes.iter().any(|note| note.starts_with(&format!("`--{}`", flag.name)));
        assert_eq!(said, matches!(flag.here, Translation::Nothing(_)), "{line}: {notes:?}");
        let parsed = Cli::try_parse_from(&args);
        assert!(parsed.is_ok(), "{line}: {}", parsed.unwrap_err());
    }
}

#[test]
fn the_docs_have_every_flag_and_no_other() {
    let rows: Vec<Vec<&str>> = DOCS
        .lines()
        .filter(|line| line.starts_with("| `--"))
        .map(|line| line.split('|').map(str::trim).collect())
        .collect();
    let names: Vec<String> = rows.iter().map(|row| row[1].replace("`", "")).collect();
    let known: Vec<String> = FLAGS.iter().map(|flag| format!("--{}", flag.name)).collect();
    assert_eq!(names, known, "the same flags in the same order");
    for (flag, row) in FLAGS.iter().zip(rows) {
        let here = match &flag.here {
            Translation::Same => vec![format!("`--{}`", flag.name.replace('_', "-"))],
            Translation::Renamed(name) => vec![format!("`--{name}`")],
            Translation::Depends(rule) => {
                rule.names().iter().map(|name| format!("`--{name}")).collect()
            }
            Translation::Nothing(_) => vec!["none".into()],
        };
        assert!(here.iter().all(|name| row[3].contains(name)), "{row:?} lacks {here:?}");
    }
}

#[test]
fn early_stopping_means_what_the_variant_makes_of_it() {
    let stop = "--early_stop_eps 0.3 --early_stop_patience 9 --early_stop_freq 2";
    let dvar = args(&format!("dvar train {stop} --variant dvar_early_stopping"));
    assert_eq!(dvar, ["--threshold=0.3", "--window=9", "--eval-interval=2", "--stopping=dvar"]);
    let clip = format!("dvar train {stop} --variant clip_early_stopping");
    assert_eq!(args(&clip), ["--min-delta=0.3", "--patience=9", "--stopping=clip-s"]);
    assert!(translated(&clip).notes[1].contains("`--early_stop_freq` does nothing"));
    assert_eq!(args(&format!("dvar train {stop}")), [""; 0]);
    assert_eq!(translated(&format!("dvar train {stop}")).notes.len(), 4);
    let own = translated(&format!("dvar train --preset neurips-inversion {stop}"));
    assert!(own.args.contains(&"--threshold=0.3".into()), "that preset stops by DVAR");
    let own = translated("dvar train --stopping clip-s --sample_frequency -1 --early_stop_eps 0.3");
    assert_eq!(own.args.last().unwrap(), "--threshold=0.3", "our own flag is not overruled");
}

#[test]
fn a_line_for_several_processes_is_told_how_one_takes_several_devices() {
    let notes = translated("dvar train --local_rank 1").notes;
    assert!(notes[1].contains("`--device cuda:0,cuda:1` shares its steps"), "{notes:?}");
}

#[test]
fn a_path_wins_over_the_models_short_name_wherever_it_stands() {
    let path = args("dvar train --pretrained_model_name_or_path here --method custom -m sd");
    assert_eq!(path.last().unwrap(), "--model=here");
    let none = args("dvar train --pretrained_model_name_or_path= -m ldm --method custom");
    assert_eq!(none, ["--model=ldm", "--method=custom"]);
    for line in ["--variant short_iters --method custom", "--guidance 6 --method custom -msd"] {
        let custom = args(&format!("dvar train {line}"));
        assert_eq!(custom.last().unwrap(), "--model=CompVis/stable-diffusion-v1-4");
    }
    let own = translated("dvar train --guidance 6 --method custom --config run.toml");
    assert!(!format!("{:?}", own.args).contains("--model"), "the file may name one");
}

#[test]
fn what_clip_decides_is_scored_by_the_official_one() {
    let clip = OsString::from("--clip=openai/clip-vit-base-patch32");
    for line in [
        "--variant vanilla -m sd",
        "--variant clip_early_stopping -m ldm",
        "--variant dvar_early_stopping --init_strategy best",
        "--clip_path ViT-B/32 --pretrained_model_name_or_path here",
    ] {
        assert!(translated(&format!("dvar train {line}")).args.contains(&clip), "{line}");
    }
    for line in [
        "--variant dvar_early_stopping -m sd",
        "--variant vanilla --sample_frequency -1",
        "--variant vanilla --clip_path here",
        "--variant vanilla --clip here",
        "--variant vanilla --config run.toml",
        "--variant vanilla --pretrained_model_name_or_path here",
    ] {
        assert!(!translated(&format!("dvar train {line}")).args.contains(&clip), "{line}");
    }
}

#[test]
fn values_have_our_names() {
    for (official, own) in [
        ("--init_strategy manual", "--init-strategy=token"),
        ("--init_strategy worst", "--init-strategy=worst"),
        ("--initialization_token cat", "--initializer-token=cat"),
        ("--class_prompt cat_statue", "--class-prompt=cat statue"),
        ("--center_crop", "--crop=center"),
        ("--clip_path ViT-B/32", "--clip=openai/clip-vit-base-patch32"),
        ("--clip_path some/folder", "--clip=some/folder"),
        ("--sam_adaptive False", "--sam-adaptive=false"),
        ("--sam_adaptive 1", "--sam-adaptive=true"),
        ("--sam_adaptive=", "--sam-adaptive=false"),
        ("--weight_decay 0.1", "--adam-weight-decay=0.1"),
        ("--n_images_per_val_prompt 2", "--n-images-per-val-prompt=2"),
    ] {
        assert_eq!(args(&format!("dvar train {official}")), [own]);
    }
    let prompts = vec!["dvar".into(), "train".into(), "--validation_prompts=a {},two {}".into()];
    let args = translate(prompts).unwrap().args;
    assert_eq!(args[3..5], ["--validation-prompt=a {}", "--validation-prompt=two {}"]);
}

#[test]
fn what_differs_is_noted_and_what_is_wrong_is_refused() {
    assert!(
        translated("dvar train --sam_adaptive no").notes[1].contains("reads every text as true")
    );
    let unscored = translated("dvar train --sample_frequency -1");
    assert_eq!(unscored.args.last().unwrap(), "--stopping=few-iters");
    assert!(unscored.notes[1].contains("the last weights are kept"));
    assert!(translated("dvar train --n_images_per_val_prompt 0").notes.len() == 2);
    for wrong in ["--variant fast", "--sam_adaptive perhaps", "--center_crop=1"] {
        let words = format!("dvar train {wrong}");
        let words = words.split_whitespace().map(OsString::from).collect();
        let Err(CliError::Input(message)) = translate(words) else { panic!("{wrong}") };
        assert!(message.contains(wrong.split([' ', '=']).next().unwrap()), "{message}");
    }
}
