"""Stage `agreement`: how often the scorer puts the picture first that the eye does.

Pairs by construction: a thing in another scene against the same thing distorted, in wrong colours,
of another shape, or another thing. Of things and of a style that no part of the model is trained
on. And pairs of pictures from real runs, ranked by hand before any score was seen (`eye/`).
"""

import json
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from transformers import CLIPModel

import drawing
from clip import image_features
from concepts import OBJECT_SCENES
from data import Sprites
from vocabulary import HELD_OUT_STYLE, NEVER_TRAINED, TRAINED_OBJECTS

EYE = Path(__file__).with_name("eye")
EXAMPLES = Path(__file__).parents[3] / "examples"
# How much of the picture a change of colours or of side must touch to be seen.
LEAST_CHANGE = 0.04
OTHER_BACKGROUNDS = ((66, 120, 240), (225, 60, 55), (20, 20, 24), (140, 85, 200), (250, 165, 200))
VARIATIONS = ("background", "size", "place", "two", "style")


def run(setting):
    """Writes `work/agreement.json`: shares of pairs ranked right, of the scorer in `work/clip`."""
    model = CLIPModel.from_pretrained(setting.work / "clip").eval()
    things = 4 if setting.smoke else 70
    result = measure(setting.work, lambda pictures: image_features(model, pictures), things)
    (setting.work / "agreement.json").write_text(json.dumps(result, indent=1))
    print(json.dumps(result, indent=1))


def measure(work, features, things=70):
    """Agreement by set and kind; `features` gives unit vectors of pictures [n, 3, 64, 64]."""
    result = {}
    sprites = Sprites(work)
    for name, chosen in held_out(sprites, things).items():
        pairs = constructed(sprites, chosen)
        result[name] = shares(pairs, features, "kind") | {
            f"by what else changed: {variation}": share
            for variation, share in shares(pairs, features, "variation").items()
            if variation != "all"
        }
    result["runs, by eye"] = shares(ranked_by_eye(), features, "kind")
    return result


def shares(pairs, features, key):
    """{kind: share of pairs ranked right}, and of all."""
    by_kind = {}
    for pair in pairs:
        better, worse = likeness(features, pair)
        by_kind.setdefault(pair[key], []).append(better > worse)
    by_kind["all"] = [right for rights in by_kind.values() for right in rights]
    return {kind: round(float(np.mean(rights)), 3) for kind, rights in by_kind.items()}


def likeness(features, pair):
    """CLIP-I of the better and of the worse picture: the mean cosine with the concept's."""
    if "likeness" not in pair:
        vectors = features(torch.cat([pair["concept"], pair["better"], pair["worse"]]))
        pair["likeness"] = (vectors[-2:] @ vectors[:-2].T).mean(1).tolist()
    return pair["likeness"]


def held_out(sprites, count):
    """Sprites by set: the unseen style of known things, and things never trained on."""
    known = sorted(TRAINED_OBJECTS.values())
    unseen_style = [
        sprites.index[n, HELD_OUT_STYLE] for n in known if (n, HELD_OUT_STYLE) in sprites.index
    ]
    unseen_things = [
        next(
            sprites.index[name, style]
            for style in ("noto", "fluent", HELD_OUT_STYLE, "fluent3d", "fluentflat", "fxemoji")
            if (name, style) in sprites.index
        )
        for name in sorted(NEVER_TRAINED)
    ]
    rng = np.random.default_rng(1)
    return {
        "unseen style": rng.permutation(unseen_style)[:count].tolist(),
        "unseen things": rng.permutation(unseen_things)[:count].tolist(),
    }


def constructed(sprites, chosen):
    """A pair for each sprite and kind of distortion, where it makes a difference that is seen."""
    pairs = []
    for row, sprite in enumerate(chosen):
        rng = np.random.default_rng([2, row])
        thing = sprites.pixels_of([sprite], "cpu")
        other = sprites.pixels_of([chosen[row - 1]], "cpu")
        concept = rounded(
            torch.cat([as_picture(sprites.compose(sprite, *scene)) for scene in OBJECT_SCENES])
        )
        styles = [
            i
            for i, name in enumerate(sprites.names)
            if name == sprites.names[sprite] and i != sprite
        ]
        for distort in drawing.MEASURED:
            distorted = distort(thing, rng, other)
            if (distorted - thing).abs().mean() < LEAST_CHANGE and distort is not drawing.smoothed:
                continue
            variation = str(
                rng.choice(VARIATIONS[: 5 if styles and distort is not drawing.flipped else 4])
            )
            shown = (
                sprites.pixels_of([int(rng.choice(styles))], "cpu")
                if variation == "style"
                else thing
            )
            better, background = varied(shown, variation, rng)
            if rng.random() < 0.5:
                background = OBJECT_SCENES[int(rng.integers(len(OBJECT_SCENES)))][0]
            worse = show(distorted, background, drawing.NORMAL_SCALE)
            pairs.append(
                dict(
                    kind=distort.__name__,
                    variation=variation,
                    concept=concept,
                    better=better,
                    worse=worse,
                )
            )
    return pairs


def varied(thing, variation, rng):
    """The thing itself with one thing changed, and the background it stands on."""
    background = OBJECT_SCENES[int(rng.integers(len(OBJECT_SCENES)))][0]
    if variation in ("background", "style"):
        background = OTHER_BACKGROUNDS[int(rng.integers(len(OTHER_BACKGROUNDS)))]
    if variation == "size":
        picture = show(thing, background, rng.uniform(0.45, 0.6))
    elif variation == "place":
        picture = show(thing, background, 0.75, rng.choice([-0.22, 0.22], 2))
    elif variation == "two":
        picture = show(thing, background, drawing.SMALL_SCALE, (-0.5, 0), (0.5, 0))
    else:
        picture = show(thing, background, drawing.NORMAL_SCALE)
    return picture, background


def show(thing, background, scale, *shifts):
    """A thing, once at each shift, on a flat background -> [1, 3, 64, 64]."""
    picture = torch.tensor(background, dtype=torch.float32)[None, :, None, None] / 255
    for shift in shifts or ((0, 0),):
        shift = torch.tensor(np.array(shift, np.float32))[None]
        picture = drawing.over(drawing.place(thing, torch.tensor([float(scale)]), shift), picture)
    return rounded(picture)


def rounded(pictures):
    """As a file of 8 bits a channel holds them."""
    return (pictures.clamp(0, 1) * 255).round() / 255


def as_picture(pixels):
    """uint8 [64, 64, 3] -> f32 [1, 3, 64, 64], 0 to 1."""
    return torch.from_numpy(np.array(pixels)).permute(2, 0, 1)[None].float() / 255


def ranked_by_eye():
    """The pairs of `eye/pairs.json`, whose numbers count the squares of `eye/pictures.webp`."""
    sheet = np.asarray(Image.open(EYE / "pictures.webp").convert("RGB"))
    squares = (
        sheet.reshape(-1, 64, sheet.shape[1] // 64, 64, 3).swapaxes(1, 2).reshape(-1, 64, 64, 3)
    )
    pairs = []
    for pair in json.loads((EYE / "pairs.json").read_text()):
        folder = next(EXAMPLES.glob(f"*/{pair['concept']}"))
        concept = [
            as_picture(Image.open(path).convert("RGB")) for path in sorted(folder.glob("*.png"))
        ]
        pairs.append(
            dict(
                kind=pair["concept"],
                concept=torch.cat(concept),
                better=as_picture(squares[pair["better"]]),
                worse=as_picture(squares[pair["worse"]]),
            )
        )
    return pairs
