"""What learners know: accuracy on test samples, which are never trained on."""

from __future__ import annotations

import numpy as np

from plastic_env.learner.compute import forward_macs
from plastic_env.learner.population import Population
from plastic_env.streams.stream import TaskStream

TESTS = {
    "none": "nothing is tested",
    "task": "at each task's end, on its own test samples",
    "past": "at each task's end, on the test samples of all tasks so far",
}
CHUNK = 1000  # samples looked at together


def tested_tasks(stream: TaskStream, update: int, tests: str) -> range:
    """The tasks to test on when a learner stands before batch number `update`: none unless a task has just ended."""
    if tests == "none" or not (update == stream.updates or stream.is_shift(update)):
        return range(0)
    latest = stream.task_at(update - 1)
    return range(0 if tests == "past" else latest, latest + 1)


def test_accuracy(population: Population, member: int, stream: TaskStream, task: int) -> tuple[float, int]:
    """Accuracy of one learner on a task's test samples, and the multiply-accumulates spent; NaN if the task has none, 0
    for a learner that has diverged."""
    if stream.task(task).test is None:
        return float("nan"), 0
    x, y = stream.test(task)
    if not len(x):
        return float("nan"), 0
    objective = population.network.objective
    hits = []
    for inputs, targets in zip(x.split(CHUNK), y.split(CHUNK), strict=True):
        outputs = population.predict(inputs[None], [member])[0]
        hits.append(objective.hits(outputs, targets.to(outputs.device)).double().cpu().numpy())
    macs = len(x) * forward_macs(population.network, population.widths(member))
    accuracy = 0.0 if population.state.frozen[member] else float(np.concatenate(hits).mean())
    return accuracy, macs
