"""Times a step of Textual Inversion with DVAR in PyTorch and diffusers, to set by `dvar bench`.

A step is: latents from cached moments, noise, text encoder with the concept's vector, UNet, squared
error, gradient of the vector alone, AdamW, and the loss of a fixed batch without gradient. The
networks are diffusers' and transformers' own, frozen, run eagerly. Below f32 they and their
activations are of the low type; vector, optimizer and losses stay f32, and fp16 scales the loss.
Which words a caption has costs no time: its tokens are made up, as are the pictures.

Needs models/pretrained/recipe/requirements.txt. Prints one JSON object; phases are medians.
"""

import argparse
import json
import resource
import statistics
import time
from pathlib import Path

import diffusers
import torch
import torch.nn.functional as F
import transformers
from diffusers import AutoencoderKL, DDPMScheduler, UNet2DConditionModel
from diffusers.models.attention_processor import AttnProcessor, AttnProcessor2_0
from transformers import CLIPTextModel

import published

MODEL = Path(__file__).parents[2] / "models" / "pretrained" / "dvar-tiny-emoji"
ATTENTION = {"eager": AttnProcessor, "sdpa": AttnProcessor2_0}
PRECISION = {"f32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}
PICTURES = 4
PHASES = ("latents", "text_encoder", "unet_forward", "backward", "optimizer", "evaluation")
MEBI = 1 << 20


def main():
    arguments = parse()
    torch.manual_seed(0)
    if arguments.threads:
        torch.set_num_threads(arguments.threads)
    start = time.perf_counter()
    trainer = Trainer(arguments)
    trainer.synchronize()
    load_seconds = time.perf_counter() - start
    on_cuda = arguments.device.startswith("cuda")
    if on_cuda:
        torch.cuda.reset_peak_memory_stats()
    for _ in range(arguments.warmup):
        trainer.step()
    steps = [trainer.step() for _ in range(arguments.steps)]
    # as in dvar's bench, drawing the batch is no part of the step
    step_ms = statistics.median(sum(step.values()) - step["latents"] for step in steps)
    report = dict(
        model=arguments.random_weights or arguments.model.name,
        device=torch.cuda.get_device_name() if on_cuda else "cpu",
        precision=arguments.precision,
        attention=arguments.attention,
        resolution=trainer.resolution,
        batch=arguments.train_batch_size,
        eval_batch=trainer.eval_batch_size,
        steps=arguments.steps,
        threads=torch.get_num_threads(),
        load_seconds=round(load_seconds, 3),
        phases_ms={p: round(statistics.median(step[p] for step in steps), 3) for p in PHASES},
        step_ms=round(step_ms, 3),
        steps_per_second=round(1000 / step_ms, 4),
        peak_memory_mb=round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024),
        device_memory_mb=torch.cuda.max_memory_reserved() / MEBI if on_cuda else None,
        device_memory_in_use_mb=torch.cuda.max_memory_allocated() / MEBI if on_cuda else None,
        versions={m.__name__: m.__version__ for m in (torch, diffusers, transformers)},
    )
    print(json.dumps(report, indent=2))


def parse():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", type=Path, default=MODEL, help="folder in diffusers' layout")
    parser.add_argument("--random-weights", choices=published.NAMES, help="sizes, in its place")
    parser.add_argument("--device", default="cpu", help="cpu, cuda or cuda:N")
    parser.add_argument("--precision", choices=PRECISION, default="f32")
    parser.add_argument("--resolution", type=int, help="pixels; default: the model's")
    parser.add_argument("--train-batch-size", type=int, default=4)
    parser.add_argument("--eval-batch-size", type=int, help="default: the training's")
    parser.add_argument("--steps", type=int, default=20, help="timed steps")
    parser.add_argument("--warmup", type=int, default=3, help="steps before the timed ones")
    parser.add_argument("--threads", type=int, help="of the CPU; default: torch's")
    parser.add_argument("--attention", choices=ATTENTION, default="sdpa")
    return parser.parse_args()


