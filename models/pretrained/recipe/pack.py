"""What a later call needs, as one archive in files that are small enough to be sent back."""

import io
import tarfile
from pathlib import Path

import torch

PART_BYTES = 15_000_000
# What is large and made again in a minute (`data`), or needed by no stage.
LEFT_OUT = ("npm", "sprites.npz")


def pack(work, folder):
    """Writes `folder/work.tar.000`, `.001` ...: the parts of the trained and half-trained models.

    Of checkpoints only those of stages that are not finished; their averages travel as f16 and
    their momenta as bf16, so a packed run does not go on to the bit as one in one place.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w:xz") as tar:
        for path in sorted(work.rglob("*")):
            name = path.relative_to(work)
            if not path.is_file() or name.parts[0] in LEFT_OUT:
                continue
            if name.parts[0] != "checkpoints":
                tar.add(path, name)
            elif path.suffix == ".pt" and not (work / path.stem / "config.json").exists():
                checkpoint = reduced(torch.load(path, map_location="cpu", weights_only=True))
                _add(tar, str(name), checkpoint)
    data = archive.getvalue()
    for old in folder.glob("work.tar.*"):
        old.unlink()
    for number, start in enumerate(range(0, len(data), PART_BYTES)):
        (folder / f"work.tar.{number:03}").write_bytes(data[start : start + PART_BYTES])


def unpack(folder, work):
    """Writes into `work` what `pack` packed."""
    parts = sorted(Path(folder).glob("work.tar.*"))
    if not parts:
        raise SystemExit(f"{folder} has no work.tar.000: name a folder that --pack wrote")
    archive = io.BytesIO(b"".join(part.read_bytes() for part in parts))
    with tarfile.open(fileobj=archive) as tar:
        tar.extractall(work, filter="data")


def reduced(checkpoint):
    """A checkpoint with its averages in f16 and what the optimizer remembers in bf16."""

    def cast(value, dtype):
        if isinstance(value, torch.Tensor):
            return value.to(dtype) if value.is_floating_point() and value.ndim > 0 else value
        if isinstance(value, dict):
            return {key: cast(inner, dtype) for key, inner in value.items()}
        return [cast(inner, dtype) for inner in value] if isinstance(value, list) else value

    types = dict(optimizer=torch.bfloat16, average=torch.float16)
    return {
        name: cast(part, types[name]) if name in types else part
        for name, part in checkpoint.items()
    }


def _add(tar, name, checkpoint):
    data = io.BytesIO()
    torch.save(checkpoint, data)
    entry = tarfile.TarInfo(name)
    entry.size = data.tell()
    data.seek(0)
    tar.addfile(entry, data)
