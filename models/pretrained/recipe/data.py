"""Stage `data`: fetches the emoji packages and rasterises them into one file of sprites."""

import io
import json
import re
import subprocess

import numpy as np
import torch
from PIL import Image, ImageDraw

from vocabulary import HELD_OUT_STYLE, NEVER_TRAINED, TRAINED_OBJECTS

# Source set -> npm package.
VECTOR_SETS = {
    "noto": ("@iconify-json/noto", "1.2.9"),
    "notov1": ("@iconify-json/noto-v1", "1.2.5"),
    "fxemoji": ("@iconify-json/fxemoji", "1.2.2"),
    "fluent": ("@iconify-json/fluent-emoji", "1.2.7"),
    "fluentflat": ("@iconify-json/fluent-emoji-flat", "1.2.6"),
}
RASTER_SET = ("@lobehub/fluent-emoji-3d", "1.1.0")
NAMES = ("unicode-emoji-json", "0.9.0")
KEYWORDS = ("emojilib", "4.0.3")

EXCLUDED_GROUPS = ("People & Body", "Flags", "Symbols")
RENDER_SIZE = 128
# Full frame; normal; small and two.
SPRITE_SIZES = (64, 56, 30)


def run(setting):
    """Writes `work/sprites.npz`, every emoji from every set, and `work/keywords.json`.

    The smoke run fetches nothing: its sprites are plain shapes under the emoji's names.
    """
    work = setting.work
    if setting.smoke:
        sprites, keywords = _shapes(), {}
    else:
        modules = _install_packages(work / "npm")
        names = _canonical_names(modules)
        sprites = {}
        for name, style, picture in _pictures(modules, names):
            if (name, style) not in sprites:
                sprites[name, style] = _all_sizes(picture)
        keywords = _keywords(modules, names)
    keys = sorted(sprites)
    np.savez_compressed(
        work / "sprites.npz",
        name=np.array([name for name, _ in keys]),
        style=np.array([style for _, style in keys]),
        **{
            f"size{size}": np.stack([sprites[key][index] for key in keys])
            for index, size in enumerate(SPRITE_SIZES)
        },
    )
    (work / "keywords.json").write_text(json.dumps(keywords, indent=1))
    print(f"{len(keys)} sprites of {len({name for name, _ in keys})} emoji")


class Sprites:
    """The sprites of `work/sprites.npz`; `index[name, style]` finds one."""

    def __init__(self, work):
        arrays = np.load(work / "sprites.npz")
        self.names = arrays["name"].tolist()
        self.styles = arrays["style"].tolist()
        self.pixels = {size: arrays[f"size{size}"] for size in SPRITE_SIZES}
        self.index = {key: i for i, key in enumerate(zip(self.names, self.styles))}

    def compose(self, sprite, background, layout="normal", offset=(0, 0)):
        """A sprite over a flat RGB background -> uint8 [64, 64, 3]; `offset` is (down, right)."""
        canvas = np.empty((64, 64, 3), np.float32)
        canvas[:] = background
        down, right = offset
        if layout == "normal":
            self._draw(canvas, 56, sprite, 4 + down, 4 + right)
        elif layout == "large":
            self._draw(canvas, 64, sprite, 0, 0)
        elif layout == "small":
            self._draw(canvas, 30, sprite, 17 + down, 17 + right)
        elif layout == "two":
            self._draw(canvas, 30, sprite, 17 + down, 1)
            self._draw(canvas, 30, sprite, 17 + down, 33)
        return canvas.clip(0, 255).astype(np.uint8)

    def _draw(self, canvas, size, sprite, top, left):
        pixels = self.pixels[size][sprite].astype(np.float32)
        region = canvas[top : top + size, left : left + size]
        region[:] = region * (1 - pixels[..., 3:] / 255) + pixels[..., :3]

    def pixels_of(self, sprites, device):
        """Whole sprites with premultiplied alpha, f32 [n, 4, 64, 64], 0 to 1."""
        pixels = torch.from_numpy(self.pixels[64][sprites]).to(device)
        return pixels.permute(0, 3, 1, 2).float() / 255

    def trainable_by_name(self):
        """{name: [sprite, ...]}: all that any part of the model may be trained on."""
        found = {}
        for sprite, (name, style) in enumerate(zip(self.names, self.styles)):
            if style != HELD_OUT_STYLE and name not in NEVER_TRAINED:
                found.setdefault(name, []).append(sprite)
        return found


def _install_packages(folder):
    packages = [*VECTOR_SETS.values(), RASTER_SET, NAMES, KEYWORDS]
    modules = folder / "node_modules"
    if not all((modules / package).is_dir() for package, _ in packages):
        folder.mkdir(parents=True, exist_ok=True)
        specifiers = [f"{package}@{version}" for package, version in packages]
        command = ["npm", "install", "--prefix", str(folder), "--ignore-scripts", "--no-audit"]
        subprocess.run(command + specifiers, check=True)
    return modules


