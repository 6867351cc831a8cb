"""Makes dvar-tiny-emoji, its scorer and the example concepts from scratch: `python make.py`."""

import argparse
import time
from pathlib import Path

import torch

import clip
import concepts
import data
import evaluate
import export
import tokenizer
import unet
import vae

STAGES = {
    "data": data.run,
    "tokenizer": tokenizer.run,
    "vae": vae.run,
    "clip": clip.run,
    "unet": unet.run,
    "export": export.run,
    "evaluate": evaluate.run,
    "concepts": concepts.run,
}


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "stages",
        nargs="*",
        metavar="STAGE",
        help=f"stages to run, each needs those before it (default: {' '.join(STAGES)})",
    )
    parser.add_argument("--work", type=Path, default=Path("work"), help="where files are written")
    parser.add_argument("--threads", type=int, default=2, help="CPU threads")
    parser.add_argument("--smoke", action="store_true", help="a few steps of every stage")
    arguments = parser.parse_args()
    unknown = set(arguments.stages) - set(STAGES)
    if unknown:
        parser.error(f"no such stage: {', '.join(sorted(unknown))}")

    torch.set_num_threads(arguments.threads)
    arguments.work.mkdir(parents=True, exist_ok=True)
    for name, run in STAGES.items():
        if not arguments.stages or name in arguments.stages:
            print(f"== {name}", flush=True)
            start = time.monotonic()
            run(arguments.work, arguments.smoke)
            print(f"== {name}: {time.monotonic() - start:.0f} s", flush=True)


if __name__ == "__main__":
    main()
