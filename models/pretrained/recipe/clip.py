"""Stage `clip`: a small CLIPModel that scores generated pictures and finds words for pictures.

Its pictures must agree with the eye: a thing is like itself in another scene, less like itself in
another style or mirrored, and unlike itself dissolved, smoothed, scrambled, in wrong colours or of
another shape. It is never shown the held-out style and things.
"""

import json
import math
import random

import numpy as np
import torch
import torch.nn.functional as F
from transformers import CLIPConfig, CLIPModel

from captions import draw_background
from muon import Muon
from precision import autocast
from scenes import CLEAN, IMAGE_MEAN, IMAGE_STD, Scenes, normalise
from tokenizer import MAX_LENGTH
from vocabulary import HELD_OUT_STYLE, SHORT_NAMES

STEPS = 1500
WARMUP_STEPS = 100
MAX_LOGIT_SCALE = 60
PICTURE_TEMPERATURE = 0.1
CAPTIONS_WEIGHT = 0.5
TOWER = dict(
    hidden_size=128,
    intermediate_size=512,
    num_attention_heads=4,
    hidden_act="quick_gelu",
    projection_dim=128,
)
SCORED_TEMPLATES = ("a photo of a {}", "an illustration of a {}", "{}")


def run(setting):
    """Writes `work/clip/`."""
    steps = 4 if setting.smoke else STEPS
    torch.manual_seed(0)
    scenes = Scenes(setting)
    model = build(scenes.encoder.tokenizer).to(setting.device)
    optimizer = Muon(
        model.named_parameters(), learning_rate=0.01, adam_learning_rate=1.5e-3, weight_decay=0.02
    )
    for step in setting.steps("clip", dict(model=model, optimizer=optimizer), steps):
        losses = training_losses(model, scenes.draw(step))
        optimizer.zero_grad()
        sum(losses.values()).backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        warmup = min(1, (step + 1) / WARMUP_STEPS)
        optimizer.step(warmup * (0.01 + 0.99 * (0.5 + 0.5 * math.cos(math.pi * step / steps))))
        if (step + 1) % 50 == 0:
            shown = ", ".join(f"{name} {loss.item():.3f}" for name, loss in losses.items())
            print(f"step {step + 1}: {shown}", flush=True)
    model = model.cpu()
    print(f"unseen style: {unseen_style_accuracy(model, scenes)}", flush=True)
    model.save_pretrained(setting.work / "clip")
    (setting.work / "clip" / "preprocessor_config.json").write_text(
        json.dumps(preprocessor(), indent=1)
    )


def build(tokenizer):
    """The untrained model: 64x64 pictures in 8x8 patches, vision 4x128, text 2x128."""
    vision = TOWER | dict(num_hidden_layers=4, image_size=64, patch_size=8)
    text = text_settings(tokenizer)
    model = CLIPModel(CLIPConfig(text_config=text, vision_config=vision, projection_dim=128))
    # The backward pass of PyTorch's fused attention is slow on a CPU.
    model.set_attn_implementation("eager")
    with torch.no_grad():
        model.logit_scale.fill_(math.log(10))
    return model


def text_settings(tokenizer):
    """Settings of the text tower, which the generator's text encoder shares."""
    return TOWER | dict(
        vocab_size=len(tokenizer),
        num_hidden_layers=2,
        max_position_embeddings=MAX_LENGTH,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.eos_token_id,
    )


def training_losses(model, batch):
    """What is minimised, by name: pictures among pictures, with names, and with full captions."""
    with autocast(batch["pictures"].device):
        pictures = model.get_image_features(batch["pictures"])
        names = model.get_text_features(batch["names"])
    pictures = F.normalize(pictures.float(), dim=-1)
    names = F.normalize(names.float(), dim=-1)
    scale = model.logit_scale.exp().clamp(max=MAX_LOGIT_SCALE)
    losses = dict(
        pictures=picture_loss(pictures, batch["mirrored"], batch["restyled"]),
        names=name_loss(pictures, names, scale),
    )
    if batch["captions"] is not None:
        with autocast(batch["pictures"].device):
            captions = model.get_text_features(batch["captions"])
        captions = F.normalize(captions.float(), dim=-1)
        logits = scale * pictures[: len(captions)] @ captions.T
        losses["captions"] = CAPTIONS_WEIGHT * symmetric(logits)
    return losses


