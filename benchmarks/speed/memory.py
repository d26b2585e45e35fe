"""Peak memory of 128 learners of 784-256-256-10 with Adam, against their bare tensors."""

from __future__ import annotations

import resource

import torch
from cases import Case
from contestants import population

N = 128


def peak() -> float:
    """Of this process so far, in bytes."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def main() -> None:
    """Print the ratio."""
    torch.set_num_threads(1)
    case = Case("784-256-256-10", 16, "Adam")
    population(case, 1)()  # whatever torch needs once
    before = peak()
    run = population(case, N)
    for _ in range(3):
        run()
    parameters = sum(p.numel() for p in case.module().parameters())
    bare = 4 * N * parameters * 5  # weights, gradients, two moments, initial weights; single precision
    used = peak() - before
    print(
        f"{N} learners of {case.net} with Adam: {used / 2**20:,.0f} MiB at peak, {used / bare:.2f} times their bare "
        f"tensors (weights, gradients, two moments and the initial weights: {bare / 2**20:,.0f} MiB)"
    )


if __name__ == "__main__":
    main()
