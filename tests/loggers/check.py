"""Trains with each logger and reads the logs with the programs that they are for.

TensorBoard reads event files by its EventAccumulator. W&B reads an offline run by `wandb sync`,
its whole client, which sends the run to a server on this machine that stands for W&B's own.

usage: check.py DVAR, with the program that `cargo build --release` made
"""

import gzip
import http.server
import io
import json
import math
import os
import pathlib
import subprocess
import sys
import tempfile
import threading
import time
import tomllib

import numpy as np
from PIL import Image
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

ROOT = pathlib.Path(__file__).resolve().parents[2]
SMALL = """
train_data_dir = "{pictures}"
placeholder_token = "<umb>"
initializer_token = "umbrella"
train_batch_size = 1
eval_batch_size = 1
num_inference_steps = 1
window = 3
threshold = 0.0
save_steps = 3
"""
# makes a record of W&B's log longer than the log's blocks
LONG = "a long name " * 6000


def train(dvar, folder, logger, steps, killed):
    """A run of `steps` steps; if `killed`, it is, two after its first checkpoint, and resumed."""
    run = folder / f"{logger}-{steps}"
    command = [dvar, "train", "--config", folder / "small.toml", "--device", "cpu", "-o", run]
    command += ["--logger", logger, "--max-train-steps", str(steps), "--wandb", "team"]
    if killed:
        command += ["--exp-name", LONG]
        metrics = run / "metrics.jsonl"
        quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
        with subprocess.Popen(command, **quiet) as child:
            while not metrics.is_file() or len(metrics.read_bytes().splitlines()) < 5:
                assert child.poll() is None, "the run ended before it was killed"
                time.sleep(0.01)
            child.kill()
        command = [dvar, "train", "--resume", run, "--device", "cpu"]
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    assert done.returncode == 0, done.stdout
    return run


def expected(run):
    """The run's options, the figures of each step, and its two pictures."""
    lines = (run / "metrics.jsonl").read_text().splitlines()
    options = tomllib.loads((run / "config.toml").read_text())
    pictures = [(run / f"samples_{when}.png").read_bytes() for when in ("before", "after")]
    return options, [json.loads(line) for line in lines], pictures


def decoded(png):
    with Image.open(io.BytesIO(png)) as picture:
        picture.load()
        return picture.size


def check_tensorboard(run, sessions):
    options, steps, pictures = expected(run)
    assert len(list((run / "logs").iterdir())) == sessions
    events = EventAccumulator(str(run / "logs"), size_guidance=dict.fromkeys(
        ["scalars", "images", "tensors"], 0))
    events.Reload()

    names = {name for step in steps for name in step} - {"step"}
    assert {"loss", "lr", "grad_norm", "eval_loss"} <= names
    assert set(events.Tags()["scalars"]) == names | {"clip_i_before", "clip_i_after"}
    for name in names:
        got = [(event.step, np.float32(event.value)) for event in events.Scalars(name)]
        want = [(step["step"], np.float32(step[name])) for step in steps if name in step]
        assert got == want, name
    assert math.isfinite(events.Scalars("clip_i_after")[0].value)

    got = [(event.step, event.encoded_image_string) for event in events.Images("samples")]
    assert got == [(0, pictures[0]), (len(steps), pictures[1])]
    for event in events.Images("samples"):
        assert decoded(event.encoded_image_string) == (event.width, event.height)

    (text,) = events.Tensors("config")
    text = text.tensor_proto.string_val[0].decode()
    rows = dict(line.strip("| ").split(" | ", 1) for line in text.splitlines()[2:])
    assert {name: json.loads(value) for name, value in rows.items()} == options
    assert events.SummaryMetadata("config").plugin_data.plugin_name == "text"


