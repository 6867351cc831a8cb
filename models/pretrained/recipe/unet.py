"""Stage `unet`: the text encoder and the UNet, trained together from scratch.

Epsilon prediction on Stable Diffusion 1.5's noise schedule; what is kept is the exponential moving
average of the weights.
"""

import math
import random

import numpy as np
import torch
from diffusers import AutoencoderKL, DDPMScheduler, UNet2DConditionModel
from diffusers.models.attention_processor import AttnProcessor
from transformers import CLIPTextConfig, CLIPTextModel

from captions import draw_background, draw_layout, write_caption
from clip import text_settings
from data import Sprites
from muon import Muon
from precision import autocast
from tokenizer import MAX_LENGTH, CaptionEncoder
from vae import POSTERIOR_STD, encode_mean, to_tensor

# (steps, batch size), one after the other.
PHASES = ((1350, 32), (1098, 64))
SMOKE_PHASES = ((2, 32), (1, 64))
WARMUP_STEPS = 100
POOL_SIZE = 3072
SMOKE_POOL_SIZE = 64
EMPTY_CAPTION_SHARE = 0.1
LATE_TIMESTEP_SHARE = 0.4
MAX_SNR_WEIGHT = 5
EMA_DECAY = 0.998
SCHEDULE = DDPMScheduler(beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear")


def run(work, smoke):
    """Writes `work/text_encoder/` and `work/unet/`, both with the averaged weights."""
    torch.manual_seed(0)
    encoder = CaptionEncoder(work)
    text_encoder = CLIPTextModel(CLIPTextConfig(**text_settings(encoder.tokenizer)))
    unet = build_unet()
    # The backward pass of PyTorch's fused attention is slow on a CPU.
    text_encoder.set_attn_implementation("eager")
    unet.set_attn_processor(AttnProcessor())

    named = [*text_encoder.named_parameters(), *unet.named_parameters()]
    parameters = [parameter for _, parameter in named]
    optimizer = Muon(named, learning_rate=0.01, adam_learning_rate=2e-3)
    average = [parameter.detach().clone() for parameter in parameters]
    pool = LatentPool(work, encoder, SMOKE_POOL_SIZE if smoke else POOL_SIZE)

    phases = SMOKE_PHASES if smoke else PHASES
    batch_sizes = [size for steps, size in phases for _ in range(steps)]
    samples = 0
    for step, batch_size in enumerate(batch_sizes, start=1):
        progress = samples / sum(batch_sizes)
        samples += batch_size
        loss, mean_squared_error = diffusion_loss(text_encoder, unet, *pool.draw(batch_size))
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(parameters, 1.0)
        optimizer.step(min(1, step / WARMUP_STEPS) * learning_rate_factor(progress))
        decay = min(EMA_DECAY, (step + 1) / (step + 10))
        torch._foreach_lerp_(average, [p.detach() for p in parameters], 1 - decay)
        pool.refresh(batch_size // 16)
        if step % 50 == 0:
            print(f"step {step}: squared error {mean_squared_error:.4f}", flush=True)

    for parameter, averaged in zip(parameters, average):
        parameter.data.copy_(averaged)
    text_encoder.save_pretrained(work / "text_encoder")
    unet.save_pretrained(work / "unet")


def build_unet():
    """The untrained UNet: three resolutions, attention to the text in the lower two."""
    return UNet2DConditionModel(
        sample_size=16,
        in_channels=4,
        out_channels=4,
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"),
        block_out_channels=(64, 128, 128),
        layers_per_block=1,
        cross_attention_dim=128,
        attention_head_dim=4,
        norm_num_groups=32,
    )


def learning_rate_factor(progress):
    """Constant for three tenths, then a cosine down to 0.005."""
    decayed = 1 if progress < 0.3 else 0.5 + 0.5 * math.cos(math.pi * (progress - 0.3) / 0.7)
    return 0.005 + 0.995 * decayed


def diffusion_loss(text_encoder, unet, latents, timesteps, ids):
    """The min-SNR-weighted loss (Hang et al., 2023) and the plain mean squared error."""
    noise = torch.randn_like(latents)
    noisy_latents = SCHEDULE.add_noise(latents, noise, timesteps)
    with autocast():
        hidden_states = text_encoder(ids).last_hidden_state
        predicted = unet(noisy_latents, timesteps, hidden_states).sample
    errors = (predicted.float() - noise).pow(2).mean((1, 2, 3))
    signal = SCHEDULE.alphas_cumprod[timesteps]
    snr = signal / (1 - signal)
    return (snr.clamp(max=MAX_SNR_WEIGHT) / snr * errors).mean(), errors.mean().item()


class LatentPool:
    """Encoded composites of the generator's pictures, a few of them replaced after each step."""

    def __init__(self, work, encoder, size):
        self.encoder = encoder
        self.sprites = Sprites(work)
        self.pictures = self.sprites.trained_pictures()
        self.vae = AutoencoderKL.from_pretrained(work / "vae").eval().requires_grad_(False)
        self.rng = random.Random(0)
        self.draws = np.random.default_rng(0)
        self.oldest = 0
        self.means, self.scenes = self._compose(size)

    def draw(self, count):
        """Latents [count, 4, 16, 16], timesteps [count], and token ids [count, 32]."""
        chosen = self.draws.integers(0, len(self.scenes), count)
        means = self.means[chosen]
        latents = (means + POSTERIOR_STD * torch.randn_like(means)) * self.vae.config.scaling_factor
        timesteps = np.where(
            self.draws.random(count) < LATE_TIMESTEP_SHARE,
            self.draws.integers(300, 1000, count),
            self.draws.integers(0, 1000, count),
        )
        ids = self.encoder.encode([self._caption(index) for index in chosen], MAX_LENGTH)
        return latents, torch.from_numpy(timesteps), torch.tensor(ids)

    def refresh(self, count):
        """Replaces the oldest composites by new ones."""
        means, scenes = self._compose(count)
        for mean, scene in zip(means, scenes):
            self.means[self.oldest], self.scenes[self.oldest] = mean, scene
            self.oldest = (self.oldest + 1) % len(self.scenes)

    def _caption(self, index):
        if self.rng.random() < EMPTY_CAPTION_SHARE:
            return ""
        return write_caption(self.rng, *self.scenes[index])

    @torch.no_grad()
    def _compose(self, count):
        composites, scenes = [], []
        for _ in range(count):
            # Objects are equally likely, not pictures.
            word = self.rng.choice(list(self.pictures))
            sprite, style = self.rng.choice(self.pictures[word])
            color, background = draw_background(self.rng)
            layout = draw_layout(self.rng)
            composites.append(self.sprites.compose(sprite, background, layout))
            scenes.append((word, style, color, layout))
        with autocast():
            chunks = to_tensor(composites).split(32)
            means = torch.cat([encode_mean(self.vae, chunk) for chunk in chunks])
        return means, scenes
