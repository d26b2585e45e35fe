"""How to convolve for a population: ways to run n convolutions of different weights, forward, timed in turns.

python benchmarks/conv_schemes.py [rounds]
"""

import statistics
import sys
import time

import torch
import torch.nn.functional as F

SHAPES = [(3, 32, 32), (32, 64, 16)]  # channels in and out, height and width: the paper's trunk


def schemes(n: int, batch: int, below: int, above: int, size: int) -> dict:
    """Functions that do the same, by name."""
    x, weight = torch.randn(n, batch, below, size, size), torch.randn(n, above, below, 3, 3)
    bias = torch.randn(n, above)
    last = [images.contiguous(memory_format=torch.channels_last) for images in x]
    grouped, kernels = x.transpose(0, 1).flatten(1, 2).contiguous(), weight.flatten(0, 1)
    grouped_last = grouped.contiguous(memory_format=torch.channels_last)

    def unfolded() -> None:
        columns = F.unfold(x.flatten(0, 1), 3, padding=1).unflatten(0, (n, batch))
        torch.matmul(weight.flatten(2)[:, None], columns)

    return {
        "one by one, channels last": lambda: [F.conv2d(last[i], weight[i], bias[i], padding=1) for i in range(n)],
        "one by one": lambda: [F.conv2d(x[i], weight[i], bias[i], padding=1) for i in range(n)],
        "grouped, channels last": lambda: F.conv2d(grouped_last, kernels, bias.flatten(), padding=1, groups=n),
        "grouped": lambda: F.conv2d(grouped, kernels, bias.flatten(), padding=1, groups=n),
        "unfolded": unfolded,
    }


def main(rounds: int) -> None:
    """Print medians, relative to the first scheme."""
    torch.set_num_threads(1)
    for n, batch in ((1, 32), (8, 32), (8, 128)):
        for shape in SHAPES:
            found = schemes(n, batch, *shape)
            times: dict[str, list[float]] = {name: [] for name in found}
            for _ in range(rounds + 1):
                for name, run in found.items():
                    start = time.perf_counter()
                    run()
                    times[name].append(time.perf_counter() - start)
            medians = {name: statistics.median(values[1:]) for name, values in times.items()}
            base = next(iter(medians.values()))
            line = ", ".join(f"{name} {value / base:.2f}" for name, value in medians.items())
            print(f"{n} learners, batch {batch}, {shape[0]} -> {shape[1]} channels of {shape[2]} x {shape[2]}: {line}")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 7)
