//! Every way in which input can be bad gives one clear message and exit code 2, and never a
//! panic. The messages are kept in `snapshots/`: read them when they change.

use std::{fmt::Write as _, fs};

use crate::harness::{Cli, Ran};

mod learned;
mod models;

/// Collects messages for one snapshot.
#[derive(Default)]
struct Messages(String);

impl Messages {
    fn refused(&mut self, case: &str, ran: Ran) {
        assert_eq!(ran.code, Some(2), "{case}: {ran:?}");
        assert!(!ran.stderr.contains("panicked"), "{case}: {ran:?}");
        assert!(ran.stderr.starts_with("error: "), "{case}: {ran:?}");
        writeln!(self.0, "{case}\n    {}", ran.stderr.trim_end()).unwrap();
    }
}

fn png(width: u32, height: u32) -> Vec<u8> {
    let pixels = vec![90; (width * height * 3) as usize];
    dvar::data::png::encode_png(width as usize, height as usize, &pixels).unwrap()
}

/// A PNG header that claims a size, with no pixels behind it.
fn png_header(width: u32, height: u32) -> Vec<u8> {
    let mut file = png(16, 16);
    file[16..20].copy_from_slice(&width.to_be_bytes());
    file[20..24].copy_from_slice(&height.to_be_bytes());
    let checksum = crc32fast::hash(&file[12..29]);
    file[29..33].copy_from_slice(&checksum.to_be_bytes());
    file
}

#[test]
fn bad_pictures() {
    let mut messages = Messages::default();
    let cli = Cli::new();
    messages.refused("no such folder", cli.train(&[]));
    fs::write(cli.path("pictures"), "").unwrap();
    messages.refused("a file instead of a folder", cli.train(&[]));
    fs::remove_file(cli.path("pictures")).unwrap();
    fs::create_dir(cli.path("pictures")).unwrap();
    messages.refused("an empty folder", cli.train(&[]));
    fs::write(cli.path("pictures/notes.txt"), "hello").unwrap();
    messages.refused("a folder without pictures", cli.train(&[]));
    let good = png(64, 64);
    let mut corrupt = good.clone();
    let middle = corrupt.len() / 2;
    corrupt[middle..middle + 8].fill(0xAA);
    for (case, bytes) in [
        ("a corrupt picture", corrupt),
        ("a truncated picture", good[..good.len() / 2].to_vec()),
        ("a picture of no bytes", Vec::new()),
        ("a picture of 1 x 1", png(1, 1)),
        ("a text named .png", b"this is a text".to_vec()),
        ("a header of 30,000 x 30,000", png_header(30_000, 30_000)),
    ] {
        fs::write(cli.path("pictures/a.png"), bytes).unwrap();
        messages.refused(case, cli.train(&[]));
    }
    insta::assert_snapshot!(messages.0);
}

#[test]
fn bad_options() {
    let mut messages = Messages::default();
    let cli = Cli::with_pictures_of("koala");
    for (case, args) in [
        ("a placeholder that is a token", ["--placeholder-token", "umbrella"]),
        ("an empty placeholder", ["--placeholder-token", ""]),
        ("a placeholder that splits", ["--placeholder-token", "<my cat>"]),
        ("a huge batch", ["--train-batch-size", "100000000"]),
        ("a huge resolution", ["--resolution", "100000"]),
        ("a seed that no file can hold", ["--seed", "18446744073709551615"]),
        ("a window that no file can hold", ["--window", "18446744073709551615"]),
        ("a validation prompt without the concept", ["--validation-prompt", "a photo"]),
        ("an initializer of several tokens", ["--initializer-token", "blue umbrella"]),
        ("an initializer that is empty", ["--initializer-token", ""]),
        ("window 0", ["--window", "0"]),
        ("window 1", ["--window", "1"]),
        ("a negative threshold", ["--threshold=-0.1", "--seed=0"]),
        ("a threshold of NaN", ["--threshold", "NaN"]),
        ("a threshold of 1", ["--threshold", "1"]),
        ("a threshold above 1", ["--threshold", "1.5"]),
        ("batch 0", ["--train-batch-size", "0"]),
        ("a learning rate of NaN", ["--learning-rate", "NaN"]),
        ("a learning rate of 0", ["--learning-rate", "0"]),
        ("no steps", ["--max-train-steps", "0"]),
        ("more steps at least than at most", ["--min-train-steps", "7000"]),
        ("an odd resolution", ["--resolution", "63"]),
        ("an unknown schedule", ["--lr-scheduler", "cosin"]),
    ] {
        let ran = cli.train(&args);
        messages.refused(case, ran);
    }
    // the known devices depend on the build's features, so this one is no snapshot
    let ran = cli.train(&["--device", "tpu"]);
    assert_eq!(ran.code, Some(2), "{ran:?}");
    assert!(
        ran.stderr.starts_with("error: unknown device `tpu`; this build knows auto, "),
        "{ran:?}"
    );
    insta::assert_snapshot!(messages.0);
}

