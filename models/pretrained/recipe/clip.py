"""Stage `clip`: a small CLIPModel that scores generated pictures, trained on every emoji.

It is never shown the held-out style of the objects in the vocabulary: those pictures are its test
and the source of the concepts to learn.
"""

import json
import math
import random

import torch
import torch.nn.functional as F
from transformers import CLIPConfig, CLIPModel

from captions import draw_background
from muon import Muon
from precision import autocast
from scenes import BATCH_SIZE, IMAGE_MEAN, IMAGE_STD, Scenes, normalise
from tokenizer import MAX_LENGTH
from vocabulary import SHORT_NAMES

ROUNDS = 3
STEPS_PER_ROUND = 300
WARMUP_STEPS = 100
MAX_LOGIT_SCALE = 60
TOWER = dict(
    hidden_size=128,
    intermediate_size=512,
    num_attention_heads=4,
    hidden_act="quick_gelu",
    projection_dim=128,
)
SCORED_TEMPLATES = ("a photo of a {}", "an illustration of a {}", "{}")


def run(work, smoke):
    """Writes `work/clip/`. Each round starts the optimiser and its schedule anew."""
    steps = 3 if smoke else STEPS_PER_ROUND
    torch.manual_seed(0)
    scenes = Scenes(work)
    model = build(scenes.encoder.tokenizer)
    for round_ in range(ROUNDS):
        scenes.seed(round_)
        train_round(model, scenes, steps)
        print(f"round {round_ + 1}: {unseen_style_accuracy(model, scenes)}", flush=True)
    model.save_pretrained(work / "clip")
    (work / "clip" / "preprocessor_config.json").write_text(json.dumps(preprocessor(), indent=1))


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


def train_round(model, scenes, steps):
    """`steps` updates of the symmetric contrastive loss."""
    optimizer = Muon(
        model.named_parameters(),
        learning_rate=0.01,
        adam_learning_rate=1.5e-3,
        weight_decay=0.02,
    )
    labels = torch.arange(BATCH_SIZE)
    for step in range(steps):
        by_attributes = step % 3 == 2
        pictures, ids = scenes.draw_attributes() if by_attributes else scenes.draw_objects()
        with autocast():
            image_features = model.get_image_features(pictures)
            text_features = model.get_text_features(ids)
        image_features = F.normalize(image_features.float(), dim=-1)
        text_features = F.normalize(text_features.float(), dim=-1)
        scale = model.logit_scale.exp().clamp(max=MAX_LOGIT_SCALE)
        logits = scale * image_features @ text_features.T
        loss = (F.cross_entropy(logits, labels) + F.cross_entropy(logits.T, labels)) / 2
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        warmup = min(1, (step + 1) / WARMUP_STEPS)
        optimizer.step(warmup * (0.01 + 0.99 * (0.5 + 0.5 * math.cos(math.pi * step / steps))))
        if (step + 1) % 50 == 0:
            print(f"step {step + 1}: loss {loss.item():.3f}", flush=True)


@torch.no_grad()
def unseen_style_accuracy(model, scenes):
    """Zero-shot accuracy on the vocabulary's objects in the style never shown."""
    sprites = scenes.sprites
    names = scenes.vocabulary_names
    texts = text_features(model, scenes.encoder, [SHORT_NAMES[name] for name in names])
    rng = random.Random(7)
    pictures = []
    for sprite in scenes.unseen:
        _, background = draw_background(rng)
        offset = (rng.randint(-3, 3), rng.randint(-3, 3))
        pictures.append(sprites.compose(sprite, background, "normal", offset))
    pictures = normalise(pictures)
    labels = torch.tensor([names.index(sprites.names[sprite]) for sprite in scenes.unseen])
    return accuracy(F.normalize(model.get_image_features(pictures), dim=-1), texts, labels)


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
