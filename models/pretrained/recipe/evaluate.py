"""Stage `evaluate`: what the model card says of the generator, measured on the exported folder."""

import json
import random

import numpy as np
import torch
from diffusers import DDIMScheduler, StableDiffusionPipeline
from transformers import CLIPModel

from clip import accuracy, image_features, text_features, to_pictures
from data import Sprites
from export import FOLDER
from precision import autocast
from tokenizer import CaptionEncoder
from vocabulary import COLORS, HELD_OUT_OBJECTS, TRAINED_OBJECTS

BATCH_SIZE = 25
INFERENCE_STEPS = 20
PICTURES_PER_COLOR = 5


def run(setting):
    """Writes `work/evaluation.json`; the scorer picks among every object of the vocabulary."""
    work, smoke = setting.work, setting.smoke
    folder = work / FOLDER
    pipeline = StableDiffusionPipeline.from_pretrained(folder, torch_dtype=torch.float32)
    pipeline.scheduler = DDIMScheduler.from_config(pipeline.scheduler.config)
    pipeline.set_progress_bar_config(disable=True)
    pipeline.to(setting.device)
    words = list(TRAINED_OBJECTS)[: 5 if smoke else None]

    prompts = [f"a photo of a {word}" for word in words]
    generated = []
    for start in range(0, len(prompts), BATCH_SIZE):
        generated += draw(pipeline, prompts[start : start + BATCH_SIZE], start, smoke)
    sprites = Sprites(work)
    real = [
        sprites.compose(sprites.index[TRAINED_OBJECTS[word], "noto"], COLORS["white"])
        for word in words
    ]
    result = dict(
        generated=score(work, generated),
        real=score(work, real),
        background=background_accuracy(pipeline, words, smoke),
    )
    (work / "evaluation.json").write_text(json.dumps(result, indent=2))
    print(result)


def draw(pipeline, prompts, seed, smoke):
    """Pictures of the prompts, uint8 [64, 64, 3]."""
    with autocast(pipeline.device):
        pictures = pipeline(
            prompts,
            num_inference_steps=2 if smoke else INFERENCE_STEPS,
            guidance_scale=4.0,
            generator=torch.Generator().manual_seed(seed),
        ).images
    return [np.asarray(picture) for picture in pictures]


@torch.no_grad()
def score(work, pictures):
    """Accuracy when picture i shows object i of the vocabulary."""
    model = CLIPModel.from_pretrained(work / FOLDER / "clip", torch_dtype=torch.float32).eval()
    words = [*TRAINED_OBJECTS, *HELD_OUT_OBJECTS]
    texts = text_features(model, CaptionEncoder(work / FOLDER), words)
    images = image_features(model, to_pictures(pictures))
    return accuracy(images, texts, torch.arange(len(pictures)))


def background_accuracy(pipeline, words, smoke):
    """How often the named colour is the nearest to the mean of the two top and bottom rows."""
    rng = random.Random(0)
    repeats = 1 if smoke else PICTURES_PER_COLOR
    wanted = [(rng.choice(words), color) for color in COLORS for _ in range(repeats)]
    prompts = [f"a photo of a {word} on a {color} background" for word, color in wanted]
    palette = np.array(list(COLORS.values()), float)
    hits = 0
    for (_, color), picture in zip(wanted, draw(pipeline, prompts, 77, smoke)):
        border = np.concatenate([picture[:2], picture[-2:]]).reshape(-1, 3).mean(0)
        nearest = np.abs(palette - border).sum(1).argmin()
        hits += list(COLORS)[nearest] == color
    return hits / len(wanted)
