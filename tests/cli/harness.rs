//! Runs the program in a folder of its own.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Child, Command, Output},
    thread,
    time::{Duration, Instant},
};

use serde_json::Value;
use tempfile::TempDir;

#[path = "../support/golden_sets.rs"]
mod golden_sets;

pub use golden_sets::{golden, golden_more};

/// A scratch folder to run the program in.
pub struct Cli {
    dir: TempDir,
}

/// What a run of the program gave.
#[derive(Debug)]
pub struct Ran {
    pub code: Option<i32>,
    pub stdout: String,
    pub stderr: String,
}

/// The repository's root.
pub fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// A word that the golden model's tokenizer, `clip` or `bert`, has as one token.
pub fn initializer(tokenizer: &str) -> String {
    let file = golden().join(format!("golden/tokenizer_{tokenizer}.json"));
    let golden: Value = serde_json::from_slice(&fs::read(file).unwrap()).unwrap();
    golden["initializer"].as_str().unwrap().into()
}

/// Settings that make a run small: one step of sampling, single inputs. The rest is what the default
/// model does not leave as it is elsewhere.
pub const SMALL: &str = "\
stopping = \"dvar\"
learning_rate = 0.001
min_timestep = 0
flip = 0.5
preserve_embedding_norm = false
eval_interval = 1
num_inference_steps = 1
train_batch_size = 1
eval_batch_size = 1
window = 3
threshold = 0.0
save_steps = 3
max_train_steps = 8
";

impl Cli {
    pub fn new() -> Self {
        let temporary = std::env::temp_dir();
        // on macOS a link leads there, and a program is told where to
        let temporary = if cfg!(unix) { temporary.canonicalize().unwrap() } else { temporary };
        let cli = Self { dir: TempDir::new_in(temporary).expect("a scratch folder") };
        fs::write(cli.path("small.toml"), SMALL).expect("the scratch folder is writable");
        cli
    }

    /// A scratch folder with a shipped concept's pictures in `pictures`.
    pub fn with_pictures_of(concept: &str) -> Self {
        let cli = Self::new();
        cli.concept(concept, "pictures");
        cli
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// Copies a shipped concept's pictures to `name`.
    pub fn concept(&self, concept: &str, name: &str) -> PathBuf {
        self.copy_folder(&root().join("examples/concepts").join(concept), name)
    }

    /// Copies the small default model to `name`.
    pub fn copy_model(&self, name: &str) -> PathBuf {
        self.copy_folder(&root().join("models/pretrained/dvar-tiny-emoji"), name)
    }

    /// Copies a folder to `name`.
    pub fn copy_folder(&self, from: &Path, name: &str) -> PathBuf {
        fn copy(from: &Path, to: &Path) {
            fs::create_dir_all(to).unwrap();
            for entry in fs::read_dir(from).unwrap() {
                let entry = entry.unwrap();
                let target = to.join(entry.file_name());
                if entry.path().is_dir() {
                    copy(&entry.path(), &target)
                } else {
                    fs::copy(entry.path(), target).map(drop).unwrap()
                }
            }
        }
        let to = self.path(name);
        copy(from, &to);
        to
    }

    pub fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_dvar"));
        command.args(args).current_dir(self.dir.path()).env_remove("NO_COLOR");
        command
    }

    pub fn run(&self, args: &[&str]) -> Ran {
        self.ran(self.command(args).output().expect("the program starts"))
    }

    /// The same with so many KiB of address space.
    #[cfg(target_os = "linux")]
    pub fn run_within(&self, kib: u32, args: &[&str]) -> Ran {
        let program = self.command(args);
        let mut limited = Command::new("sh");
        limited.args(["-c", &format!("ulimit -v {kib} && exec \"$0\" \"$@\"")]);
        limited.arg(program.get_program()).args(program.get_args()).current_dir(self.dir.path());
        self.ran(limited.output().expect("the program starts"))
    }

    pub fn ran(&self, output: Output) -> Ran {
        let text = |bytes: &[u8]| {
            let said = String::from_utf8_lossy(bytes);
            let said = said.replace(&*self.dir.path().to_string_lossy(), "[DIR]");
            if cfg!(windows) { as_on_unix(&said) } else { said }
        };
        Ran {
            code: output.status.code(),
            stdout: text(&output.stdout),
            stderr: text(&output.stderr),
        }
    }

    /// `dvar train` on the pictures in `pictures`, small, with more arguments.
    pub fn train(&self, more: &[&str]) -> Ran {
        self.run(&train_args(more))
    }

    pub fn read(&self, name: &str) -> Vec<u8> {
        fs::read(self.path(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
    }

    pub fn json(&self, name: &str) -> Value {
        serde_json::from_slice(&self.read(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
    }

    /// The records of a run's steps.
    pub fn metrics(&self, run: &str) -> Vec<Value> {
        let text = String::from_utf8(self.read(&format!("{run}/metrics.jsonl"))).unwrap();
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }
}

/// What the program says on Windows, as it says it elsewhere.
fn as_on_unix(said: &str) -> String {
    said.replace('\\', "/")
        .replace("The system cannot find the file specified.", "No such file or directory")
}

/// The arguments of a small training run.
pub fn train_args<'a>(more: &[&'a str]) -> Vec<&'a str> {
    let base = [
        "train",
        "--config",
        "small.toml",
        "--train-data-dir",
        "pictures",
        "--placeholder-token",
        "<umb>",
        "--initializer-token",
        "umbrella",
        "--device",
        "cpu",
    ];
    base.into_iter().chain(more.iter().copied()).collect()
}

impl Ran {
    /// Asserts success and gives what was printed.
    pub fn ok(self) -> String {
        assert_eq!(self.code, Some(0), "{self:?}");
        self.stdout
    }
}

/// Waits for something that a running program does, for a minute at most.
pub fn wait_for(child: &mut Child, done: impl Fn() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(60);
    while !done() {
        assert!(child.try_wait().unwrap().is_none(), "the program ended early");
        assert!(Instant::now() < deadline, "the program is too slow");
        thread::sleep(Duration::from_millis(10));
    }
}

/// Sends a signal, such as `INT`, to a running program.
#[cfg(unix)]
pub fn signal(name: &str, child: &Child) {
    let sent = Command::new("kill").args([format!("-{name}"), child.id().to_string()]).status();
    assert!(sent.expect("kill runs").success());
}
