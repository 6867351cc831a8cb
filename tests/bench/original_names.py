"""A model in diffusers' layout as one file, under the names of the original code."""

import re

import torch
from safetensors.torch import load_file, save_file

RESNET = {
    "norm1": "in_layers.0",
    "conv1": "in_layers.2",
    "time_emb_proj": "emb_layers.1",
    "norm2": "out_layers.0",
    "conv2": "out_layers.3",
    "conv_shortcut": "skip_connection",
}
UNET = {
    "conv_in": "input_blocks.0.0",
    "time_embedding.linear_1": "time_embed.0",
    "time_embedding.linear_2": "time_embed.2",
    "add_embedding.linear_1": "label_emb.0.0",
    "add_embedding.linear_2": "label_emb.0.2",
    "conv_norm_out": "out.0",
    "conv_out": "out.2",
    "mid_block.resnets.0": "middle_block.0",
    "mid_block.attentions.0": "middle_block.1",
    "mid_block.resnets.1": "middle_block.2",
}
VAE = {
    "mid_block.resnets.0": "mid.block_1",
    "mid_block.resnets.1": "mid.block_2",
    "mid_block.attentions.0": "mid.attn_1",
    "conv_norm_out": "norm_out",
    "conv_shortcut": "nin_shortcut",
    "downsamplers.0.conv": "downsample.conv",
    "upsamplers.0.conv": "upsample.conv",
}
ATTENTION = {"group_norm": "norm", "to_q": "q", "to_k": "k", "to_v": "v", "to_out.0": "proj_out"}
OPEN_CLIP = {
    "text_model.embeddings.token_embedding.weight": "token_embedding.weight",
    "text_model.embeddings.position_embedding.weight": "positional_embedding",
    "text_model.final_layer_norm": "ln_final",
    "text_model.encoder.layers": "transformer.resblocks",
    "layer_norm1": "ln_1",
    "layer_norm2": "ln_2",
    "mlp.fc1": "mlp.c_fc",
    "mlp.fc2": "mlp.c_proj",
    "self_attn.out_proj": "attn.out_proj",
}


def write(folder, file, kind):
    tensors = {}
    add(tensors, "model.diffusion_model.", unet(read(folder / "unet")))
    add(tensors, "first_stage_model.", vae(read(folder / "vae")))
    text = read(folder / "text_encoder")
    if kind == "sdxl":
        add(tensors, "conditioner.embedders.0.transformer.", text)
        second = open_clip(read(folder / "text_encoder_2"))
        add(tensors, "conditioner.embedders.1.model.", second)
    elif kind == "sd-v2":
        add(tensors, "cond_stage_model.model.", with_last_layer(open_clip(text)))
    else:
        add(tensors, "cond_stage_model.transformer.", text)
    # random weights do not tell it, as published ones do
    says = {"modelspec.prediction_type": "v"} if kind == "sd-v2" else None
    save_file(tensors, file, says)


def read(folder):
    tensors = {}
    for file in folder.glob("*.safetensors"):  # one, or shards
        tensors.update(load_file(file))
    return tensors


def add(tensors, prefix, part):
    tensors.update({prefix + name: tensor.contiguous() for name, tensor in part.items()})


def count(tensors, entries):
    return 1 + max(int(index) for name in tensors for index in re.findall(entries, name))


def replaced(name, names):
    for ours, theirs in names.items():
        name = name.replace(ours, theirs)
    return name


def unet(tensors):
    # so many residual blocks are in each level on the way down, and one more on the way up
    layers = count(tensors, r"down_blocks\.0\.resnets\.(\d)")
    return {unet_name(name, layers, tensors): tensor for name, tensor in tensors.items()}


def unet_name(name, layers, tensors):
    name = re.sub(r"(?<=resnets\.\d\.)\w+", lambda match: RESNET[match[0]], name)
    for ours, theirs in UNET.items():
        if name.startswith(f"{ours}."):
            return theirs + name.removeprefix(ours)
    way, block, part, layer, rest = re.fullmatch(
        r"(down|up)_blocks\.(\d+)\.(\w+)\.(\d+)\.(.+)", name
    ).groups()
    entry = int(block) * (layers + 1) + int(layer)
    place = {"resnets": 0, "attentions": 1}.get(part)
    if part == "downsamplers":
        entry, place, rest = entry + layers, 0, rest.replace("conv.", "op.")
    if part == "upsamplers":
        has_attention = f"up_blocks.{block}.attentions.0.norm.weight" in tensors
        entry, place = entry + layers, 2 if has_attention else 1
    # the first entry on the way down is `conv_in`
    entries = f"input_blocks.{entry + 1}" if way == "down" else f"output_blocks.{entry}"
    return f"{entries}.{place}.{rest}"


def vae(tensors):
    levels = count(tensors, r"up_blocks\.(\d)")
    renamed = {}
    for name, tensor in tensors.items():
        name = replaced(name, VAE)
        if "mid.attn_1" in name:
            name = replaced(name, ATTENTION)
            if tensor.dim() == 2:
                tensor = tensor[:, :, None, None]
        name = re.sub(r"(down|up)_blocks\.(\d+)", lambda m: f"{m[1]}.{level(m, levels)}", name)
        renamed[name.replace("resnets", "block")] = tensor
    return renamed


def level(match, levels):
    """The decoder's are counted from the picture's side."""
    return match[2] if match[1] == "down" else levels - 1 - int(match[2])


def open_clip(tensors):
    renamed = {}
    for name, tensor in tensors.items():
        if name == "text_projection.weight":
            renamed["text_projection"] = tensor.T
        elif ".k_proj." in name or ".v_proj." in name:
            continue  # with `q_proj`
        elif ".q_proj." in name:
            parts = [tensors[name.replace("q_proj", f"{part}_proj")] for part in "qkv"]
            name = name.replace("self_attn.q_proj.", "attn.in_proj_")
            renamed[replaced(name, OPEN_CLIP)] = torch.cat(parts)
        else:
            renamed[replaced(name, OPEN_CLIP)] = tensor
    return renamed


def with_last_layer(tensors):
    """Stable Diffusion 2's files have a layer that is not used, and a projection."""
    layers = count(tensors, r"resblocks\.(\d+)")
    first = {k: v for k, v in tensors.items() if ".resblocks.0." in k}
    last = {k.replace(".0.", f".{layers}.", 1): torch.randn_like(v) for k, v in first.items()}
    width = tensors["ln_final.weight"].shape[0]
    return {**tensors, **last, "text_projection": torch.randn(width, width)}
