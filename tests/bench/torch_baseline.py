"""Times a step of Textual Inversion with DVAR in PyTorch and diffusers, to set by `dvar bench`.

A step is: latents from cached moments, noise, text encoder with the concept's vector, UNet, squared
error, gradient of the vector alone, AdamW, and the loss of a fixed batch without gradient. All f32.
Needs models/pretrained/recipe/requirements.txt. Prints one JSON object.
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
from transformers import CLIPTextModel, CLIPTokenizer

MODEL = Path(__file__).parents[2] / "models" / "pretrained" / "dvar-tiny-emoji"
ATTENTION = {"eager": AttnProcessor, "sdpa": AttnProcessor2_0}
PLACEHOLDER = "<concept>"
INITIALIZER = "car"
PICTURES = 5
PHASES = ("latents", "text_encoder", "unet_forward", "backward", "optimizer", "evaluation")


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", type=Path, default=MODEL, help="folder in diffusers' layout")
    parser.add_argument("--steps", type=int, default=50, help="timed steps")
    parser.add_argument("--warmup", type=int, default=5, help="steps before the timed ones")
    parser.add_argument("--batch", type=int, default=4, help="training and evaluation batch size")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--attention", choices=ATTENTION, help="default: the faster of the two")
    arguments = parser.parse_args()

    torch.set_num_threads(arguments.threads)
    names = [arguments.attention] if arguments.attention else list(ATTENTION)
    results = [measure(arguments, name) for name in names]
    fastest = min(results, key=lambda result: result["median_ms_per_step"])
    report = fastest | dict(
        median_ms_per_step_by_attention={r["attention"]: r["median_ms_per_step"] for r in results},
        peak_rss_mb=round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024),
        batch=arguments.batch,
        threads=arguments.threads,
        steps=arguments.steps,
        versions={m.__name__: m.__version__ for m in (torch, diffusers, transformers)},
    )
    print(json.dumps(report, indent=2))


def measure(arguments, attention):
    """Medians over the timed steps, in milliseconds."""
    torch.manual_seed(0)
    trainer = Trainer(arguments.model, arguments.batch, attention)
    for _ in range(arguments.warmup):
        trainer.step()
    steps = [trainer.step() for _ in range(arguments.steps)]
    median = statistics.median(sum(phases.values()) for phases in steps)
    return dict(
        attention=attention,
        median_ms={
            phase: round(statistics.median(step[phase] for step in steps), 3) for phase in PHASES
        },
        median_ms_per_step=round(median, 3),
        steps_per_second=round(1000 / median, 3),
    )


class Trainer:
    """The frozen model, the vector being learned and the fixed evaluation batch."""

    def __init__(self, folder, batch, attention):
        self.batch = batch
        options = dict(torch_dtype=torch.float32)
        self.schedule = DDPMScheduler.from_pretrained(folder, subfolder="scheduler")
        self.unet = UNet2DConditionModel.from_pretrained(folder, subfolder="unet", **options)
        self.unet.set_attn_processor(ATTENTION[attention]())
        self.text_encoder = CLIPTextModel.from_pretrained(
            folder, subfolder="text_encoder", attn_implementation=attention, **options
        )
        vae = AutoencoderKL.from_pretrained(folder, subfolder="vae", **options)
        for model in (self.unet, self.text_encoder, vae):
            model.eval().requires_grad_(False)

        side = vae.config.sample_size
        with torch.no_grad():
            self.moments = vae.encode(torch.rand(PICTURES, 3, side, side) * 2 - 1).latent_dist
        self.scaling_factor = vae.config.scaling_factor

        tokenizer = CLIPTokenizer.from_pretrained(folder, subfolder="tokenizer")
        tokenizer.add_tokens(PLACEHOLDER)
        self.ids = tokenizer(
            [f"a photo of a {PLACEHOLDER}"] * batch, padding="max_length", return_tensors="pt"
        ).input_ids
        table = self.text_encoder.get_input_embeddings().weight
        initializer = tokenizer(INITIALIZER, add_special_tokens=False).input_ids[0]
        self.vector = torch.nn.Parameter(table[initializer].clone())
        placeholder = tokenizer.convert_tokens_to_ids(PLACEHOLDER)
        self.text_encoder.set_input_embeddings(ConceptEmbedding(table, self.vector, placeholder))
        self.optimizer = torch.optim.AdamW([self.vector], lr=5e-3, weight_decay=1e-2)
        self.evaluation = self.draw()

    def draw(self):
        """Noisy latents, the noise in them, and timesteps."""
        chosen = torch.randint(PICTURES, (self.batch,))
        mean, std = self.moments.mean[chosen], self.moments.std[chosen]
        latents = (mean + std * torch.randn_like(mean)) * self.scaling_factor
        noise = torch.randn_like(latents)
        timesteps = torch.randint(self.schedule.config.num_train_timesteps, (self.batch,))
        return self.schedule.add_noise(latents, noise, timesteps), noise, timesteps

    def step(self):
        """One step; returns each phase's milliseconds."""
        marks = [time.perf_counter()]
        noisy_latents, noise, timesteps = self.draw()
        marks.append(time.perf_counter())
        hidden_states = self.text_encoder(self.ids).last_hidden_state
        marks.append(time.perf_counter())
        loss = F.mse_loss(self.unet(noisy_latents, timesteps, hidden_states).sample, noise)
        marks.append(time.perf_counter())
        loss.backward()
        marks.append(time.perf_counter())
        self.optimizer.step()
        self.optimizer.zero_grad()
        marks.append(time.perf_counter())
        self.evaluate()
        marks.append(time.perf_counter())
        return {phase: (end - start) * 1000 for phase, start, end in zip(PHASES, marks, marks[1:])}

    @torch.no_grad()
    def evaluate(self):
        """The loss of the fixed batch."""
        noisy_latents, noise, timesteps = self.evaluation
        hidden_states = self.text_encoder(self.ids).last_hidden_state
        return F.mse_loss(self.unet(noisy_latents, timesteps, hidden_states).sample, noise).item()


class ConceptEmbedding(torch.nn.Module):
    """The token embedding, with the learned vector in the placeholder's row."""

    def __init__(self, table, vector, placeholder):
        super().__init__()
        self.table, self.vector, self.placeholder = table, vector, placeholder

    def forward(self, ids):
        is_placeholder = ids == self.placeholder
        rows = F.embedding(ids.masked_fill(is_placeholder, 0), self.table)
        return torch.where(is_placeholder[..., None], self.vector, rows)


if __name__ == "__main__":
    main()