def picture_loss(pictures, mirrored, restyled):
    """Two nested contrasts for each thing's first picture.

    Its second scene is told from everything else, its other style and its mirrored self included;
    those two are told from other things and from the thing distorted. The distorted pictures of
    all things are among the wrong ones.
    """
    count = len(pictures) // 5
    first, second, style = pictures[: 3 * count].split(count)
    bad = pictures[3 * count :]
    own = torch.eye(count, dtype=torch.bool, device=pictures.device)
    own_bad = own.repeat(1, 2)
    only_mirrored = own_bad & mirrored

    def logits(left, right):
        return left @ right.T / PICTURE_TEMPERATURE

    total = 0
    for anchor, same in ((first, second), (second, first)):
        to_same, to_style, to_bad = logits(anchor, same), logits(anchor, style), logits(anchor, bad)
        other_styles = to_style.masked_fill(own & ~restyled, -math.inf)
        every = torch.cat([to_same, other_styles, to_bad], 1)
        total = total - (to_same.diagonal() - every.logsumexp(1)).mean()

        wrong = torch.cat(
            [
                to_same.masked_fill(own, -math.inf),
                to_style.masked_fill(own, -math.inf),
                to_bad.masked_fill(only_mirrored, -math.inf),
            ],
            1,
        ).logsumexp(1)
        less_like = torch.cat([to_style.diagonal()[:, None], to_bad[only_mirrored][:, None]])
        rows = torch.cat([torch.arange(count, device=wrong.device), only_mirrored.nonzero()[:, 0]])
        both = torch.stack([less_like[:, 0], wrong[rows]])
        total = total - (less_like[:, 0] - both.logsumexp(0)).mean()
    return total / 2


def name_loss(pictures, names, scale):
    """Whole pictures find their name among all; names find their whole pictures among all."""
    count = len(pictures) // 5
    logits = scale * pictures @ names.T
    labels = torch.arange(count, device=logits.device)
    from_pictures = F.cross_entropy(logits[: CLEAN * count], labels.repeat(CLEAN))
    chances = logits[:, :count].log_softmax(0)[: CLEAN * count]
    own = torch.eye(count, dtype=torch.bool, device=logits.device).repeat(CLEAN, 1)
    from_names = -chances[own].mean()
    return (from_pictures + from_names) / 2


def symmetric(logits):
    """CLIP's loss: pictures and captions find each other."""
    labels = torch.arange(len(logits), device=logits.device)
    return (F.cross_entropy(logits, labels) + F.cross_entropy(logits.T, labels)) / 2


@torch.no_grad()
def unseen_style_accuracy(model, scenes):
    """Zero-shot accuracy on the vocabulary's objects in the style never shown."""
    sprites = scenes.sprites
    names = [name for name in SHORT_NAMES if (name, HELD_OUT_STYLE) in sprites.index]
    texts = text_features(model, scenes.encoder, [SHORT_NAMES[name] for name in names])
    rng = random.Random(7)
    pictures = []
    for name in names:
        _, background = draw_background(rng)
        offset = (rng.randint(-3, 3), rng.randint(-3, 3))
        sprite = sprites.index[name, HELD_OUT_STYLE]
        pictures.append(sprites.compose(sprite, background, "normal", offset))
    features = image_features(model, to_pictures(pictures))
    return accuracy(features, texts, torch.arange(len(names)))


def to_pictures(pictures):
    """A list of uint8 [64, 64, 3] -> f32 [n, 3, 64, 64], 0 to 1."""
    return torch.from_numpy(np.stack(pictures)).permute(0, 3, 1, 2).float() / 255


@torch.no_grad()
def image_features(model, pictures):
    """Unit vectors of pictures [n, 3, 64, 64], 0 to 1."""
    chunks = [model.get_image_features(chunk) for chunk in normalise(pictures).split(256)]
    return F.normalize(torch.cat(chunks), dim=-1)


def accuracy(images, texts, labels):
    """Top-1 and top-5 accuracy of the nearest text."""
    hits = (images @ texts.T).topk(5).indices == labels[:, None]
    top_1, top_5 = hits[:, 0].float().mean().item(), hits.any(1).float().mean().item()
    return dict(top_1=round(top_1, 3), top_5=round(top_5, 3))


def text_features(model, encoder, words):
    """One unit vector per word: the mean of three templates."""
    total = 0
    for template in SCORED_TEMPLATES:
        ids = torch.tensor(encoder.encode([template.format(word) for word in words]))
        total = total + F.normalize(model.get_text_features(ids), dim=-1)
    return F.normalize(total, dim=-1)


def preprocessor():
    """The image processor's settings."""
    return dict(
        image_processor_type="CLIPImageProcessor",
        feature_extractor_type="CLIPFeatureExtractor",
        do_resize=True,
        size=dict(shortest_edge=64),
        resample=3,
        do_center_crop=True,
        crop_size=dict(height=64, width=64),
        do_rescale=True,
        rescale_factor=1 / 255,
        do_normalize=True,
        image_mean=IMAGE_MEAN,
        image_std=IMAGE_STD,
        do_convert_rgb=True,
    )
