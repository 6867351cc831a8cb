"""bf16 where the device computes in it, else f32: emulated bf16 is some twenty times slower."""

import torch


def compute_type(device):
    """What matrices are multiplied in on this device."""
    fast = device.type == "cuda" or torch.cpu._is_avx512_bf16_supported()
    return torch.bfloat16 if fast else torch.float32


def autocast(device):
    """The context in which models run."""
    enabled = compute_type(device) is torch.bfloat16
    return torch.autocast(device.type, torch.bfloat16, enabled=enabled)