#[test]
fn bad_configurations() {
    let mut messages = Messages::default();
    let cli = Cli::with_pictures_of("koala");
    messages.refused("nothing said", cli.run(&["train"]));
    for (case, text) in [
        ("an unknown key", "windw = 3"),
        ("a value of another type", "window = \"many\""),
        ("no TOML at all", "{ \"window\": 3 }"),
    ] {
        fs::write(cli.path("bad.toml"), text).unwrap();
        messages.refused(case, cli.run(&["train", "--config", "bad.toml"]));
    }
    fs::write(
        cli.path("bad.toml"),
        format!(
            "{}num_inference_steps = 5000",
            crate::harness::SMALL.replace("num_inference_steps = 1", "")
        ),
    )
    .unwrap();
    messages.refused(
        "more denoising steps than steps of training",
        cli.train(&["--config", "bad.toml"]),
    );
    messages.refused("no such configuration", cli.run(&["train", "--config", "none.toml"]));
    messages.refused("resuming what is no run", cli.run(&["train", "--resume", "pictures"]));
    messages.refused(
        "resuming with other options",
        cli.run(&["train", "--resume", "pictures", "--seed", "1"]),
    );
    insta::assert_snapshot!(messages.0);
}

#[test]
fn bad_outputs() {
    let mut messages = Messages::default();
    let cli = Cli::with_pictures_of("koala");
    messages.refused("an output folder that exists", cli.train(&["-o", "pictures"]));
    messages.refused("an output folder that is a file", cli.train(&["-o", "small.toml"]));
    messages.refused("an output folder below a file", cli.train(&["-o", "small.toml/run"]));
    insta::assert_snapshot!(messages.0);
}

#[cfg(target_os = "linux")]
#[test]
fn an_output_folder_that_cannot_be_created_is_refused() {
    let cli = Cli::with_pictures_of("koala");
    // a folder of the kernel's, where not even root can create one
    let ran = cli.train(&["-o", "/proc/dvar-run"]);
    assert_eq!(ran.code, Some(2), "{ran:?}");
    let told = "the output folder `/proc/dvar-run` cannot be created (No such file or directory";
    assert!(ran.stderr.contains(told), "{ran:?}");
}

/// A limit on the size of written files stands in for a disk that is full: the write fails midway.
#[cfg(target_os = "linux")]
fn on_a_full_disk(cli: &Cli, args: &[&str]) -> Ran {
    let (dvar, args) = (env!("CARGO_BIN_EXE_dvar"), args.join("' '"));
    let script = format!("trap '' XFSZ; ulimit -f 4; exec '{dvar}' '{args}'");
    let mut command = std::process::Command::new("bash");
    let output = command.args(["-c", &script]).current_dir(cli.path(".")).output().unwrap();
    let ran = cli.ran(output);
    assert_eq!(ran.code, Some(1), "{ran:?}");
    ran
}

#[cfg(target_os = "linux")]
#[test]
fn a_merge_that_fails_leaves_nothing_in_the_way_of_the_next() {
    let cli = Cli::with_pictures_of("koala");
    let lora = ["--method", "dreambooth-lora", "--max-train-steps", "1", "--num-samples", "1"];
    cli.train(&[&lora[..], &["-o", "run"]].concat()).ok();
    let ran = on_a_full_disk(&cli, &["merge", "run"]);
    assert!(ran.stderr.contains("cannot write `merged/unet/"), "{ran:?}");
    assert!(!cli.path("merged").exists());
    cli.run(&["merge", "run"]).ok();
}

#[cfg(target_os = "linux")]
#[test]
fn a_full_disk_leaves_no_half_written_file() {
    let cli = Cli::with_pictures_of("koala");
    let ran = on_a_full_disk(&cli, &crate::harness::train_args(&["-o", "run"]));
    assert!(ran.stderr.contains("cannot write `run/samples_before.png`"), "{ran:?}");
    let left: Vec<_> =
        fs::read_dir(cli.path("run")).unwrap().map(|e| e.unwrap().file_name()).collect();
    assert!(!left.iter().any(|name| name.to_string_lossy().contains("samples")), "{left:?}");
}
