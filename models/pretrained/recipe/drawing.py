"""Pictures of things, drawn in batches with PyTorch: placed, on a background, whole or distorted.

A thing is an RGBA sprite [4, 64, 64] with premultiplied alpha, values 0 to 1. All draws come from a
`numpy.random.Generator` on the host, so every device draws the same.
"""

import math

import numpy as np
import torch
import torch.nn.functional as F

SIDE = 64
# Where sources of this size or smaller are sampled, they are reduced first.
REDUCED_BELOW = 0.62
# Sprites are 64 pixels wide; a scene of layout "normal" shows them at 56, "small" and "two" at 30.
NORMAL_SCALE, SMALL_SCALE = 56 / SIDE, 30 / SIDE


def place(things, scale, shift, turn=None, bend=None):
    """Things [n, 4, 64, 64] -> the same on the canvas, sized and moved, corners at -1 and 1.

    `scale` [n]; `shift` [n, 2] is (right, down); `turn` [n] in radians; `bend` [n, 64, 64, 2] moves
    where each pixel comes from, in units of the thing.
    """
    reduced = F.avg_pool2d(things, 2).repeat_interleave(2, 2).repeat_interleave(2, 3)
    things = torch.where((scale < REDUCED_BELOW)[:, None, None, None], reduced, things)
    turn = torch.zeros_like(scale) if turn is None else turn
    cos, sin = turn.cos() / scale, turn.sin() / scale
    rotation = torch.stack([torch.stack([cos, sin], -1), torch.stack([-sin, cos], -1)], 1)
    offset = -(rotation @ shift[..., None])
    grid = F.affine_grid(torch.cat([rotation, offset], -1), things.shape, align_corners=False)
    grid = grid if bend is None else grid + bend
    return F.grid_sample(things, grid, align_corners=False)


def over(things, background):
    """Things over backgrounds [n, 3, 64, 64] or [n, 3, 1, 1] -> pictures [n, 3, 64, 64]."""
    return things[:, :3] + (1 - things[:, 3:]) * background


def smooth_noise(rng, count, channels, cells, device):
    """Fields [count, channels, 64, 64] of about unit deviation, smooth over 64 / `cells` pixels."""
    field = rng.standard_normal((count, channels, cells, cells), np.float32)
    field = torch.from_numpy(field).to(device)
    return F.interpolate(field, (SIDE, SIDE), mode="bicubic", align_corners=True)


def blur(pictures, sigma):
    """Each picture [n, c, 64, 64] smoothed with its own `sigma` [n], in pixels."""
    radius = max(1, math.ceil(2.5 * float(sigma.max())))
    offsets = torch.arange(-radius, radius + 1, device=pictures.device, dtype=pictures.dtype)
    kernel = torch.exp(-(offsets**2) / (2 * sigma[:, None].clamp(min=0.05) ** 2))
    kernel = (kernel / kernel.sum(1, keepdim=True)).repeat_interleave(pictures.shape[1], 0)
    flat = pictures.reshape(1, -1, SIDE, SIDE)
    flat = F.pad(flat, (radius,) * 4, mode="replicate")
    flat = F.conv2d(flat, kernel[:, None, None, :], groups=len(kernel))
    flat = F.conv2d(flat, kernel[:, None, :, None], groups=len(kernel))
    return flat.reshape(pictures.shape)


def flipped(things, rng, others):
    """Left and right exchanged."""
    return things.flip(-1)


def dissolved(things, rng, others):
    """The outlines bent until the shape is lost, its colours kept."""
    strength = torch.from_numpy(rng.uniform(0.22, 0.5, len(things)).astype(np.float32))
    cells = int(rng.integers(4, 7))
    bend = smooth_noise(rng, len(things), 2, cells, things.device).permute(0, 2, 3, 1)
    still = torch.zeros(len(things), 2, device=things.device)
    return place(
        things,
        torch.ones(len(things), device=things.device),
        still,
        bend=bend * strength.to(things.device)[:, None, None, None],
    )


def smoothed(things, rng, others):
    """Blurred until only its largest parts are left."""
    sigma = torch.from_numpy(rng.uniform(3, 7, len(things)).astype(np.float32))
    return blur(things, sigma.to(things.device))


def scrambled(things, rng, others):
    """Cut into 16 or 64 squares that change places."""
    side = int(rng.choice([2, 4, 8], p=[0.2, 0.5, 0.3]))
    tiles = tiled(things, side)
    order = rng.random(tiles.shape[:2]).argsort(1)
    rows = torch.arange(len(things), device=things.device)[:, None]
    return untiled(tiles[rows, torch.from_numpy(order).to(things.device)], side)


