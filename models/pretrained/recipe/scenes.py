"""Batches for the CLIP scorer: augmented pictures and their captions."""

import random

import numpy as np
import torch
from PIL import Image

from captions import draw_background, draw_layout, write_caption
from data import Sprites
from tokenizer import CaptionEncoder
from vocabulary import HELD_OUT_STYLE, OBJECT_TEMPLATES, SHORT_NAMES, STYLE_WORDS

BATCH_SIZE = 128
IMAGE_MEAN = (0.48145466, 0.4578275, 0.40821073)
IMAGE_STD = (0.26862954, 0.26130258, 0.27577711)


class Scenes:
    """Draws batches of augmented pictures and their captions' token ids."""

    def __init__(self, work):
        self.sprites = Sprites(work)
        self.encoder = CaptionEncoder(work)
        self.by_name = {}
        self.unseen = []
        for sprite, (name, style) in enumerate(zip(self.sprites.names, self.sprites.styles)):
            if style == HELD_OUT_STYLE and name in SHORT_NAMES:
                self.unseen.append(sprite)
            else:
                self.by_name.setdefault(name, []).append(sprite)
        names = sorted(self.by_name)
        self.vocabulary_names = [name for name in names if name in SHORT_NAMES]
        self.other_names = [name for name in names if name not in SHORT_NAMES]

    def seed(self, seed):
        """Restarts the random draws."""
        self.rng = random.Random(seed)
        self.noise = np.random.RandomState(seed)

    def draw_objects(self):
        """As many objects as pictures, captions that name the object only."""
        names = self._draw_names(BATCH_SIZE // 2)
        return self._draw(names, lambda name, *_: self.rng.choice(OBJECT_TEMPLATES).format(name))

    def draw_attributes(self):
        """Four pictures of each object, captions with style and background."""
        names = [name for name in self._draw_names(BATCH_SIZE // 8) for _ in range(4)]
        return self._draw(
            names,
            lambda *scene: write_caption(self.rng, *scene, style_share=0.95, style_only_share=0),
        )

    def _draw_names(self, count):
        return self.rng.sample(self.vocabulary_names, count) + self.rng.sample(
            self.other_names, count
        )

    def _draw(self, names, write):
        pictures, captions = [], []
        for name in names:
            sprite = self.rng.choice(self.by_name[name])
            color, background = draw_background(self.rng, white_share=0.3)
            layout = draw_layout(self.rng)
            style = STYLE_WORDS[self.sprites.styles[sprite]]
            pictures.append(self._augment(sprite, background, layout))
            captions.append(write(SHORT_NAMES.get(name, name), style, color, layout))
        return normalise(pictures), torch.tensor(self.encoder.encode(captions))

    def _augment(self, sprite, background, layout):
        """Zoom, mirror, blur, and noise, each at random."""
        rng = self.rng
        offset = (rng.randint(-3, 3), rng.randint(-3, 3))
        pixels = self.sprites.compose(sprite, background, layout, offset)
        zooms = rng.random() < 0.5
        if layout == "normal" and zooms:
            side = int(64 * rng.uniform(0.8, 1.0))
            top, left = rng.randint(0, 64 - side), rng.randint(0, 64 - side)
            pixels = _resize(pixels[top : top + side, left : left + side], 64)
        if rng.random() < 0.5:
            pixels = pixels[:, ::-1]
        if rng.random() < 0.3:
            pixels = _resize(_resize(pixels, rng.choice([24, 32, 40])), 64)
        if rng.random() < 0.3:
            brightness, grain = rng.uniform(0.85, 1.1), self.noise.randn(64, 64, 1)
            pixels = pixels * brightness + grain * rng.uniform(0, 12)
            pixels = pixels.clip(0, 255).astype(np.uint8)
        return pixels


def normalise(pictures):
    """A list of uint8 [64, 64, 3] -> [n, 3, 64, 64] as CLIP's image processor makes it."""
    pixels = torch.from_numpy(np.stack(pictures)).permute(0, 3, 1, 2).float() / 255
    mean, std = (torch.tensor(values)[:, None, None] for values in (IMAGE_MEAN, IMAGE_STD))
    return (pixels - mean) / std


def _resize(pixels, size):
    picture = Image.fromarray(np.ascontiguousarray(pixels))
    return np.asarray(picture.resize((size, size), Image.BILINEAR))