def _canonical_names(modules):
    """{emoji: normalised name} of the emoji outside the excluded groups."""
    table = json.loads((modules / NAMES[0] / "data-by-emoji.json").read_text())
    return {
        emoji: _normalise(entry["name"])
        for emoji, entry in table.items()
        if entry["group"] not in EXCLUDED_GROUPS
    }


def _keywords(modules, names):
    """{name: [what else it is called, ...]}, without the words for what is never trained on."""
    table = json.loads((modules / KEYWORDS[0] / "dist" / "emoji-en-US.json").read_text())
    forbidden = {word for name in NEVER_TRAINED for word in (name, *name.split())}
    found = {}
    for emoji, name in names.items():
        words = [_normalise(word) for word in table.get(emoji, [])]
        words = [word for word in words if word.replace(" ", "").isalpha() and word != name]
        words = [word for word in words if not forbidden & {word, *word.split()}]
        found[name] = list(dict.fromkeys(words))
    return found


def _shapes():
    """A round or angular shape for each name that some stage asks for, in every style."""
    sprites = {}
    styles = [*VECTOR_SETS, "fluent3d"]
    for row, name in enumerate(sorted({*TRAINED_OBJECTS.values(), *NEVER_TRAINED})):
        for column, style in enumerate(styles):
            rng = np.random.default_rng([row, column])
            picture = Image.new("RGBA", (RENDER_SIZE, RENDER_SIZE))
            draw = ImageDraw.Draw(picture)
            for _ in range(3):
                left, top, width, height = (int(x) for x in rng.integers(10, 64, 4))
                box = (left, top, left + width, top + height)
                color = (*(int(x) for x in rng.integers(0, 256, 3)), 255)
                (draw.ellipse if row % 2 else draw.rectangle)(box, color)
            sprites[name, style] = _all_sizes(picture)
    return sprites


def _normalise(name):
    name = name.lower().replace("’", "").replace("'", "")
    return re.sub(r"[^a-z0-9]+", " ", name).strip()


def _pictures(modules, names):
    """Yields (canonical name, source set, RGBA picture) for every picture with a known name."""
    by_squeezed_name = {name.replace(" ", ""): name for name in names.values()}
    for style, (package, _) in VECTOR_SETS.items():
        icons = json.loads((modules / package / "icons.json").read_text())
        for icon_name, icon in icons["icons"].items():
            name = by_squeezed_name.get(_normalise(icon_name).replace(" ", ""))
            if name and not icon.get("hidden"):
                yield name, style, _render(icon, icons)

    by_code_points = {
        "-".join(f"{ord(c):x}" for c in emoji if ord(c) != 0xFE0F): name
        for emoji, name in names.items()
    }
    for path in sorted((modules / RASTER_SET[0] / "assets").glob("*.webp")):
        code_points = "-".join(part for part in path.stem.split("-") if part != "fe0f")
        if code_points in by_code_points:
            yield by_code_points[code_points], "fluent3d", Image.open(path).convert("RGBA")


def _render(icon, icons):
    import resvg_py  # only this stage needs it

    width = icon.get("width", icons.get("width", 16))
    height = icon.get("height", icons.get("height", icons.get("width", 16)))
    view_box = f"{icon.get('left', 0)} {icon.get('top', 0)} {width} {height}"
    svg = (
        '<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink" '
        f'viewBox="{view_box}" width="{RENDER_SIZE}" height="{RENDER_SIZE}">{icon["body"]}</svg>'
    ).replace("currentColor", "#222")
    png = resvg_py.svg_to_bytes(svg_string=svg, width=RENDER_SIZE, height=RENDER_SIZE)
    return Image.open(io.BytesIO(bytes(png))).convert("RGBA")


def _all_sizes(picture):
    """Centres the picture on a square and reduces it, with premultiplied alpha, to every size."""
    side = max(picture.size)
    square = Image.new("RGBA", (side, side))
    square.paste(picture, ((side - picture.width) // 2, (side - picture.height) // 2))
    if side != RENDER_SIZE:
        square = square.resize((RENDER_SIZE, RENDER_SIZE), Image.LANCZOS)
    pixels = np.asarray(square, np.float32)
    pixels[..., :3] *= pixels[..., 3:] / 255
    return [_reduce(pixels, size) for size in SPRITE_SIZES]


def _reduce(pixels, size):
    channels = [
        Image.fromarray(np.ascontiguousarray(pixels[..., channel])).resize((size, size), Image.BOX)
        for channel in range(4)
    ]
    return np.clip(np.stack(channels, -1) + 0.5, 0, 255).astype(np.uint8)
