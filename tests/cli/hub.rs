//! A model by its name, from a server that answers as the Hugging Face Hub does.

use std::{
    fs,
    io::{BufRead, BufReader, Write},
    net::{TcpListener, TcpStream},
    path::Path,
    process::Command,
    thread,
};
#[cfg(unix)]
use std::{process::Stdio, time::Duration};

use crate::{
    harness::{Cli, Ran, train_args},
    pickled::pickle_weights,
};

/// The files below `folder`, by their paths in it; none where there is no such folder.
fn files(folder: &Path) -> Vec<String> {
    let mut found = Vec::new();
    let Ok(entries) = fs::read_dir(folder) else { return found };
    for entry in entries {
        let entry = entry.unwrap();
        let name = entry.file_name().into_string().unwrap();
        if entry.path().is_dir() {
            found.extend(files(&entry.path()).iter().map(|file| format!("{name}/{file}")));
        } else {
            found.push(name);
        }
    }
    found
}

/// What the Hub calls the content of a file, by the address that it is asked by.
fn etag(path: &str) -> String {
    let hash = |hash: u64, byte: u8| hash.wrapping_mul(31).wrapping_add(byte.into());
    format!("{:x}", path.bytes().fold(7, hash))
}

/// Answers one request: the list of files, or a file or the range of it that was asked for. The
/// repositories `{anyone}/{name}` are the folders `{models}/{name}`, of the commit that the file
/// `{models}/commit` names. `gated` gives its files for the token `secret` alone. While there is a file
/// `{models}/cut`, the connection breaks in the middle of each weight file; of `{models}/silent`, it ends there
/// as if that were all; of `{models}/nowhere`, each file is said to be elsewhere, and not where.
fn answer(mut stream: TcpStream, models: &Path) -> std::io::Result<()> {
    let mut lines = BufReader::new(stream.try_clone()?).lines();
    let request = lines.next().unwrap_or(Ok(String::new()))?;
    let headers: Vec<String> = lines
        .map_while(Result::ok)
        .take_while(|line| !line.is_empty())
        .map(|line| line.to_ascii_lowercase())
        .collect();
    let path = request.split_whitespace().nth(1).unwrap_or_default().to_string();
    let name = |repository: &str| repository.rsplit('/').next().unwrap_or_default().to_string();
    let commit = fs::read_to_string(models.join("commit")).unwrap_or_else(|_| "c0ffee".into());
    let (status, body) = if let Some(repository) = path.strip_prefix("/api/models/") {
        let repository = repository.trim_end_matches("/revision/main");
        let siblings: Vec<_> = files(&models.join(name(repository)))
            .iter()
            .map(|file| serde_json::json!({ "rfilename": file }))
            .collect();
        (
            "200 OK",
            serde_json::json!({ "siblings": siblings, "sha": commit }).to_string().into_bytes(),
        )
    } else {
        let (repository, file) = path.split_once("/resolve/main/").unwrap_or_default();
        let may = name(repository) != "gated"
            || headers.iter().any(|line| line == "authorization: bearer secret");
        match fs::read(models.join(name(repository)).join(file)) {
            Ok(_) if models.join("nowhere").exists() => ("304 Not Modified", Vec::new()),
            Ok(bytes) if may => ("200 OK", bytes),
            Ok(_) => ("401 Unauthorized", Vec::new()),
            Err(_) => ("404 Not Found", Vec::new()),
        }
    };
    let range = headers.iter().find_map(|line| line.strip_prefix("range: bytes="));
    let (from, to) = range.and_then(|range| range.split_once('-')).unwrap_or_default();
    let from: usize = from.parse().unwrap_or(0);
    let end = to.parse().map_or(body.len(), |to: usize| body.len().min(to + 1));
    let content_range = format!("bytes {from}-{}/{}", end.saturating_sub(1), body.len());
    let status = if from > 0 && from >= body.len() { "416 Range Not Satisfiable" } else { status };
    let body = body.get(from..end).unwrap_or_default();
    let is_half =
        |name: &str| body.len() > 1 && path.ends_with(".safetensors") && models.join(name).exists();
    if !is_half("silent") {
        write!(stream, "HTTP/1.1 {status}\r\nContent-Length: {}\r\n", body.len())?;
    } else {
        write!(stream, "HTTP/1.1 {status}\r\n")?;
    }
    write!(
        stream,
        "Content-Range: {content_range}\r\nETag: \"{}\"\r\nx-repo-commit: {commit}\r\nConnection: close\r\n\r\n",
        etag(&path),
    )?;
    let breaks = is_half("cut") || is_half("silent");
    stream.write_all(if breaks { &body[..body.len() / 2] } else { body })
}

