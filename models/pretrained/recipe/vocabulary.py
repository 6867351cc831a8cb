"""What the model knows: object kinds, drawing styles, background colours and caption templates.

Object and style tables map the short word used in captions to the name used in the source data.
"""

from pathlib import Path


def _parse_table(text):
    """`short=canonical; same; ...` -> {short: canonical}, in the order written."""
    pairs = (entry.strip().partition("=") for entry in text.split(";"))
    return {short: canonical or short for short, _, canonical in pairs}


# Shown to the generator, in every style but the held-out one.
TRAINED_OBJECTS = _parse_table("""
cat=cat face; dog=dog face; pig=pig face; mouse=mouse face; cow=cow face; tiger=tiger face;
rabbit=rabbit face; bear; panda; lion; fox; frog; monkey=monkey face; horse=horse face; chicken;
penguin; chick=baby chick; duck; bat; butterfly; snail; bee=honeybee; ladybug=lady beetle; spider;
snake; octopus; fish=tropical fish; dolphin; whale=spouting whale; elephant; cactus;
tree=deciduous tree; palm=palm tree; tulip; rose; sunflower; blossom; clover=four leaf clover;
mushroom; apple=red apple; pear; tangerine; lemon; banana; watermelon; grapes; strawberry;
cherries; peach; kiwi=kiwi fruit; tomato; eggplant; avocado; carrot; corn=ear of corn; bread;
croissant; cheese=cheese wedge; burger=hamburger; fries=french fries; pizza; hotdog=hot dog; taco;
egg=cooking; donut=doughnut; cookie; cake=birthday cake; lollipop; coffee=hot beverage;
wine=wine glass; beer=beer mug; car=automobile; bus; taxi; truck=delivery truck; bicycle; sailboat;
plane=airplane; helicopter; train=locomotive; lightbulb=light bulb; bomb; bell; key; hammer; crown;
diamond=gem stone; guitar; drum; football=american football; soccer=soccer ball; basketball;
baseball; balloon; gift=wrapped gift; trophy; clock=alarm clock; camera; television; umbrella;
house; tent; fire; drop=droplet; star; sun; moon=crescent moon; cloud; rainbow; snowflake;
lightning=high voltage; book=closed book; pencil; envelope; anchor; heart=red heart; skull; alien;
robot; pumpkin=jack o lantern; smiley=grinning face; hat=top hat; magnet; shirt=t shirt; rocket
""")

# Never shown to the generator in any style, so that they can be learned as new concepts.
HELD_OUT_OBJECTS = _parse_table("""
koala; unicorn; pineapple; turtle; ghost; snowman=snowman without snow; tractor; owl; crab; violin
""")

# Source set -> the word for it in captions.
TRAINED_STYLES = {
    "noto": "noto",
    "fluent": "fluent",
    "fluentflat": "flat",
    "fluent3d": "3d",
    "fxemoji": "fx",
}
HELD_OUT_STYLE = "notov1"

# What a stranger brings: no part of the model is trained on these emoji, in any style.
NEVER_TRAINED = frozenset(Path(__file__).with_name("never_trained.txt").read_text().splitlines())

SHORT_NAMES = {name: word for word, name in (TRAINED_OBJECTS | HELD_OUT_OBJECTS).items()}
STYLE_WORDS = TRAINED_STYLES | {HELD_OUT_STYLE: HELD_OUT_STYLE}

COLORS = {
    "white": (255, 255, 255),
    "blue": (66, 120, 240),
    "green": (70, 180, 90),
    "yellow": (250, 215, 60),
    "red": (225, 60, 55),
    "pink": (250, 165, 200),
    "purple": (140, 85, 200),
    "orange": (250, 150, 50),
    "black": (20, 20, 24),
    "gray": (150, 153, 160),
}

# The templates of Textual Inversion (Gal et al., 2022) and a few more.
OBJECT_TEMPLATES = [
    "a photo of a {}",
    "a rendering of a {}",
    "a cropped photo of the {}",
    "the photo of a {}",
    "a photo of a clean {}",
    "a photo of a dirty {}",
    "a dark photo of the {}",
    "a photo of my {}",
    "a photo of the cool {}",
    "a close-up photo of a {}",
    "a bright photo of the {}",
    "a cropped photo of a {}",
    "a photo of the {}",
    "a good photo of the {}",
    "a photo of one {}",
    "a close-up photo of the {}",
    "a rendition of the {}",
    "a photo of the clean {}",
    "a rendition of a {}",
    "a photo of a nice {}",
    "a good photo of a {}",
    "a photo of the nice {}",
    "a photo of the weird {}",
    "a photo of a cool {}",
    "a depiction of a {}",
    "an illustration of a {}",
    "a picture of a {}",
    "a {}",
    "the {}",
    "{}",
    "an icon of a {}",
    "a drawing of a {}",
    "a painting of a {}",
]
SMALL_TEMPLATES = [
    "a photo of the small {}",
    "a photo of a small {}",
    "the photo of a small {}",
    "a small {}",
    "a rendering of a small {}",
    "an illustration of a small {}",
    "a depiction of a small {}",
]
LARGE_TEMPLATES = [
    "a photo of the large {}",
    "a photo of a large {}",
    "a large {}",
    "the photo of a large {}",
]
TWO_TEMPLATES = [
    "two {}",
    "a photo of two {}",
    "an illustration of two {}",
    "a picture of two {}",
]
STYLE_TEMPLATES = [
    "a painting in the style of {}",
    "a rendering in the style of {}",
    "a cropped painting in the style of {}",
    "the painting in the style of {}",
    "a clean painting in the style of {}",
    "a dirty painting in the style of {}",
    "a dark painting in the style of {}",
    "a picture in the style of {}",
    "a cool painting in the style of {}",
    "a close-up painting in the style of {}",
    "a bright painting in the style of {}",
    "a good painting in the style of {}",
    "a close-up painting in the style of {}",
    "a rendition in the style of {}",
    "a nice painting in the style of {}",
    "a small painting in the style of {}",
    "a weird painting in the style of {}",
    "a large painting in the style of {}",
]
