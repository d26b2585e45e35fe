"""From `gymnasium.make` to the end of the first update, once the data are in memory."""

from __future__ import annotations

import statistics
import time

import gymnasium

import plastic_env.scenarios.data


def main() -> None:
    """Print the median."""
    plastic_env.scenarios.data.load("digits")
    times = []
    for seed in range(9):
        start = time.perf_counter()
        env = gymnasium.make("plastic_env/PermutedDigits-small-v0")
        env.reset(seed=seed)
        env.step(env.unwrapped.episode.action(budget=1))
        times.append(time.perf_counter() - start)
    first, median = times[0] * 1e3, statistics.median(times) * 1e3
    print(f"from gymnasium.make to the end of the first update: {median:.0f} ms, {first:.0f} ms the first time")


if __name__ == "__main__":
    main()
