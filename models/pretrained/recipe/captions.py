"""Draws a scene (background colour, layout) and writes a caption for it."""

from vocabulary import (
    COLORS,
    LARGE_TEMPLATES,
    OBJECT_TEMPLATES,
    SMALL_TEMPLATES,
    STYLE_TEMPLATES,
    TWO_TEMPLATES,
)

LAYOUTS = {"normal": 0.68, "small": 0.12, "large": 0.10, "two": 0.10}


def draw_layout(rng):
    """One of the layouts, by its probability."""
    remaining = rng.random()
    for layout, probability in LAYOUTS.items():
        if remaining < probability:
            return layout
        remaining -= probability
    return "normal"


def draw_background(rng, white_share=0.35):
    """A colour's name and its RGB value, slightly varied unless it is white."""
    if rng.random() < white_share:
        color = "white"
    else:
        color = rng.choice([name for name in COLORS if name != "white"])
    spread = 0 if color == "white" else 10
    rgb = (value + rng.randint(-spread, spread) for value in COLORS[color])
    return color, tuple(min(255, max(0, value)) for value in rgb)


def write_caption(rng, name, style, color, layout, style_share=0.55, style_only_share=0.04):
    """A caption that names the object, and at random the style and the background colour.

    `style_share` is how often the style is named; `style_only_share` how often the caption names
    nothing but the style.
    """
    template = _draw_template(rng, layout)
    if layout in ("normal", "large") and rng.random() < style_only_share:
        caption = rng.choice(STYLE_TEMPLATES).format(style)
        style = None
    else:
        if (template == "a {}" or template.endswith(" a {}")) and _takes_an(name):
            template = template[: -len("a {}")] + "an {}"
        caption = template.format(name)

    endings = []
    if style and rng.random() < style_share:
        endings.append(rng.choice([f" in the style of {style}", f" in {style} style"]))
    if color != "white" or rng.random() < 0.35:
        endings.append(_background_phrase(rng, color))
    if len(endings) == 2 and rng.random() < 0.3:
        endings.reverse()
    return caption + "".join(endings)


def _draw_template(rng, layout):
    if layout == "two":
        return rng.choice(TWO_TEMPLATES)
    if layout == "small":
        return rng.choice(SMALL_TEMPLATES)
    if layout == "large" and rng.random() < 0.8:
        return rng.choice(LARGE_TEMPLATES)
    return rng.choice(OBJECT_TEMPLATES)


def _takes_an(name):
    return name[0] in "aeiou" and name != "unicorn"


def _background_phrase(rng, color):
    if color == "orange":
        return " on an orange background"
    preposition = rng.choice(["on", "on", "with"])
    return f" {preposition} a {color} background"
