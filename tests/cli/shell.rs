//! What the program writes for shells and `man`.

use crate::harness::Cli;

#[cfg(unix)]
#[test]
fn a_reader_that_goes_ends_the_program_and_is_no_panic() {
    use std::os::unix::process::ExitStatusExt;

    let cli = Cli::new();
    for args in [&["completions", "bash"][..], &["man"], &["info", "embedded"]] {
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let output = cli.command(args).stdout(writer).output().unwrap();
        assert_eq!(output.status.signal(), Some(13), "SIGPIPE: {args:?} {output:?}");
        assert!(output.stderr.is_empty(), "{args:?} {output:?}");
    }
}

#[cfg(target_os = "linux")]
#[test]
fn a_stdout_that_is_full_is_an_error_and_no_panic() {
    let cli = Cli::new();
    for args in [&["completions", "bash"][..], &["man"], &["info", "embedded"]] {
        let full = std::fs::File::options().write(true).open("/dev/full").unwrap();
        let ran = cli.ran(cli.command(args).stdout(full).output().unwrap());
        assert_eq!(ran.code, Some(1), "{args:?} {ran:?}");
        let told = "error: cannot write to stdout: No space left on device (os error 28)\n";
        assert_eq!(ran.stderr, told, "{args:?}");
    }
}

#[cfg(target_os = "linux")]
#[test]
fn a_stderr_that_is_full_ends_no_command_and_changes_no_exit_code() {
    let cli = Cli::with_pictures_of("koala");
    let run = ["-o", "run", "--max-train-steps", "2", "--num-samples", "1", "--lora-rank", "8"];
    for (args, code) in [(crate::harness::train_args(&run), 0), (vec!["info", "none"], 2)] {
        let full = std::fs::File::options().write(true).open("/dev/full").unwrap();
        let ran = cli.ran(cli.command(&args).stderr(full).output().unwrap());
        assert_eq!(ran.code, Some(code), "{args:?} {ran:?}");
    }
    assert!(cli.path("run/result.json").is_file());
}

#[test]
fn every_shell_gets_a_script_that_completes_the_commands() {
    let cli = Cli::new();
    for shell in ["bash", "elvish", "fish", "powershell", "zsh"] {
        let script = cli.run(&["completions", shell]).ok();
        for word in ["train", "generate", "train-data-dir"] {
            assert!(script.contains(word), "{shell}: {word}");
        }
    }
    let refused = cli.run(&["completions", "cmd"]);
    assert_eq!(refused.code, Some(2), "{refused:?}");
}

#[test]
fn man_pages_are_written_for_every_command_with_the_defaults() {
    let cli = Cli::new();
    assert!(cli.run(&["man"]).ok().contains(".TH dvar 1"));
    cli.run(&["man", "pages"]).ok();
    let train = String::from_utf8(cli.read("pages/dvar-train.1")).unwrap();
    assert!(train.contains("train\\-data\\-dir") && train.contains("default: 282"), "{train}");
    assert!(cli.path("pages/dvar.1").is_file() && cli.path("pages/dvar-generate.1").is_file());
}