class Trainer:
    """The frozen model, the vector being learned and the fixed evaluation batch."""

    def __init__(self, arguments):
        self.device = torch.device(arguments.device)
        self.dtype = PRECISION[arguments.precision]
        self.batch_size = arguments.train_batch_size
        self.eval_batch_size = arguments.eval_batch_size or self.batch_size
        text_encoder, self.unet, vae, self.schedule = open_model(arguments)
        self.schedule.alphas_cumprod = self.schedule.alphas_cumprod.to(self.device)
        self.unet.set_attn_processor(ATTENTION[arguments.attention]())
        for model in (self.unet, text_encoder, vae):
            model.eval().requires_grad_(False)
        self.resolution = arguments.resolution or published.resolution(self.unet, vae)
        self.cache_latents(vae.to(self.device))
        del vae
        self.unet.to(self.device, self.dtype)
        text_encoder.to(self.device, self.dtype)
        self.learn_vector(text_encoder)
        self.optimizer = torch.optim.AdamW([self.vector], lr=5e-3, weight_decay=1e-2)
        scaled = arguments.precision == "fp16"
        self.scaler = torch.amp.GradScaler(self.device.type, enabled=scaled)
        self.evaluation = self.draw(self.eval_batch_size)

    @torch.no_grad()
    def cache_latents(self, vae):
        """Encodes the pictures one by one and keeps their moments."""
        moments = []
        for _ in range(PICTURES):
            picture = torch.rand(1, 3, self.resolution, self.resolution, device=self.device)
            moments.append(vae.encode(picture * 2 - 1).latent_dist)
        self.mean = torch.cat([m.mean for m in moments])
        self.std = torch.cat([m.std for m in moments])
        self.scaling_factor = vae.config.scaling_factor

    def learn_vector(self, text_encoder):
        """Makes one vector the text encoder's only parameter, in one place of each caption."""
        self.text_encoder = text_encoder
        config = text_encoder.config
        length, vocabulary = config.max_position_embeddings, config.vocab_size
        caption = torch.arange(length, device=self.device) % vocabulary
        caption[min(5, length - 1)] = placeholder = vocabulary
        self.caption = caption
        table = text_encoder.get_input_embeddings().weight
        self.vector = torch.nn.Parameter(table[0].detach().float().clone())
        embedding = ConceptEmbedding(table, self.vector, placeholder)
        text_encoder.set_input_embeddings(embedding)

    def draw(self, count):
        """Noisy latents, the noise in them, and timesteps."""
        chosen = torch.randint(PICTURES, (count,), device=self.device)
        mean, std = self.mean[chosen], self.std[chosen]
        latents = (mean + std * torch.randn_like(mean)) * self.scaling_factor
        noise = torch.randn_like(latents)
        times = self.schedule.config.num_train_timesteps
        timesteps = torch.randint(times, (count,), device=self.device)
        return self.schedule.add_noise(latents, noise, timesteps), noise, timesteps

    def encode(self, count):
        """The captions' hidden states."""
        return self.text_encoder(self.caption.expand(count, -1))[0]

    def loss(self, hidden_states, batch):
        """The mean squared error, in f32."""
        noisy_latents, noise, timesteps = batch
        prediction = self.unet(noisy_latents.to(self.dtype), timesteps, hidden_states).sample
        return F.mse_loss(prediction.float(), noise)

    def synchronize(self):
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)

    def step(self):
        """One step; returns each phase's milliseconds."""
        marks = []

        def mark():
            self.synchronize()
            marks.append(time.perf_counter())

        mark()
        batch = self.draw(self.batch_size)
        mark()
        hidden_states = self.encode(self.batch_size)
        mark()
        loss = self.loss(hidden_states, batch)
        mark()
        self.scaler.scale(loss).backward()
        mark()
        self.scaler.step(self.optimizer)
        self.scaler.update()
        self.optimizer.zero_grad()
        mark()
        self.evaluate()
        mark()
        return {phase: (end - start) * 1000 for phase, start, end in zip(PHASES, marks, marks[1:])}

    @torch.no_grad()
    def evaluate(self):
        """The loss of the fixed batch."""
        return self.loss(self.encode(self.eval_batch_size), self.evaluation).item()


def open_model(arguments):
    """Text encoder, UNet, autoencoder and noise schedule, on the CPU in f32."""
    if arguments.random_weights:
        return published.build(arguments.random_weights, arguments.attention)
    folder, options = arguments.model, dict(torch_dtype=torch.float32)
    text_encoder = CLIPTextModel.from_pretrained(
        folder, subfolder="text_encoder", attn_implementation=arguments.attention, **options
    )
    unet = UNet2DConditionModel.from_pretrained(folder, subfolder="unet", **options)
    vae = AutoencoderKL.from_pretrained(folder, subfolder="vae", **options)
    return text_encoder, unet, vae, DDPMScheduler.from_pretrained(folder, subfolder="scheduler")


class ConceptEmbedding(torch.nn.Module):
    """The token embedding, with the learned vector in the placeholder's row."""

    def __init__(self, table, vector, placeholder):
        super().__init__()
        self.table, self.vector, self.placeholder = table, vector, placeholder

    def forward(self, ids):
        is_placeholder = ids == self.placeholder
        rows = F.embedding(ids.masked_fill(is_placeholder, 0), self.table)
        return torch.where(is_placeholder[..., None], self.vector.to(rows.dtype), rows)


if __name__ == "__main__":
    main()