/// Serves the folder `models`; gives the address.
fn serve(cli: &Cli) -> String {
    let models = cli.path("models");
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let endpoint = format!("http://{}", listener.local_addr().unwrap());
    thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            let models = models.clone();
            thread::spawn(move || answer(stream, &models));
        }
    });
    endpoint
}

/// An address at which nothing answers. A port that was free a moment ago may be another test's by now.
const NOWHERE: &str = "http://127.0.0.1:1";

/// A command that asks the server at `endpoint` and keeps its cache in the folder `hub`.
fn asking(cli: &Cli, endpoint: &str, args: &[&str]) -> Command {
    let mut command = cli.command(args);
    let caches = ["HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE"];
    for other in caches.into_iter().chain(["HF_TOKEN", "HF_TOKEN_PATH", "HF_HUB_OFFLINE"]) {
        command.env_remove(other);
    }
    command.env("HF_ENDPOINT", endpoint).env("HF_HOME", cli.path("hub"));
    command
}

/// The same, until it ends.
fn ask(cli: &Cli, endpoint: &str, args: &[&str]) -> Ran {
    cli.ran(asking(cli, endpoint, args).output().unwrap())
}

/// A training of one step on `model`.
fn short<'a>(model: &'a str, output: &'a str) -> Vec<&'a str> {
    train_args(&["--model", model, "-o", output, "--max-train-steps", "1"])
}

#[test]
fn the_variables_of_the_hubs_own_tools_count() {
    let cli = Cli::new();
    cli.copy_model("models/gated");
    cli.concept("koala", "pictures");
    let endpoint = format!("{}/", serve(&cli));
    let refused = ask(&cli, &endpoint, &short("someone/gated", "refused"));
    assert_eq!(refused.code, Some(2), "{refused:?}");
    assert!(refused.stderr.contains("give your token by `HF_TOKEN`"), "{refused:?}");
    let train = |output: &str, offline: &str| {
        let mut command = asking(&cli, &endpoint, &short("someone/gated", output));
        command.env("HF_HUB_CACHE", cli.path("elsewhere")).env("HF_HUB_OFFLINE", offline);
        cli.ran(command.env("HF_TOKEN", " secret\n").output().unwrap())
    };
    let none = train("none", "True");
    assert!(none.stderr.contains("`HF_HUB_OFFLINE` is set; unset it"), "{none:?}");
    assert!(!none.stderr.contains("connection"), "{none:?}");
    assert_eq!(none.code, Some(1), "{none:?}");
    train("given", "0").ok();
    assert!(cli.path("elsewhere/models--someone--gated/refs/main").exists());
    // nothing is asked, although the server would answer
    let cached = train("cached", "1");
    assert!(cached.stderr.contains("`HF_HUB_OFFLINE` is set"), "{cached:?}");
    cached.ok();
    // a token in a file: in one that is named, and where `hf auth login` leaves it
    fs::write(cli.path("secret"), "secret\n").unwrap();
    let mut named = asking(&cli, &endpoint, &short("someone/gated", "named"));
    named.env("HF_TOKEN_PATH", cli.path("secret")).env("HF_HUB_CACHE", cli.path("third"));
    cli.ran(named.output().unwrap()).ok();
    fs::create_dir_all(cli.path("hub")).unwrap();
    fs::rename(cli.path("secret"), cli.path("hub/token")).unwrap();
    ask(&cli, &endpoint, &short("someone/gated", "logged-in")).ok();
}

