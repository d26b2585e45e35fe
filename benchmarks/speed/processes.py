"""Several processes at once, one thread each, against one: python processes.py NET BATCH OPTIMIZER ROUNDS."""

from __future__ import annotations

import os
import statistics
import sys
from multiprocessing import get_context

import torch
from cases import Case
from contestants import population, rate

SECONDS = 1.0


def work(case: Case, start, results) -> None:
    """Train a population of 32 for a second whenever the gate opens; None ends it."""
    torch.set_num_threads(1)
    run = population(case, 32)
    run()
    results.put(0.0)
    while start.get() is not None:
        results.put(rate(run, SECONDS))


def main(net: str, batch: str, optimizer: str, rounds: str) -> None:
    """Print the ratio of medians."""
    case, workers, context = Case(net, int(batch), optimizer), os.cpu_count() or 1, get_context("spawn")
    gates, results = [context.SimpleQueue() for _ in range(workers)], context.SimpleQueue()
    processes = [context.Process(target=work, args=(case, gate, results)) for gate in gates]
    for process in processes:
        process.start()
    for _ in processes:
        results.get()
    alone, together = [], []
    for _ in range(int(rounds)):
        gates[0].put(1)
        alone.append(results.get())
        for gate in gates:
            gate.put(1)
        together.append(sum(results.get() for _ in gates))
    for gate in gates:
        gate.put(None)
    for process in processes:
        process.join()
    ratio = statistics.median(together) / statistics.median(alone)
    print(f"{case}, population of 32 in each: {workers} processes {ratio:.2f} times one")


if __name__ == "__main__":
    main(*sys.argv[1:])
