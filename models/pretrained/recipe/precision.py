"""bf16 where the CPU computes in it, f32 elsewhere: emulated bf16 is some twenty times slower."""

import torch

COMPUTE_TYPE = torch.bfloat16 if torch.cpu._is_avx512_bf16_supported() else torch.float32


def autocast():
    """The context in which models run."""
    return torch.autocast("cpu", torch.bfloat16, enabled=COMPUTE_TYPE is torch.bfloat16)
