"""Stage `concepts`: the folders of pictures to learn, none of which the generator was shown.

Of the pastel style's pictures it was shown the originals, before their colours were softened.
"""

import json

import numpy as np
from PIL import Image

from data import VECTOR_SETS, Sprites
from vocabulary import COLORS

NOTO_V1 = ('Noto Emoji (Unicode 11-era artwork, "noto-v1")', "Apache-2.0", "Google Inc.")
SOURCES = {
    "notov1": NOTO_V1,
    "noto": ("Noto Emoji", "Apache-2.0", "Google Inc."),
    "fluent": ("Fluent UI Emoji", "MIT", "Microsoft Corporation"),
}

# Folder: (canonical name, source set, initial word, difficulty).
OBJECTS = {
    "teal-robot": ("robot", "notov1", "robot", "standard"),
    "orange-octopus": ("octopus", "notov1", "octopus", "standard"),
    "blue-car": ("automobile", "notov1", "car", "standard"),
    "blue-umbrella": ("umbrella", "notov1", "umbrella", "standard"),
    "koala": ("koala", "noto", "bear", "standard"),
    "unicorn": ("unicorn", "fluent", "horse", "hard"),
}
# More of them for `dvar experiment curves`, in a folder of their own.
CURVE_OBJECTS = {
    "orange-guitar": ("guitar", "notov1", "guitar", "unrated"),
    "owl": ("owl", "notov1", "chicken", "unrated"),
    "pineapple": ("pineapple", "notov1", "pear", "unrated"),
    "violin": ("violin", "notov1", "guitar", "unrated"),
    "tractor": ("tractor", "notov1", "truck", "unrated"),
    "lobster": ("lobster", "noto", "spider", "unrated"),
    "crab": ("crab", "notov1", "spider", "unrated"),
    "turtle": ("turtle", "notov1", "frog", "unrated"),
    "saxophone": ("saxophone", "notov1", "guitar", "unrated"),
    "shark": ("shark", "notov1", "dolphin", "unrated"),
    "ghost": ("ghost", "notov1", "skull", "unrated"),
    "teapot": ("teapot", "fluent", "coffee", "unrated"),
}
OBJECT_SCENES = [
    (COLORS["white"], "normal"),
    ((232, 238, 246), "normal"),
    (COLORS["white"], "large"),
    (COLORS["yellow"], "normal"),
    (COLORS["green"], "normal"),
]
OBJECT_PROMPTS = [
    "a {} on a blue background",
    "two {}",
    "a small {}",
    "a {} on a yellow background",
    "a {} in the style of 3d",
    "a photo of a {}",
]

# Folder: (source set, initial word, whether the colours are softened).
STYLES = {
    "noto-v1-style": ("notov1", "flat", False),
    "pastel-style": ("noto", "noto", True),
}
STYLE_SCENES = {
    "dog face": COLORS["white"],
    "tulip": COLORS["green"],
    "red apple": COLORS["white"],
    "rocket": COLORS["red"],
    "hamburger": COLORS["white"],
    "penguin": COLORS["purple"],
}
STYLE_PROMPTS = [
    "a cat in the style of {}",
    "a car in the style of {} on a blue background",
    "a sunflower in the style of {}",
    "two pizza in the style of {}",
    "a small robot in the style of {}",
]


def run(setting):
    """Writes `work/concepts/<name>/` and `work/curves/<name>/`: pictures and `concept.json`.

    The smoke run does it all.
    """
    work = setting.work
    sprites = Sprites(work)
    write_objects(work / "concepts", OBJECTS, sprites)
    write_objects(work / "curves", CURVE_OBJECTS, sprites)
    for folder, (style, word, softened) in STYLES.items():
        pictures = [
            sprites.compose(sprites.index[name, style], background)
            for name, background in STYLE_SCENES.items()
        ]
        description = dict(
            kind="style",
            difficulty="standard",
            init_word=word,
            emoji=list(STYLE_SCENES),
            validation_prompts=STYLE_PROMPTS,
        )
        if softened:
            pictures = [soften(picture) for picture in pictures]
            description["changes"] = ", desaturated and tinted"
        write(work / "concepts" / folder, pictures, style, description)
    print(f"{len(OBJECTS) + len(CURVE_OBJECTS) + len(STYLES)} concepts")


def write_objects(parent, objects, sprites):
    """A folder in `parent` for each of the objects."""
    for folder, (name, style, word, difficulty) in objects.items():
        sprite = sprites.index[name, style]
        pictures = [sprites.compose(sprite, *scene) for scene in OBJECT_SCENES]
        description = dict(
            kind="object",
            difficulty=difficulty,
            init_word=word,
            emoji=name,
            validation_prompts=OBJECT_PROMPTS,
        )
        write(parent / folder, pictures, style, description)


def soften(picture):
    """Halves the saturation and tints the picture towards pink."""
    picture = picture.astype(np.float32)
    grey = picture.mean(-1, keepdims=True)
    picture = grey + 0.55 * (picture - grey)
    tinted = picture * 0.55 + np.array([255, 236, 246]) * 0.45
    return tinted.clip(0, 255).astype(np.uint8)


def write(folder, pictures, style, description):
    """The pictures as PNG and what they are, with their licence."""
    folder.mkdir(parents=True, exist_ok=True)
    for index, picture in enumerate(pictures):
        Image.fromarray(picture).save(folder / f"{index}.png")
    source, licence, copyright_holder = SOURCES[style]
    changes = "rasterised, resized, composited on flat colours" + description.pop("changes", "")
    concept = dict(
        name=folder.name,
        kind=description["kind"],
        difficulty=description["difficulty"],
        init_word=description["init_word"],
        placeholder=f"<{folder.name}>",
        images=len(pictures),
        size=64,
        source=source,
        licence=licence,
        copyright=copyright_holder,
        package=VECTOR_SETS[style][0],
        changes=changes,
        emoji=description["emoji"],
        validation_prompts=description["validation_prompts"],
    )
    (folder / "concept.json").write_text(json.dumps(concept, indent=1))
