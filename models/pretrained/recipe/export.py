"""Stage `export`: gathers the parts into one folder that diffusers loads, with f16 weights."""

import json
import shutil

import torch
from diffusers import (
    AutoencoderKL,
    PNDMScheduler,
    StableDiffusionPipeline,
    UNet2DConditionModel,
)
from transformers import CLIPModel, CLIPTextModel, CLIPTokenizer

from vocabulary import TRAINED_OBJECTS

FOLDER = "dvar-tiny-emoji"


def run(setting):
    """Writes `work/dvar-tiny-emoji/` and draws one picture with it, `work/cat.png`."""
    work = setting.work
    folder = work / FOLDER
    shutil.rmtree(folder, ignore_errors=True)
    pipeline = StableDiffusionPipeline(
        vae=AutoencoderKL.from_pretrained(work / "vae"),
        text_encoder=CLIPTextModel.from_pretrained(work / "text_encoder"),
        tokenizer=CLIPTokenizer.from_pretrained(work / "tokenizer"),
        unet=UNet2DConditionModel.from_pretrained(work / "unet"),
        scheduler=scheduler(),
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )
    # Rounded to bf16, files of f16 compress by a quarter more.
    pipeline.to(torch.bfloat16).to(torch.float16).save_pretrained(folder)
    forget_path(folder / "vae" / "config.json")
    forget_path(folder / "unet" / "config.json")
    clip = CLIPModel.from_pretrained(work / "clip").bfloat16().half()
    clip.save_pretrained(folder / "clip")
    shutil.copy(work / "clip" / "preprocessor_config.json", folder / "clip")
    for path in (folder / "tokenizer").iterdir():
        shutil.copy(path, folder / "clip")
    # What a concept may start from. Names that the generator saw less often draw nothing in particular,
    # and have the lowest loss therefore.
    (folder / "words.txt").write_text("".join(f"{word}\n" for word in TRAINED_OBJECTS))

    reloaded = StableDiffusionPipeline.from_pretrained(folder, torch_dtype=torch.float32)
    pictures = reloaded(
        "a photo of a cat on a blue background",
        num_inference_steps=2 if setting.smoke else 20,
        guidance_scale=4.0,
        generator=torch.Generator().manual_seed(0),
    ).images
    pictures[0].save(work / "cat.png")
    megabytes = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file()) / 1e6
    print(f"{folder}: {megabytes:.2f} MB")


def scheduler():
    """Stable Diffusion 1.5's; `clip_sample` is there for those who build another one from it."""
    result = PNDMScheduler(
        beta_start=0.00085,
        beta_end=0.012,
        beta_schedule="scaled_linear",
        skip_prk_steps=True,
        set_alpha_to_one=False,
        steps_offset=1,
    )
    result.register_to_config(clip_sample=False)
    return result


def forget_path(config):
    """Removes the folder that diffusers notes a model was loaded from."""
    settings = json.loads(config.read_text())
    settings.pop("_name_or_path", None)
    config.write_text(json.dumps(settings, indent=2) + "\n")