class Server(http.server.ThreadingHTTPServer):
    """As much of W&B's server as `wandb sync` asks for."""

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        self.run, self.files, self.history, self.end = {}, {}, {}, {}
        threading.Thread(target=self.serve_forever, daemon=True).start()

    def graphql(self, query):
        variables = query["variables"]
        if query["operationName"] == "UpsertBucket":
            given = {name: value for name, value in variables.items() if value is not None}
            self.run = self.run | given
            entity = {"id": "entity", "name": self.run["entity"]}
            project = {"id": "project", "name": self.run["project"], "entity": entity}
            bucket = {"id": "run", "name": self.run["name"], "project": project}
            bucket |= {"displayName": None, "description": None, "config": None}
            bucket |= {"sweepName": None, "historyLineCount": 0}
            return {"upsertBucket": {"bucket": bucket, "inserted": True}}
        if query["operationName"] == "CreateRunFiles":
            files = [{"name": name, "uploadUrl": f"http://127.0.0.1:{self.server_port}/{name}"}
                     for name in variables["files"]]
            return {"createRunFiles": {"runID": "run", "uploadHeaders": [], "files": files}}
        return {}

    def stream(self, content):
        history = content.get("files", {}).get("wandb-history.jsonl", {"content": []})
        for number, line in enumerate(history["content"], history.get("offset", 0)):
            self.history[number] = json.loads(line)
        if content.get("complete"):
            self.end = content


class Handler(http.server.BaseHTTPRequestHandler):
    def answer(self, content):
        content = json.dumps(content).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def body(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        return gzip.decompress(body) if self.headers["Content-Encoding"] == "gzip" else body

    def do_POST(self):
        body = self.body()
        if self.path == "/graphql":
            self.answer({"data": self.server.graphql(json.loads(body))})
        elif self.path.endswith("/file_stream"):
            self.server.stream(json.loads(body))
            self.answer({})
        else:  # the client's reports on itself
            self.answer({})

    def do_PUT(self):
        self.server.files[self.path.lstrip("/")] = self.body()
        self.answer({})

    def log_message(self, *_):
        pass


def check_wandb(run):
    options, steps, pictures = expected(run)
    (log,) = (run / "logs/wandb").glob("offline-run-*/run-*.wandb")
    server = Server()
    settings = {"WANDB_BASE_URL": f"http://127.0.0.1:{server.server_port}",
                "WANDB_API_KEY": "0" * 40, "WANDB_ERROR_REPORTING": "false", "HOME": str(run)}
    sync = pathlib.Path(sys.executable).with_name("wandb")
    done = subprocess.run([sync, "sync", log.parent], env=os.environ | settings, cwd=run,
                          timeout=120, text=True, stderr=subprocess.PIPE)
    assert done.returncode == 0 and "Finished syncing" in done.stderr, done.stderr
    assert "error" not in done.stderr.lower(), done.stderr
    assert log.with_name(log.name + ".synced").exists()
    assert server.end["complete"] and server.end["exitcode"] == 0, server.end

    assert log.stem == f"run-{server.run['name']}" and log.parent.name.endswith(server.run["name"])
    names = {name: server.run[name] for name in ("project", "displayName", "entity")}
    assert names == {"project": "dvar_inversion", "displayName": options.get("exp_name", run.name),
                     "entity": "team"}
    config = json.loads(server.run["config"])
    assert {name: config[name]["value"] for name in options} == options

    rows = [server.history[number] for number in range(len(server.history))]
    assert [row["_step"] for row in rows] == list(range(len(steps) + 1))
    for row, step in zip(rows, steps):
        figures = {name: value for name, value in step.items() if name != "step"}
        own = {name: value for name, value in row.items() if name[0] != "_" and name != "samples"}
        assert own == figures, step
    for row, picture in zip((rows[0], rows[-1]), pictures):
        sample = row["samples"]
        assert sample["_type"] == "image-file" and server.files[sample["path"]] == picture
        assert decoded(picture) == (sample["width"], sample["height"])
        assert sample["size"] == len(picture)
    summary = json.loads(server.files["wandb-summary.json"])
    assert summary["loss"] == steps[-1]["loss"] and math.isfinite(summary["clip_i_after"])


def main():
    dvar = pathlib.Path(sys.argv[1]).resolve()
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        pictures = ROOT / "examples/concepts/blue-umbrella"
        (folder / "small.toml").write_text(SMALL.format(pictures=pictures))
        for steps, killed in [(3, False), (20, True)]:
            check_tensorboard(train(dvar, folder, "tensorboard", steps, killed), 1 + killed)
            check_wandb(train(dvar, folder, "wandb", steps, killed))
            print(f"{steps} steps{', killed and resumed' if killed else ''}: both logs are read")


if __name__ == "__main__":
    main()
