"""Stage `unet`: the text encoder and the UNet, trained together from scratch.

Epsilon prediction on Stable Diffusion 1.5's noise schedule; what is kept is the exponential moving
average of the weights. Half of the pictures are of the vocabulary's kinds, the other half of any
emoji, by its name, by what else it is called, or both; and the words' vectors are noisy, so that
what lies near a word or between words is drawn as a thing too.
"""

import json
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
from vocabulary import SHORT_NAMES, STYLE_WORDS, TRAINED_OBJECTS

STEPS = 5_000
BATCH_SIZE = 64
WARMUP_STEPS = 100
POOL_SIZE = 3072
# Composites replaced after each step.
REFRESHED = 16
VOCABULARY_SHARE = 0.5
KEYWORD_SHARE, NAME_AND_KEYWORDS_SHARE = 0.12, 0.13
EMPTY_CAPTION_SHARE = 0.1
# Of an embedding's own length, drawn from 0 to this for the noisy half of the captions.
WORD_NOISE = 0.4
LATE_TIMESTEP_SHARE = 0.4
MAX_SNR_WEIGHT = 5
EMA_DECAY = 0.998
SCHEDULE = DDPMScheduler(beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear")


def run(setting):
    """Writes `work/text_encoder/` and `work/unet/`, both with the averaged weights."""
    device = setting.device
    steps, batch_size, pool_size = (3, 4, 8) if setting.smoke else (STEPS, BATCH_SIZE, POOL_SIZE)
    torch.manual_seed(0)
    encoder = CaptionEncoder(setting.work)
    text_encoder = CLIPTextModel(CLIPTextConfig(**text_settings(encoder.tokenizer))).to(device)
    unet = build_unet().to(device)
    if device.type == "cpu":
        # The backward pass of PyTorch's fused attention is slow on a CPU.
        text_encoder.set_attn_implementation("eager")
        unet.set_attn_processor(AttnProcessor())
    add_word_noise(text_encoder, encoder.tokenizer)

    model = torch.nn.ModuleDict(dict(text_encoder=text_encoder, unet=unet))
    parameters = list(model.parameters())
    optimizer = Muon(model.named_parameters(), learning_rate=0.01, adam_learning_rate=2e-3)
    average = Average(parameters)
    pool = None
    parts = dict(model=model, optimizer=optimizer, average=average)
    for step in setting.steps("unet", parts, steps):
        if pool is None:
            pool = LatentPool(setting, encoder, pool_size, first=step * REFRESHED)
        loss, mean_squared_error = diffusion_loss(text_encoder, unet, *pool.draw(step, batch_size))
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(parameters, 1.0)
        optimizer.step(min(1, (step + 1) / WARMUP_STEPS) * learning_rate_factor(step / steps))
        average.update(parameters, min(EMA_DECAY, (step + 2) / (step + 11)))
        pool.refresh()
        if (step + 1) % 50 == 0:
            print(f"step {step + 1}: squared error {mean_squared_error.item():.4f}", flush=True)

    average.copy_to(parameters)
    text_encoder.save_pretrained(setting.work / "text_encoder")
    unet.save_pretrained(setting.work / "unet")


class Average:
    """The exponential moving average of parameters."""

    def __init__(self, parameters):
        self.values = [parameter.detach().clone() for parameter in parameters]

    def update(self, parameters, decay):
        """A step towards the parameters."""
        torch._foreach_lerp_(self.values, [p.detach() for p in parameters], 1 - decay)

    def copy_to(self, parameters):
        """The parameters become their average."""
        for parameter, value in zip(parameters, self.values, strict=True):
            parameter.data.copy_(value)

    def state_dict(self):
        """What a later process needs to go on."""
        return dict(values=self.values)

    def load_state_dict(self, state):
        """Goes on from a `state_dict`."""
        for value, saved in zip(self.values, state["values"], strict=True):
            value.copy_(saved)


def add_word_noise(text_encoder, tokenizer):
    """While the text encoder trains, moves the vectors of words, not of start and end."""

    def move(embedding, inputs, vectors):
        if not text_encoder.training:
            return vectors
        ids = inputs[0]
        is_word = (ids != tokenizer.bos_token_id) & (ids != tokenizer.eos_token_id)
        strength = (torch.rand(len(ids), 1, 1, device=ids.device) * 2 - 1).clamp(min=0) * WORD_NOISE
        length = vectors.detach().norm(dim=-1, keepdim=True) / vectors.shape[-1] ** 0.5
        return vectors + strength * length * is_word[..., None] * torch.randn_like(vectors)

    text_encoder.text_model.embeddings.token_embedding.register_forward_hook(move)
    text_encoder.train()


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
    with autocast(latents.device):
        hidden_states = text_encoder(ids).last_hidden_state
        predicted = unet(noisy_latents, timesteps, hidden_states).sample
    errors = (predicted.float() - noise).pow(2).mean((1, 2, 3))
    signal = SCHEDULE.alphas_cumprod.to(latents.device)[timesteps]
    snr = signal / (1 - signal)
    return (snr.clamp(max=MAX_SNR_WEIGHT) / snr * errors).mean(), errors.mean().detach()


class LatentPool:
    """Encoded composites of what may be trained on, the oldest replaced after each step.

    The composites are numbered and each is drawn from its number, so that a run that goes on with
    number `first` has the pool that it would have had.
    """

    def __init__(self, setting, encoder, size, first):
        self.device = setting.device
        self.encoder = encoder
        self.sprites = Sprites(setting.work)
        self.by_name = self.sprites.trainable_by_name()
        self.names = sorted(self.by_name)
        self.kinds = [name for name in TRAINED_OBJECTS.values() if name in self.by_name]
        self.keywords = json.loads((setting.work / "keywords.json").read_text())
        self.vae = AutoencoderKL.from_pretrained(setting.work / "vae").eval().requires_grad_(False)
        self.vae.to(self.device)
        self.next = first + size
        means, scenes = self._compose(range(first, self.next))
        # Composite n lies at n modulo the size.
        order = sorted(range(size), key=lambda index: (first + index) % size)
        self.means, self.scenes = means[order], [scenes[index] for index in order]

    def draw(self, step, count):
        """Latents [count, 4, 16, 16], timesteps [count], and token ids [count, 32]."""
        rng, draws = random.Random(step), np.random.default_rng([1, step])
        chosen = draws.integers(0, len(self.scenes), count)
        means = self.means[torch.from_numpy(chosen).to(self.device)]
        latents = (means + POSTERIOR_STD * torch.randn_like(means)) * self.vae.config.scaling_factor
        timesteps = np.where(
            draws.random(count) < LATE_TIMESTEP_SHARE,
            draws.integers(300, 1000, count),
            draws.integers(0, 1000, count),
        )
        ids = self.encoder.encode([self._caption(rng, index) for index in chosen], MAX_LENGTH)
        return (
            latents,
            torch.from_numpy(timesteps).to(self.device),
            torch.tensor(ids, device=self.device),
        )

    def refresh(self):
        """Replaces the oldest composites by new ones."""
        numbers = range(self.next, self.next + REFRESHED)
        means, scenes = self._compose(numbers)
        for number, mean, scene in zip(numbers, means, scenes):
            self.means[number % len(self.scenes)] = mean
            self.scenes[number % len(self.scenes)] = scene
        self.next += REFRESHED

    def _caption(self, rng, index):
        if rng.random() < EMPTY_CAPTION_SHARE:
            return ""
        name, *scene = self.scenes[index]
        return write_caption(rng, self._words(rng, name), *scene)

    def _words(self, rng, name):
        """What a caption calls the thing."""
        word, keywords = SHORT_NAMES.get(name, name), self.keywords.get(name)
        remaining = rng.random()
        if not keywords or remaining > KEYWORD_SHARE + NAME_AND_KEYWORDS_SHARE:
            return word
        if remaining < KEYWORD_SHARE:
            return rng.choice(keywords)
        return " ".join([word, *rng.sample(keywords, min(2, len(keywords)))])

    @torch.no_grad()
    def _compose(self, numbers):
        composites, scenes = [], []
        for number in numbers:
            rng = random.Random(number)
            # Things are equally likely, not pictures.
            name = rng.choice(self.kinds if rng.random() < VOCABULARY_SHARE else self.names)
            sprite = rng.choice(self.by_name[name])
            color, background = draw_background(rng)
            layout = draw_layout(rng)
            composites.append(self.sprites.compose(sprite, background, layout))
            style = STYLE_WORDS[self.sprites.styles[sprite]]
            scenes.append((name, style, color, layout))
        with autocast(self.device):
            chunks = to_tensor(composites).to(self.device).split(32)
            means = torch.cat([encode_mean(self.vae, chunk) for chunk in chunks])
        return means, scenes