#[test]
fn a_model_that_is_not_read_is_refused_before_its_weights_are_downloaded() {
    let cli = Cli::new();
    let index = cli.copy_model("models/other").join("model_index.json");
    fs::write(index, r#"{"_class_name": "FluxPipeline"}"#).unwrap();
    cli.concept("koala", "pictures");
    let endpoint = serve(&cli);
    let refused = ask(&cli, &endpoint, &short("someone/other", "run"));
    assert_eq!(refused.code, Some(2), "{refused:?}");
    assert!(refused.stderr.contains("a Flux model"), "{refused:?}");
    let come = files(&cli.path("hub/hub/models--someone--other/snapshots/c0ffee"));
    assert!(come.iter().any(|file| file == "unet/config.json"), "{come:?}");
    assert!(!come.iter().any(|file| file.ends_with(".safetensors")), "{come:?}");
}

#[test]
fn a_download_that_breaks_off_is_no_missing_file_and_goes_on() {
    let cli = Cli::new();
    cli.copy_model("models/tiny-emoji");
    cli.concept("koala", "pictures");
    let endpoint = serve(&cli);
    fs::write(cli.path("models/cut"), "").unwrap();
    let train = |output: &str| ask(&cli, &endpoint, &short("someone/tiny-emoji", output));
    let broken = train("broken");
    assert_eq!(broken.code, Some(1), "{broken:?}");
    assert!(broken.stderr.contains("cannot download `someone/tiny-emoji/"), "{broken:?}");
    assert!(broken.stderr.contains("run the command again"), "{broken:?}");
    assert!(!broken.stderr.contains("in the cache"), "{broken:?}");
    let blobs = files(&cli.path("hub/hub/models--someone--tiny-emoji/blobs"));
    assert!(blobs.iter().any(|file| file.ends_with(".part")), "{blobs:?}");
    fs::remove_file(cli.path("models/cut")).unwrap();
    train("whole").ok();
}

#[test]
fn what_ends_before_its_end_without_an_error_is_not_kept() {
    let cli = Cli::new();
    cli.copy_model("models/tiny-emoji");
    cli.concept("koala", "pictures");
    let endpoint = serve(&cli);
    fs::write(cli.path("models/silent"), "").unwrap();
    let train = |output: &str| ask(&cli, &endpoint, &short("someone/tiny-emoji", output));
    let half = train("half");
    assert_eq!(half.code, Some(1), "{half:?}");
    assert!(half.stderr.contains("bytes have come in place of"), "{half:?}");
    assert!(!half.stderr.contains("in the cache"), "{half:?}");
    fs::remove_file(cli.path("models/silent")).unwrap();
    train("whole").ok();
}

#[test]
fn a_download_that_was_ended_at_its_last_byte_begins_anew() {
    let cli = Cli::new();
    let words = fs::read(cli.copy_model("models/tiny-emoji").join("words.txt")).unwrap();
    cli.concept("koala", "pictures");
    let endpoint = serve(&cli);
    let blobs = cli.path("hub/hub/models--someone--tiny-emoji/blobs");
    fs::create_dir_all(&blobs).unwrap();
    let left = blobs.join(etag("/someone/tiny-emoji/resolve/main/words.txt"));
    for (output, words) in [("whole", words.clone()), ("longer", [&words[..], b"!"].concat())] {
        let _ = fs::remove_dir_all(cli.path("hub/hub/models--someone--tiny-emoji/snapshots"));
        fs::write(left.with_extension("part"), words).unwrap();
        ask(&cli, &endpoint, &short("someone/tiny-emoji", output)).ok();
    }
}

#[test]
fn an_answer_that_the_hub_never_gives_is_an_error() {
    let cli = Cli::new();
    cli.copy_model("models/tiny-emoji");
    cli.concept("koala", "pictures");
    let endpoint = serve(&cli);
    fs::write(cli.path("models/nowhere"), "").unwrap();
    let ran = ask(&cli, &endpoint, &short("someone/tiny-emoji", "run"));
    assert_eq!(ran.code, Some(1), "{ran:?}");
    assert!(ran.stderr.contains("cannot download `someone/tiny-emoji/"), "{ran:?}");
}

#[cfg(unix)]
#[test]
fn what_another_process_downloads_is_waited_for() {
    let cli = Cli::new();
    cli.copy_model("models/tiny-emoji");
    cli.concept("koala", "pictures");
    let endpoint = serve(&cli);
    let blobs = cli.path("hub/hub/models--someone--tiny-emoji/blobs");
    fs::create_dir_all(&blobs).unwrap();
    let etag = etag("/someone/tiny-emoji/resolve/main/words.txt");
    let other = fs::File::create(blobs.join(format!("{etag}.lock"))).unwrap();
    other.lock().unwrap();
    let mut command = asking(&cli, &endpoint, &short("someone/tiny-emoji", "run"));
    let mut waiting = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    // hf-hub itself gives up after five seconds
    thread::sleep(Duration::from_secs(9));
    assert!(waiting.try_wait().unwrap().is_none());
    drop(other);
    cli.ran(waiting.wait_with_output().unwrap()).ok();
}

#[test]
fn a_model_is_downloaded_once_by_its_name_and_trains() {
    let cli = Cli::new();
    cli.copy_model("models/tiny-emoji");
    pickle_weights(&cli.copy_model("models/pickled"));
    let endpoint = serve(&cli);
    cli.concept("koala", "pictures");
    let train = |model: &str, output: &str| ask(&cli, &endpoint, &short(model, output));
    let said = train("someone/tiny-emoji", "run").ok();
    assert!(said.contains("model      someone/tiny-emoji"), "{said}");
    // what is in the cache is not fetched again
    let weights = cli.path("models/tiny-emoji/unet/diffusion_pytorch_model.safetensors");
    let whole = fs::read(&weights).unwrap();
    fs::write(&weights, "others").unwrap();
    train("someone/tiny-emoji", "again").ok();
    // unless one of its files is, and is of a later commit
    fs::write(&weights, whole).unwrap();
    fs::write(cli.path("models/commit"), "decaf").unwrap();
    let snapshot = cli.path("hub/hub/models--someone--tiny-emoji/snapshots/c0ffee");
    fs::remove_file(snapshot.join("words.txt")).unwrap();
    train("someone/tiny-emoji", "later").ok();
    train("someone/pickled", "pickled").ok();
    assert_eq!(train("some one/none", "refused").code, Some(2));
    // where nothing answers, what is in the cache is enough
    let offline = |args: &[&str]| ask(&cli, NOWHERE, args);
    let cached = offline(&short("someone/tiny-emoji", "cached"));
    let note = "`someone/tiny-emoji` is its copy in the cache";
    assert!(cached.stderr.contains(note), "{cached:?}");
    cached.ok();
    // of a grid's runs the first one asks
    let grid = "options = { model = 'someone/tiny-emoji' }
        [[concepts]]
        name = 'koala'
        train_data_dir = 'pictures'
        placeholder_token = '<koala>'
        initializer_token = 'bear'
        [[variants]]
        name = 'x'
        [[variants]]
        name = 'y'";
    fs::write(cli.path("grid.toml"), grid).unwrap();
    let status = offline(&["experiment", "table1", "--grid", "grid.toml", "--status"]);
    assert_eq!(status.stderr.matches(note).count(), 1, "{status:?}");
    assert!(status.ok().contains("0 of 2 runs done"));
}

#[test]
fn without_a_connection_the_model_is_missed_after_whatever_needs_none() {
    let cli = Cli::with_pictures_of("koala");
    cli.concept("koala", "run");
    let offline = |args: &[&str]| ask(&cli, NOWHERE, args);
    let none = offline(&short("someone/none", "none"));
    assert!(none.stderr.contains("check the connection"), "{none:?}");
    assert!(none.stderr.contains("there is no folder `someone/none` here"), "{none:?}");
    assert_eq!(none.code, Some(1));
    let grid = "[[concepts]]\nname = 'koala'\nmodel = 'someone/none'\ntrain_data_dir = 'pictures'\n\
                placeholder_token = '<a>'\ninitializer_token = 'bear'\n[[variants]]\nname = 'x'\n";
    fs::write(cli.path("grid.toml"), grid).unwrap();
    let grid = offline(&["experiment", "table1", "--grid", "grid.toml", "--device", "cpu"]);
    assert!(grid.stderr.contains("check the connection"), "{grid:?}");
    assert_eq!(grid.code, Some(1));
    // what needs no model is told before one is downloaded
    let model = ["--model", "someone/none"];
    for (args, told) in [
        (train_args(&[&model[..], &["--train-data-dir", "nowhere"]].concat()), "`nowhere`"),
        (train_args(&[&model[..], &["-o", "run"]].concat()), "exists and is not empty"),
        ([&["generate", "-p", "a cat", "-e", "none.pt"], &model[..]].concat(), "`none.pt`"),
        ([&["generate", "-p", "a cat", "-o", "run"], &model[..]].concat(), "is not empty"),
    ] {
        let ran = offline(&args);
        assert_eq!(ran.code, Some(2), "{ran:?}");
        assert!(ran.stderr.contains(told), "{ran:?}");
    }
}
