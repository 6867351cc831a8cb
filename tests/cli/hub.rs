//! A model by its name, from a server that answers as the Hugging Face Hub does.

use std::{
    fs,
    io::{BufRead, BufReader, Write},
    net::{TcpListener, TcpStream},
    path::Path,
    thread,
};

use crate::{
    harness::{Cli, train_args},
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

/// Answers one request: the list of files, or a file or the range of it that was asked for. The
/// repositories `{anyone}/{name}` are the folders `{models}/{name}`, of the commit that the file
/// `{models}/commit` names.
fn answer(mut stream: TcpStream, models: &Path) -> std::io::Result<()> {
    let mut lines = BufReader::new(stream.try_clone()?).lines();
    let request = lines.next().unwrap_or(Ok(String::new()))?;
    let headers: Vec<String> =
        lines.map_while(Result::ok).take_while(|line| !line.is_empty()).collect();
    let path = request.split_whitespace().nth(1).unwrap_or_default().to_string();
    let ranged = headers.iter().any(|line| line.eq_ignore_ascii_case("range: bytes=0-0"));
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
        match fs::read(models.join(name(repository)).join(file)) {
            Ok(bytes) => ("200 OK", bytes),
            Err(_) => ("404 Not Found", Vec::new()),
        }
    };
    let range = format!("bytes 0-0/{}", body.len());
    let body = if ranged { &body[..body.len().min(1)] } else { &body };
    write!(
        stream,
        "HTTP/1.1 {status}\r\nContent-Length: {}\r\nContent-Range: {range}\r\nETag: \"{:x}\"\r\nx-repo-commit: {commit}\r\nConnection: close\r\n\r\n",
        body.len(),
        path.bytes().fold(7_u64, |hash, byte| hash.wrapping_mul(31).wrapping_add(byte.into())),
    )?;
    stream.write_all(body)
}

#[test]
fn a_model_is_downloaded_once_by_its_name_and_trains() {
    let cli = Cli::new();
    let models = cli.path("models");
    cli.copy_model("models/tiny-emoji");
    pickle_weights(&cli.copy_model("models/pickled"));
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let endpoint = format!("http://{}", listener.local_addr().unwrap());
    thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            let models = models.clone();
            thread::spawn(move || answer(stream, &models));
        }
    });
    cli.concept("koala", "pictures");
    let train_from = |endpoint: &str, model: &str, output: &str| {
        let args = train_args(&["--model", model, "-o", output, "--max-train-steps", "1"]);
        let mut command = cli.command(&args);
        command.env("HF_ENDPOINT", endpoint).env("HF_HOME", cli.path("hub"));
        cli.ran(command.output().unwrap())
    };
    let train = |model: &str, output: &str| train_from(&endpoint, model, output);
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
    let closed = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let without =
        |model: &str, output: &str| train_from(&format!("http://{closed}"), model, output);
    let cached = without("someone/tiny-emoji", "cached");
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
    let mut status = cli.command(&["experiment", "table1", "--grid", "grid.toml", "--status"]);
    status.env("HF_ENDPOINT", format!("http://{closed}")).env("HF_HOME", cli.path("hub"));
    let status = cli.ran(status.output().unwrap());
    assert_eq!(status.stderr.matches(note).count(), 1, "{status:?}");
    assert!(status.ok().contains("0 of 2 runs done"));
    let nowhere = without("someone/none", "nowhere");
    assert!(nowhere.stderr.contains("check the connection"), "{nowhere:?}");
    assert!(nowhere.stderr.contains("there is no folder `someone/none` here"), "{nowhere:?}");
    assert_eq!(nowhere.code, Some(1));
    let offline = |args: &[&str]| {
        let mut command = cli.command(args);
        command.env("HF_ENDPOINT", format!("http://{closed}")).env("HF_HOME", cli.path("hub"));
        cli.ran(command.output().unwrap())
    };
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
