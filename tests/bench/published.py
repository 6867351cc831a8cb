"""Models of published sizes with random weights, from diffusers' and transformers' own modules.

    python published.py sd-v1-5 FOLDER [--half]

writes one as a folder that `dvar train --model FOLDER` reads, with the default model's tokenizer.
"""

import argparse
import json
import shutil
from pathlib import Path

import torch
from diffusers import AutoencoderKL, DDPMScheduler, UNet2DConditionModel
from diffusers.pipelines.latent_diffusion.pipeline_latent_diffusion import (
    LDMBertConfig,
    LDMBertModel,
)
from transformers import CLIPTextConfig, CLIPTextModel

NAMES = ("sd-v1-5", "ldm", "default")
DEFAULT = Path(__file__).parents[2] / "models" / "pretrained" / "dvar-tiny-emoji"


def build(name, attention):
    """Text encoder, UNet, autoencoder and noise schedule, on the CPU in f32."""
    if name == "default":
        text = CLIPTextConfig.from_pretrained(DEFAULT, subfolder="text_encoder")
        unet, vae = (
            kind.from_config(kind.load_config(DEFAULT, subfolder=part))
            for kind, part in ((UNet2DConditionModel, "unet"), (AutoencoderKL, "vae"))
        )
        betas = "scaled_linear"
    else:
        is_ldm = name == "ldm"
        # the published models' number of heads goes by the name of their width
        unet = UNet2DConditionModel(
            sample_size=32 if is_ldm else 64,
            cross_attention_dim=1280 if is_ldm else 768,
            attention_head_dim=8,
        )
        vae = AutoencoderKL(
            sample_size=256 if is_ldm else 512,
            block_out_channels=(128, 256, 512, 512),
            down_block_types=("DownEncoderBlock2D",) * 4,
            up_block_types=("UpDecoderBlock2D",) * 4,
            layers_per_block=2,
        )
        text = LDMBertConfig() if is_ldm else CLIPTextConfig(
            hidden_size=768, intermediate_size=3072, num_hidden_layers=12, num_attention_heads=12
        )
        betas = "linear" if is_ldm else "scaled_linear"
    if isinstance(text, LDMBertConfig):
        text_encoder = LDMBertModel(text)
        # nothing reads it
        del text_encoder.to_logits
        text_encoder.get_input_embeddings = text_encoder.model.get_input_embeddings
        text_encoder.set_input_embeddings = text_encoder.model.set_input_embeddings
    else:
        text._attn_implementation = attention
        text_encoder = CLIPTextModel(text)
    schedule = DDPMScheduler(beta_start=0.00085, beta_end=0.012, beta_schedule=betas)
    return text_encoder, unet, vae, schedule


def resolution(unet, vae):
    """Height and width of the pictures that a model was made for."""
    return unet.config.sample_size * 2 ** (len(vae.config.block_out_channels) - 1)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("name", choices=[name for name in NAMES if name != "ldm"])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--half", action="store_true", help="f16 files, half as long to read")
    arguments = parser.parse_args()
    torch.manual_seed(0)
    text_encoder, unet, vae, schedule = build(arguments.name, "sdpa")
    dtype = torch.float16 if arguments.half else torch.float32
    for part, model in dict(text_encoder=text_encoder, unet=unet, vae=vae).items():
        model.to(dtype).save_pretrained(arguments.folder / part)
    schedule.save_pretrained(arguments.folder / "scheduler")
    shutil.copytree(DEFAULT / "tokenizer", arguments.folder / "tokenizer")
    index = dict(_class_name="StableDiffusionPipeline")
    (arguments.folder / "model_index.json").write_text(json.dumps(index))


if __name__ == "__main__":
    main()
