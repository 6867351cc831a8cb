"""Times diffusers' pipeline call, to set by `dvar generate`: pictures of one prompt, one after the other
and all at once.

Loading is not timed. Needs models/pretrained/recipe/requirements.txt. Prints one JSON object.
"""

import argparse
import json
import time
from pathlib import Path

import torch
from diffusers import StableDiffusionPipeline

MODEL = Path(__file__).parents[2] / "models" / "pretrained" / "dvar-tiny-emoji"


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", type=Path, default=MODEL, help="folder in diffusers' layout")
    parser.add_argument("--prompt", required=True)
    parser.add_argument("--pictures", type=int, default=8)
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--threads", type=int, help="of the CPU; default: torch's")
    arguments = parser.parse_args()
    if arguments.threads:
        torch.set_num_threads(arguments.threads)
    pipeline = StableDiffusionPipeline.from_pretrained(arguments.model, torch_dtype=torch.float32)
    pipeline.set_progress_bar_config(disable=True)
    draw(pipeline, arguments, 1, 1)
    seconds = {
        "together": draw(pipeline, arguments, 1, arguments.pictures),
        "apart": draw(pipeline, arguments, arguments.pictures, 1),
    }
    print(json.dumps(dict(threads=torch.get_num_threads(), seconds=seconds)))


def draw(pipeline, arguments, calls, pictures):
    start = time.perf_counter()
    for _ in range(calls):
        pipeline(
            arguments.prompt,
            num_inference_steps=arguments.steps,
            num_images_per_prompt=pictures,
        )
    return round(time.perf_counter() - start, 3)


if __name__ == "__main__":
    main()
