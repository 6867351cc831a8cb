"""Stage `vae`: a stock AutoencoderKL (4x smaller, 4 latent channels), trained on every emoji.

Two things let it train in minutes on a CPU. The log-variance is frozen at -5, so the posterior
cannot collapse at the start. The first three latent channels are softly held to the picture
averaged over 4x4 pixels, which makes the latents smooth and easy to diffuse.
"""

import math
import random

import numpy as np
import torch
import torch.nn.functional as F
from diffusers import AutoencoderKL

from captions import draw_background, draw_layout
from data import Sprites
from muon import Muon
from precision import autocast
from vocabulary import TRAINED_OBJECTS

STEPS = 1153
BATCH_SIZE = 8
WARMUP_STEPS = 60
TEST_PICTURES = 200
MEASURED_PICTURES = 128
LOG_VARIANCE = -5.0
POSTERIOR_STD = math.exp(LOG_VARIANCE / 2)


def run(setting):
    """Writes `work/vae/`, with the scaling factor that gives the latents unit deviation."""
    steps = 3 if setting.smoke else STEPS
    device = setting.device
    torch.manual_seed(0)
    sprites = Sprites(setting.work)
    chosen = [sprite for found in sprites.trainable_by_name().values() for sprite in found]
    shuffled = np.random.RandomState(0).permutation(chosen).tolist()
    held_out = 8 if setting.smoke else TEST_PICTURES
    test, train = sorted(shuffled[:held_out])[:MEASURED_PICTURES], sorted(shuffled[held_out:])
    generator_names = set(TRAINED_OBJECTS.values())
    favoured = [sprite for sprite in train if sprites.names[sprite] in generator_names]

    model = build().to(device)
    optimizer = Muon(model.named_parameters(), learning_rate=0.01, adam_learning_rate=2e-3)
    for step in setting.steps("vae", dict(model=model, optimizer=optimizer), steps):
        progress = step / steps
        rng = random.Random(step)
        chosen = [rng.choice(favoured if rng.random() < 0.5 else train) for _ in range(BATCH_SIZE)]
        pictures = draw_pictures(sprites, chosen, rng).to(device)
        loss = training_loss(model, pictures, progress)
        optimizer.zero_grad()
        loss.backward()
        model.quant_conv.weight.grad[4:] = 0
        model.quant_conv.bias.grad[4:] = 0
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        warmup = min(1, (step + 1) / WARMUP_STEPS)
        optimizer.step(warmup * (0.01 + 0.99 * (0.5 + 0.5 * math.cos(math.pi * progress))))
        if (step + 1) % 100 == 0:
            print(f"step {step + 1}: loss {loss.item():.4f}", flush=True)

    psnr, latents = measure(model, draw_pictures(sprites, test, random.Random(-1)).to(device))
    model.register_to_config(scaling_factor=1 / latents.std().item())
    model.save_pretrained(setting.work / "vae")
    print(f"PSNR of pictures not trained on: {psnr:.1f} dB")


def build():
    """The untrained model: latents start as the encoder's first channels, log-variance frozen."""
    model = AutoencoderKL(
        in_channels=3,
        out_channels=3,
        down_block_types=["DownEncoderBlock2D"] * 3,
        up_block_types=["UpDecoderBlock2D"] * 3,
        block_out_channels=[16, 32, 64],
        layers_per_block=1,
        latent_channels=4,
        norm_num_groups=8,
        mid_block_add_attention=True,
        sample_size=64,
    )
    with torch.no_grad():
        model.quant_conv.weight[:4] = torch.eye(4, 8)[:, :, None, None]
        model.quant_conv.bias[:4] = 0
        model.quant_conv.weight[4:] = 0
        model.quant_conv.bias[4:] = LOG_VARIANCE
        model.decoder.conv_out.weight.mul_(0.2)
    return model


def encode_mean(model, pictures):
    """Pictures [n, 3, 64, 64] -> the posterior's mean [n, 4, 16, 16], in f32."""
    return model.quant_conv(model.encoder(pictures))[:, :4].float()


def training_loss(model, pictures, progress):
    """Pixels (L1, L2), gradients of the picture, and the pull on the latents."""
    with autocast(pictures.device):
        mean = encode_mean(model, pictures)
        latents = mean + POSTERIOR_STD * torch.randn_like(mean)
        decoded = model.decoder(model.post_quant_conv(latents)).float()
    edges = F.l1_loss(decoded.diff(dim=-1), pictures.diff(dim=-1))
    edges = edges + F.l1_loss(decoded.diff(dim=-2), pictures.diff(dim=-2))
    anchor = F.mse_loss(mean[:, :3], F.avg_pool2d(pictures, 4))
    anchor_weight = 0.5 * max(0.06, 1 - progress / 0.15)
    return (
        F.l1_loss(decoded, pictures)
        + 0.5 * edges
        + F.mse_loss(decoded, pictures)
        + anchor_weight * anchor
        + 1e-3 * mean[:, 3].pow(2).mean()
    )


@torch.no_grad()
def measure(model, pictures):
    """Mean PSNR (dB) of the posterior's mode decoded, and the latents."""
    latents = model.encode(pictures).latent_dist.mode()
    decoded = model.decode(latents).sample.clamp(-1, 1)
    squared_error = ((decoded - pictures) / 2).pow(2).mean((1, 2, 3))
    return (-10 * torch.log10(squared_error)).mean().item(), latents


def draw_pictures(sprites, chosen, rng):
    """Composites of the chosen sprites on random scenes -> [n, 3, 64, 64] in [-1, 1]."""
    pictures = []
    for sprite in chosen:
        _, background = draw_background(rng)
        layout = draw_layout(rng)
        offset = (rng.randint(-3, 3), rng.randint(-3, 3))
        pictures.append(sprites.compose(sprite, background, layout, offset))
    return to_tensor(pictures)


def to_tensor(pictures):
    """A list of uint8 [64, 64, 3] -> f32 [n, 3, 64, 64] in [-1, 1]."""
    return torch.from_numpy(np.stack(pictures)).permute(0, 3, 1, 2).float() / 127.5 - 1
