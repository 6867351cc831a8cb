"""Converts an embedding to each tool's form and reads it as that tool does.

diffusers is run itself, on a small model of Stable Diffusion's layout: the vectors in its table and
what a prompt becomes must be those of the embedding. The others' files are read by the libraries that
they read them with, PyTorch's restricted unpickler and safetensors.

usage: check.py DVAR, with the program that `cargo build --release` made
"""

import pathlib
import subprocess
import sys
import tempfile
import zipfile

import torch
from diffusers import StableDiffusionPipeline, logging
from safetensors.torch import load_file, save_file

ROOT = pathlib.Path(__file__).resolve().parents[2]
MODEL = ROOT / "tests/fixtures/golden/models/tiny-sd"
TOKEN = "<cat-toy>"


logging.set_verbosity_error()
logging.disable_progress_bar()


def convert(dvar, source, tool, folder):
    """The only file that `dvar convert` makes for a tool."""
    target = folder / tool
    target.mkdir()
    command = [dvar, "convert", f"{source}={TOKEN}", "--to", tool, "--output", target]
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    assert done.returncode == 0, done.stdout
    (file,) = target.iterdir()
    return file


def check_diffusers(file, vectors):
    pipeline = StableDiffusionPipeline.from_pretrained(MODEL, safety_checker=None)
    pipeline.load_textual_inversion(file.parent, weight_name=file.name)
    tokenizer = pipeline.tokenizer
    names = [TOKEN] + [f"{TOKEN}_{number}" for number in range(1, len(vectors))]
    ids = tokenizer.convert_tokens_to_ids(names)
    table = pipeline.text_encoder.get_input_embeddings().weight.data
    assert torch.equal(table[ids], vectors), file
    prompt = pipeline.maybe_convert_prompt(f"a photo of {TOKEN}", tokenizer)
    assert [number for number in tokenizer(prompt).input_ids if number in ids] == ids, prompt


def check_a1111(file, vectors):
    saved = torch.load(file, weights_only=True)
    assert saved["name"] == TOKEN and list(saved["string_to_param"]) == ["*"], saved
    tensor = saved["string_to_param"]["*"]
    assert torch.equal(tensor, vectors) and tensor.is_contiguous(), file
    with zipfile.ZipFile(file) as archive:
        names = [entry.filename.split("/", 1)[1] for entry in archive.infolist()]
        stored = all(entry.compress_type == zipfile.ZIP_STORED for entry in archive.infolist())
    # its reader refuses any other entry
    assert names == ["data.pkl", "data/0", "version"] and stored, names


def check_safetensors(file, key, vectors):
    tensors = load_file(file)
    assert list(tensors) == [key] and torch.equal(tensors[key], vectors), file


def main():
    dvar = pathlib.Path(sys.argv[1]).resolve()
    width = StableDiffusionPipeline.from_pretrained(MODEL, safety_checker=None)
    width = width.text_encoder.config.hidden_size
    with tempfile.TemporaryDirectory() as folder:
        for count in (1, 3):
            here = pathlib.Path(folder) / str(count)
            here.mkdir()
            vectors = torch.randn(count, width, generator=torch.Generator().manual_seed(count))
            source = here / "source.safetensors"
            save_file({"emb_params": vectors}, source)
            check_diffusers(convert(dvar, source, "diffusers", here), vectors)
            check_a1111(convert(dvar, source, "a1111", here), vectors)
            # a `.pt` goes into diffusers too, under the name that it holds
            check_diffusers(here / "a1111/cat-toy.pt", vectors)
            for tool, key in [("kohya", "emb_params"), ("comfyui", "emb_params"),
                              ("onetrainer", "emp_params")]:
                check_safetensors(convert(dvar, source, tool, here), key, vectors)
            print(f"{count} vectors: every tool's file is read")


if __name__ == "__main__":
    main()
