"""Checks the recipe on a CPU in a minute: `python check.py`, with random shapes for emoji.

Every stage runs; stages that are cut after each step give the same weights to the bit as in one
piece; what is packed comes out again, in files under 16 MB.
"""

import shutil
import tempfile
from pathlib import Path

import torch

import clip
import unet
import vae
from make import STAGES
from pack import pack, unpack
from resumable import OutOfTime, Setting

CUT = {
    "vae": (vae.run, ("vae",)),
    "clip": (clip.run, ("clip",)),
    "unet": (unet.run, ("text_encoder", "unet")),
}


def main():
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        whole, cut = Path(folder, "whole"), Path(folder, "cut")
        whole.mkdir()
        for name, run in STAGES.items():
            print(f"== {name}", flush=True)
            run(Setting(whole, smoke=True))
        cut_stages_agree(whole, cut)
        packed_comes_out_again(whole, Path(folder))
    print("the recipe is sound")


def cut_stages_agree(whole, cut):
    """Each stage stops after every step until it is done."""
    shutil.copytree(
        whole,
        cut,
        ignore=shutil.ignore_patterns("checkpoints", "vae", "clip", "unet", "text_encoder"),
    )
    for stage, (run, results) in CUT.items():
        calls = 1
        while True:
            try:
                run(Setting(cut, minutes=0, smoke=True))
                break
            except OutOfTime:
                calls += 1
        assert calls > 2, f"{stage} was not cut"
        for result in results:
            names = sorted(path.name for path in (whole / result).glob("*.safetensors"))
            assert names, f"{stage} wrote no weights"
            for name in names:
                one, other = (path / result / name for path in (whole, cut))
                assert one.read_bytes() == other.read_bytes(), f"{result}/{name} differs when cut"


def packed_comes_out_again(whole, folder):
    """A finished and a half-trained model survive the journey."""
    (whole / "unet" / "config.json").unlink()
    pack(whole, folder / "packed")
    assert all(path.stat().st_size < 16_000_000 for path in (folder / "packed").iterdir())
    unpack(folder / "packed", folder / "again")
    weights = Path("vae") / "diffusion_pytorch_model.safetensors"
    assert (whole / weights).read_bytes() == (folder / "again" / weights).read_bytes()
    one, other = (
        torch.load(path / "checkpoints" / "unet.pt", weights_only=True)
        for path in (whole, folder / "again")
    )
    assert one["step"] == other["step"] and one["model"].keys() == other["model"].keys()
    assert all(torch.equal(one["model"][key], other["model"][key]) for key in one["model"])


if __name__ == "__main__":
    main()