def blobs(things, rng, others):
    """Round patches of the thing's colours."""
    palette = colours_of(things, rng, 5)
    palette = torch.cat([palette, torch.zeros_like(palette[:, :2])], 1)
    fields = smooth_noise(
        rng, len(things), palette.shape[1], int(rng.integers(4, 8)), things.device
    )
    steps = torch.linspace(-1, 1, SIDE, device=things.device)
    distance = steps[:, None] ** 2 + steps[None, :] ** 2
    fields[:, -2:] += 3 * distance - 1
    return torch.einsum("nkc,nkhw->nchw", palette, (6 * fields).softmax(1))


def recoloured(things, rng, others):
    """In the colours of another thing."""
    return with_colours(things, others)


def reshaped(things, rng, others):
    """Another thing in this one's colours."""
    return with_colours(others, things)


def another(things, rng, others):
    """Another thing."""
    return others


def mosaic(things, rng, others):
    """Squares of one colour, six a side."""
    return F.interpolate(F.adaptive_avg_pool2d(things, 6), (SIDE, SIDE), mode="nearest")


def fragments(things, rng, others):
    """Its quarters, turned and strewn."""
    canvas = torch.zeros_like(things)
    for row in (0, 1):
        for column in (0, 1):
            piece = torch.zeros_like(things)
            rows = slice(32 * row, 32 * row + 32)
            columns = slice(32 * column, 32 * column + 32)
            piece[:, :, 16:48, 16:48] = things[:, :, rows, columns]
            turn = rng.uniform(0.6, 2 * math.pi - 0.6, len(things))
            shift = rng.uniform(-0.6, 0.6, (len(things), 2))
            turn, shift = (
                torch.from_numpy(x.astype(np.float32)).to(things.device) for x in (turn, shift)
            )
            piece = place(piece, torch.full_like(turn, 0.9), shift, turn)
            canvas = piece + (1 - piece[:, 3:]) * canvas
    return canvas


# What the scorer learns to tell from the thing itself; a mirrored thing is only less like it.
DISTORTIONS = [dissolved, smoothed, scrambled, blobs, recoloured, reshaped]
# What it is measured with: the same, and three that it never learns from.
MEASURED = [*DISTORTIONS, another, mosaic, fragments, flipped]


def with_colours(things, others):
    """The things with each colour channel's mean and deviation as the others have them."""
    mean, deviation = colour_statistics(things)
    other_mean, other_deviation = colour_statistics(others)
    gain = (other_deviation / deviation.clamp(min=0.04)).clamp(max=2.5)
    alpha = things[:, 3:]
    changed = gain * things[:, :3] + (other_mean - gain * mean) * alpha
    return torch.cat([changed.clamp(min=0).minimum(alpha), alpha], 1)


def colour_statistics(things):
    """Mean and deviation of each colour channel over the thing, [n, 3, 1, 1] each."""
    colours, alpha = things[:, :3], things[:, 3:]
    weight = alpha.sum((2, 3), keepdim=True).clamp(min=1)
    mean = colours.sum((2, 3), keepdim=True) / weight
    squares = (colours - mean * alpha).pow(2).sum((2, 3), keepdim=True) / weight
    return mean, squares.sqrt()


def colours_of(things, rng, count):
    """`count` colours [n, count, 4] of random places where the thing is opaque."""
    flat = things.flatten(2)
    chance = (flat[:, 3] > 0.5).double().cpu().numpy() + 1e-9
    picks = [rng.choice(len(row), count, p=row / row.sum()) for row in chance]
    picks = torch.from_numpy(np.stack(picks)).to(things.device)
    return flat.gather(2, picks[:, None].expand(-1, 4, -1)).transpose(1, 2)


def tiled(things, side):
    """[n, c, 64, 64] -> [n, side * side, c, 64 / side, 64 / side]."""
    tiles = things.unflatten(3, (side, -1)).unflatten(2, (side, -1))
    return tiles.permute(0, 2, 4, 1, 3, 5).flatten(1, 2)


def untiled(tiles, side):
    """The inverse of `tiled`."""
    tiles = tiles.unflatten(1, (side, side)).permute(0, 3, 1, 4, 2, 5)
    return tiles.flatten(4, 5).flatten(2, 3)
