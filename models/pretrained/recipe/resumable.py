"""Training loops that stop when the time is up and go on in a later call."""

import time

import torch

SAVE_SECONDS = 120


class OutOfTime(Exception):
    """The stage has saved where it is; the same call goes on."""


class Setting:
    """What the command line asks of every stage: where, on what, how long, and how little."""

    def __init__(self, work, device="cpu", minutes=None, smoke=False):
        self.work = work
        self.device = torch.device(device)
        self.deadline = None if minutes is None else time.monotonic() + 60 * minutes
        self.smoke = smoke

    def steps(self, stage, parts, count):
        """The steps of a stage that are still to do, 0 to `count` - 1.

        `parts` ({name: model or optimizer}) are saved in `work/checkpoints/<stage>.pt` every two
        minutes, when the time is up and at the end, and loaded from there. Every step must draw
        from its own number, so that a stage that was cut gives what one in one piece gives.
        """
        path = self.work / "checkpoints" / f"{stage}.pt"
        path.parent.mkdir(exist_ok=True)
        start = 0
        if path.exists():
            saved = torch.load(path, map_location=self.device, weights_only=True)
            start = saved.pop("step")
            for name, part in parts.items():
                part.load_state_dict(saved[name])
            print(f"{stage} goes on at step {start} of {count}", flush=True)
        saved_at = time.monotonic()
        for step in range(start, count):
            torch.manual_seed(step)
            yield step
            now = time.monotonic()
            out_of_time = self.deadline is not None and now > self.deadline
            if out_of_time or now > saved_at + SAVE_SECONDS or step + 1 == count:
                save(path, parts, step + 1)
                saved_at = now
            if out_of_time and step + 1 < count:
                raise OutOfTime(f"{stage}: {step + 1} of {count} steps are done")


def save(path, parts, step):
    """Writes beside, then renames, so that the file is whole at every instant."""
    beside = path.with_suffix(".new")
    torch.save(dict(step=step) | {name: part.state_dict() for name, part in parts.items()}, beside)
    beside.replace(path)
