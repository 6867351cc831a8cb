"""Makes dvar-tiny-emoji, its scorer and the example concepts from scratch: `python make.py`."""

import argparse
import sys
import time
from pathlib import Path

import torch

import agreement
import clip
import concepts
import data
import evaluate
import export
import tokenizer
import unet
import vae
from pack import pack, unpack
from resumable import OutOfTime, Setting

STAGES = {
    "data": data.run,
    "tokenizer": tokenizer.run,
    "vae": vae.run,
    "clip": clip.run,
    "agreement": agreement.run,
    "unet": unet.run,
    "export": export.run,
    "evaluate": evaluate.run,
    "concepts": concepts.run,
}
# Stages that a later call does not repeat once they are finished.
TRAINED = ("vae", "clip", "unet")
# The exit status of a call whose time was up before all was done.
UNFINISHED = 3


def main():
    arguments = parse()
    torch.set_num_threads(arguments.threads)
    arguments.work.mkdir(parents=True, exist_ok=True)
    if arguments.unpack:
        unpack(arguments.unpack, arguments.work)
    setting = Setting(arguments.work, arguments.device, arguments.minutes, arguments.smoke)
    status = 0
    try:
        for name, run in STAGES.items():
            if not arguments.stages or name in arguments.stages:
                run_stage(name, run, setting)
    except OutOfTime as reason:
        print(f"time is up: {reason}; the same call goes on", flush=True)
        status = UNFINISHED
    if arguments.pack:
        pack(arguments.work, arguments.pack)
    sys.exit(status)


def run_stage(name, run, setting):
    """Runs a stage, unless it is one that trains and has finished in an earlier call."""
    if name in TRAINED and (setting.work / name / "config.json").exists():
        print(f"== {name}: done before", flush=True)
        return
    print(f"== {name}", flush=True)
    start = time.monotonic()
    run(setting)
    print(f"== {name}: {time.monotonic() - start:.0f} s", flush=True)


def parse():
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "stages",
        nargs="*",
        metavar="STAGE",
        help=f"stages to run, each needs those before it (default: {' '.join(STAGES)})",
    )
    parser.add_argument("--work", type=Path, default=Path("work"), help="where files are written")
    parser.add_argument("--device", default="cpu", help="what trains: cpu or cuda")
    parser.add_argument("--minutes", type=float, help="stop after so long; the same call goes on")
    parser.add_argument("--threads", type=int, default=2, help="CPU threads")
    parser.add_argument("--pack", type=Path, help="at the end, pack the work here in small files")
    parser.add_argument("--unpack", type=Path, help="at the start, take the work packed here")
    parser.add_argument("--smoke", action="store_true", help="a few small steps of every stage")
    arguments = parser.parse_args()
    unknown = set(arguments.stages) - set(STAGES)
    if unknown:
        parser.error(f"no such stage: {', '.join(sorted(unknown))}")
    return arguments


if __name__ == "__main__":
    main()
