"""Peak memory of 128 learners of 784-256-256-10 with Adam, against their bare tensors. Linux only."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import torch
from cases import Case
from contestants import learners

from plastic_env import Edit

N = 128


def peak(job: Callable[[], object]) -> int:
    """The most bytes that this process holds while it does the job; by the kernel's own account."""
    Path("/proc/self/clear_refs").write_text("5")  # forget earlier peaks
    job()
    (line,) = (line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM"))
    return 1024 * int(line.split()[1])


def main() -> None:
    """Print the ratios."""
    torch.set_num_threads(1)
    case = Case("784-256-256-10", 16, "Adam")
    x, y = (t[:, None].expand(-1, N, *t.shape[1:]) for t in case.batches(2))
    one = learners(case, 1)
    one.train(x[:, :1], y[:, :1])
    before = peak(lambda: None)
    made = learners(case, N)
    training = peak(lambda: made.train(x, y)) - before
    probe = made.probe(x[0], y[0])
    edits = dict.fromkeys(range(N), Edit(prune=(25, 25)))
    editing = peak(lambda: made.edit(edits, probe)) - before
    bare = 4 * N * sum(p.numel() for p in case.module().parameters()) * 5
    print(
        f"{N} learners of {case.net} with Adam: {training / 2**20:,.0f} MiB at peak while training, "
        f"{training / bare:.2f} times their bare tensors (weights, gradients, two moments and the initial weights, "
        f"{bare / 2**20:,.0f} MiB); {editing / bare:.2f} times during an edit, which builds the next state beside the "
        "present one"
    )


if __name__ == "__main__":
    main()
