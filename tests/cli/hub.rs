//! A model by its name, from a server that answers as the Hugging Face Hub does.

use std::{
    fs,
    io::{BufRead, BufReader, Write},
    net::{TcpListener, TcpStream},
    path::PathBuf,
    thread,
};

use crate::harness::{Cli, root, train_args};

fn model() -> PathBuf {
    root().join("models/pretrained/dvar-tiny-emoji")
}

/// Answers one request: the list of files, or a file or the range of it that was asked for.
fn answer(mut stream: TcpStream) -> std::io::Result<()> {
    let mut lines = BufReader::new(stream.try_clone()?).lines();
    let request = lines.next().unwrap_or(Ok(String::new()))?;
    let headers: Vec<String> =
        lines.map_while(Result::ok).take_while(|line| !line.is_empty()).collect();
    let path = request.split_whitespace().nth(1).unwrap_or_default().to_string();
    let ranged = headers.iter().any(|line| line.eq_ignore_ascii_case("range: bytes=0-0"));
    let (status, body) = if path.starts_with("/api/models/") {
        let files = [
            "model_index.json",
            "dvar.toml",
            "scheduler/scheduler_config.json",
            "tokenizer/vocab.json",
            "tokenizer/merges.txt",
            "tokenizer/tokenizer_config.json",
            "text_encoder/config.json",
            "text_encoder/model.safetensors",
            "unet/config.json",
            "unet/diffusion_pytorch_model.safetensors",
            "vae/config.json",
            "vae/diffusion_pytorch_model.safetensors",
        ];
        let siblings: Vec<_> =
            files.iter().map(|file| serde_json::json!({ "rfilename": file })).collect();
        (
            "200 OK",
            serde_json::json!({ "siblings": siblings, "sha": "c0ffee" }).to_string().into_bytes(),
        )
    } else {
        let file = path.split("/resolve/main/").nth(1).unwrap_or_default();
        match fs::read(model().join(file)) {
            Ok(bytes) => ("200 OK", bytes),
            Err(_) => ("404 Not Found", Vec::new()),
        }
    };
    let range = format!("bytes 0-0/{}", body.len());
    let body = if ranged { &body[..body.len().min(1)] } else { &body };
    write!(
        stream,
        "HTTP/1.1 {status}\r\nContent-Length: {}\r\nContent-Range: {range}\r\nETag: \"{:x}\"\r\nx-repo-commit: c0ffee\r\nConnection: close\r\n\r\n",
        body.len(),
        path.bytes().fold(7_u64, |hash, byte| hash.wrapping_mul(31).wrapping_add(byte.into())),
    )?;
    stream.write_all(body)
}

#[test]
fn a_model_is_downloaded_once_by_its_name_and_trains() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let endpoint = format!("http://{}", listener.local_addr().unwrap());
    thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            thread::spawn(move || answer(stream));
        }
    });
    let cli = Cli::new();
    cli.concept("koala", "pictures");
    let train = |model: &str, output: &str| {
        let args = train_args(&["--model", model, "-o", output, "--max-train-steps", "1"]);
        let mut command = cli.command(&args);
        command.env("HF_ENDPOINT", &endpoint).env("HF_HOME", cli.path("hub"));
        cli.ran(command.output().unwrap())
    };
    let said = train("someone/tiny-emoji", "run").ok();
    assert!(said.contains("model      someone/tiny-emoji"), "{said}");
    assert_eq!(train("some one/none", "refused").code, Some(2));
}
