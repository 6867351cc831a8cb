"""Batches for the scorer: each thing in two scenes, in another style, and distorted."""

import random

import numpy as np
import torch
import torch.nn.functional as F

import drawing
from captions import draw_background, write_caption
from data import Sprites
from tokenizer import CaptionEncoder
from vocabulary import OBJECT_TEMPLATES, SHORT_NAMES, STYLE_WORDS

IMAGE_MEAN = (0.48145466, 0.4578275, 0.40821073)
IMAGE_STD = (0.26862954, 0.26130258, 0.27577711)
# Two scenes of one sprite and one of another style of the same thing; then two distorted ones.
CLEAN, DISTORTED = 3, 2
# Names beside the batch's own that a picture's is told from.
OTHER_NAMES = 160
LAYOUTS = ("normal", "small", "large", "two")
LAYOUT_CHANCES = (0.6, 0.2, 0.1, 0.1)


class Scenes:
    """Draws batches of pictures and their captions' token ids from what may be trained on."""

    def __init__(self, setting):
        self.device = setting.device
        self.things, self.others = (6, 8) if setting.smoke else (28, OTHER_NAMES)
        self.sprites = Sprites(setting.work)
        self.encoder = CaptionEncoder(setting.work)
        self.by_name = self.sprites.trainable_by_name()
        self.names = sorted(self.by_name)

    def draw(self, step):
        """A step's batch.

        `pictures` [5 n, 3, 64, 64], normalised: n things in a scene, n in a second one, n in
        another style, then n distorted twice. `mirrored` [2 n] says which of the last are only
        mirrored, `restyled` [n] which things have another style. `names` are token ids of the n
        things' names and of others; `captions` of the first 3 n pictures, in full.
        """
        rng = np.random.default_rng([0, step])
        chosen = rng.choice(len(self.names), self.things + self.others, replace=False)
        names = [self.names[index] for index in chosen]
        shown = names[: self.things]
        first = [int(rng.choice(self.by_name[name])) for name in shown]
        second = [self._other_style(rng, name, sprite) for name, sprite in zip(shown, first)]
        others = self.sprites.pixels_of(
            [first[index - 1] for index in range(len(first))], self.device
        )
        things = self.sprites.pixels_of(first, self.device)

        by_captions = step % 4 == 3
        scenes = [
            self._scene(rng, named=by_captions or rng.random() < 0.5) for _ in range(4 * len(first))
        ]
        count = len(first)
        clean = self._show(
            rng,
            torch.cat([things, things, self.sprites.pixels_of(second, self.device)]),
            scenes[: 3 * count],
        )
        distorted, mirrored = self._distort(rng, things, others)
        # Half of the distorted things stand in the very scene of the whole ones.
        places = [*scenes[:count], *scenes[3 * count :]]
        bad = self._show(rng, distorted, places)

        captions = None
        if by_captions:
            styles = [STYLE_WORDS[self.sprites.styles[sprite]] for sprite in first * 2 + second]
            written = [
                write_caption(
                    self._words(rng),
                    SHORT_NAMES.get(name, name),
                    style,
                    scene["color"],
                    scene["layout"],
                    style_share=0.6,
                    style_only_share=0,
                )
                for name, style, scene in zip(shown * 3, styles, scenes)
            ]
            captions = self._ids(written)
        named = [rng.choice(OBJECT_TEMPLATES).format(SHORT_NAMES.get(name, name)) for name in names]
        return dict(
            pictures=normalise(torch.cat([clean, bad])),
            mirrored=mirrored,
            restyled=torch.tensor([a != b for a, b in zip(first, second)], device=self.device),
            names=self._ids(named),
            captions=captions,
        )

    def _ids(self, captions):
        return torch.tensor(self.encoder.encode(captions), device=self.device)

    def _words(self, rng):
        """Python's generator for captions, seeded from NumPy's."""
        return random.Random(int(rng.integers(2**32)))

    def _other_style(self, rng, name, sprite):
        others = [other for other in self.by_name[name] if other != sprite]
        return int(rng.choice(others)) if others else sprite

    def _scene(self, rng, named):
        """A background and a layout; `named` backgrounds are those that captions can tell."""
        color, rgb = draw_background(self._words(rng), white_share=0.3)
        if not named:
            rgb = tuple(rng.integers(0, 256, 3))
        layout = str(rng.choice(LAYOUTS, p=LAYOUT_CHANCES))
        scale = dict(normal=drawing.NORMAL_SCALE, large=1.0).get(layout, drawing.SMALL_SCALE)
        spread = 1 - scale
        if layout == "two":
            shift = (-0.5, rng.uniform(-0.1, 0.1))
        else:
            shift = tuple(rng.uniform(-0.5, 0.5, 2) * spread)
        return dict(
            color=color, rgb=rgb, layout=layout, scale=scale * rng.uniform(0.9, 1.08), shift=shift
        )

    def _show(self, rng, things, scenes):
        """Things in scenes, with the small faults of generated pictures."""
        count = len(things)
        scale = self._tensor([scene["scale"] for scene in scenes])
        shift = self._tensor([scene["shift"] for scene in scenes])
        turn = self._tensor(rng.uniform(-0.12, 0.12, count))
        bend = drawing.smooth_noise(rng, count, 2, 5, self.device).permute(0, 2, 3, 1)
        bend = bend * self._per_picture(rng.choice([0, 0.02, 0.05], count))
        canvas = drawing.place(things, scale, shift, turn, bend)
        two = self._per_picture([scene["layout"] == "two" for scene in scenes])
        other_side = shift * self._tensor([-1, 1])
        second = drawing.place(things, scale, other_side, turn, bend) * two
        canvas = second + (1 - second[:, 3:]) * canvas
        pictures = drawing.over(canvas, self._backgrounds(rng, scenes))
        pictures = drawing.blur(pictures, self._tensor(rng.choice([0.05, 0.05, 0.5, 0.9], count)))
        grain = torch.from_numpy(rng.standard_normal((count, 1, 32, 32), np.float32))
        grain = F.interpolate(grain.to(self.device), (64, 64), mode="bilinear")
        pictures = pictures + grain * self._per_picture(rng.choice([0, 0, 0.03], count))
        brightness = self._per_picture(rng.uniform(0.9, 1.06, count))
        return (pictures * brightness).clamp(0, 1)

    def _backgrounds(self, rng, scenes):
        """Flat, or running a part of the way into another colour."""
        flat = self._tensor([scene["rgb"] for scene in scenes])[:, :, None, None] / 255
        other = self._tensor(rng.uniform(0, 1, (len(scenes), 3)))[:, :, None, None]
        share = self._per_picture(rng.choice([0, 0, 0, 0.4], len(scenes)))
        down = torch.linspace(0, 1, 64, device=self.device)[:, None]
        return flat + (other - flat) * share * down

    def _tensor(self, values):
        return torch.tensor(np.array(values, np.float32), device=self.device)

    def _per_picture(self, values):
        return self._tensor(values)[:, None, None, None]

    def _distort(self, rng, things, others):
        """Two distortions of each thing; some are only mirrored."""
        count = len(things)
        twice, twice_others = things.repeat(2, 1, 1, 1), others.repeat(2, 1, 1, 1)
        kinds = [drawing.flipped, *drawing.DISTORTIONS]
        kind = rng.choice(
            len(kinds),
            2 * count,
            p=[0.1] + [0.9 / len(drawing.DISTORTIONS)] * len(drawing.DISTORTIONS),
        )
        distorted = torch.empty_like(twice)
        for index, distort in enumerate(kinds):
            rows = torch.from_numpy((kind == index).nonzero()[0]).to(self.device)
            if len(rows):
                distorted[rows] = distort(twice[rows], rng, twice_others[rows])
        # What looks as before, such as a ball mirrored, is no distortion: another thing instead.
        same = (distorted - twice).abs().mean((1, 2, 3)) < 0.03
        distorted[same] = twice_others[same]
        return distorted, torch.from_numpy(kind == 0).to(self.device) & ~same


def normalise(pictures):
    """Pictures [n, 3, 64, 64], 0 to 1, as CLIP's image processor makes them."""
    mean, std = (
        torch.tensor(values, device=pictures.device)[:, None, None]
        for values in (IMAGE_MEAN, IMAGE_STD)
    )
    return (pictures - mean) / std
