# %% [markdown]
# # 5. An Avalanche benchmark in, an Avalanche strategy out
#
# ## A benchmark in
#
# Any benchmark of Avalanche whose experiences have data sets is a scenario. This one is made here, of digits that come
# with scikit-learn: five experiences with two classes each. Classic ones are there by name: `plastic-env compare
# --scenario avalanche:SplitMNIST`.

# %%
from io import StringIO

import numpy as np
import torch
from avalanche.benchmarks import nc_benchmark
from avalanche.logging import TextLogger
from avalanche.training.plugins import EvaluationPlugin
from avalanche.training.supervised import Naive
from matplotlib import pyplot as plt
from torch.utils.data import TensorDataset

from plastic_env import LearnerSettings, PlasticEnv
from plastic_env.agents.structural import Recycle
from plastic_env.avalanche import PlasticPlugin, from_avalanche, plasticity_metrics, to_avalanche
from plastic_env.scenarios import find
from plastic_env.scenarios.data import load


class Digits(TensorDataset):
    """What Avalanche asks of a data set: samples, and `targets`."""

    def __init__(self, samples):
        super().__init__(samples.fetch(torch.arange(len(samples))), samples.targets)
        self.targets = samples.targets.tolist()


data = load("digits")
benchmark = nc_benchmark(Digits(data.train), Digits(data.test), n_experiences=5, task_labels=False, seed=0)
scenario = from_avalanche(benchmark, updates=100)
env = PlasticEnv(scenario)
observation, info = env.reset(seed=0)
over = False
while not over:
    action = env.episode.action(recycle=8 if info["shift"] else 0, insertion="fresh")
    observation, reward, terminated, truncated, info = env.step(action)
    over = terminated or truncated
for experience, outcome in zip(benchmark.train_stream, env.outcomes, strict=True):
    classes = sorted(experience.classes_in_this_experience)
    print(
        f"experience {experience.current_experience}, classes {classes}: online accuracy {outcome.accuracy.mean():.2f}"
    )

# %% [markdown]
# ## A stream out
#
# The other way round, a stream is a benchmark: experience *i* holds the samples of task *i* in the order in which the
# stream shows them. A strategy that trains for one epoch without shuffling sees the very batches that a learner of ours
# sees.
#
# ## A strategy that is edited
#
# `PlasticPlugin` lets an agent of ours edit the network that a strategy trains. Here `Recycle` replaces the least
# useful eighth at each shift; beside it the same strategy with an agent that does nothing.

# %%
benchmark = to_avalanche(find("PermutedDigits-small-v0", tasks=12).stream(seed=0))


class Leave:
    """Leaves the network alone."""

    def reset(self, episode, seed):
        self.episode = episode

    def act(self, observation, info):
        return self.episode.action()


def trained(agent):
    """Online accuracy of each experience, and the dormant fraction of the first hidden layer after it."""
    plugin = PlasticPlugin(agent, LearnerSettings(hidden=(64, 64)), updates=1200)
    model = plugin.network((1, 8, 8), classes=10)
    log = StringIO()  # in place of the screen
    strategy = Naive(
        model=model,
        optimizer=torch.optim.Adam(model.parameters(), 0.003),
        criterion=torch.nn.CrossEntropyLoss(),
        train_mb_size=16,
        plugins=[plugin],
        evaluator=EvaluationPlugin(*plasticity_metrics(dormant=True), loggers=[TextLogger(log)]),
    )
    dormant = []
    for experience in benchmark.train_stream:
        found = strategy.train(experience, shuffle=False)
        dormant.append(found[f"DormantFraction_Layer0_Epoch/train_phase/train_stream/Task{experience.task_label:03d}"])
    return [outcome.accuracy.mean() for outcome in plugin.outcomes], dormant


found = {"Naive": trained(Leave()), "Naive, recycling an eighth at shifts": trained(Recycle())}
for name, (accuracy, dormant) in found.items():
    print(f"{name}: online accuracy {np.mean(accuracy):.3f}, dormant at the end {dormant[-1]:.2f}")

# %%
figure, axes = plt.subplots(1, 2, figsize=(10, 3.2), layout="constrained")
for name, curves in found.items():
    for ax, curve in zip(axes, curves, strict=True):
        ax.plot(range(1, 13), curve, "o-", markersize=4, label=name)
axes[0].set(xlabel="experience", ylabel="online accuracy")
axes[1].set(xlabel="experience", ylabel="dormant fraction, hidden layer 1")
axes[0].legend(fontsize=8)
plt.show()

# %% [markdown]
# One seed each. The network has the learner's layers, since the plugin edits by our rules: `plugin.network(...)` makes
# it, and any other `nn.Sequential` of the same layers will do. `plastic_env.avalanche` has the metrics, for any
# strategy and any model. Next: [forks](6_fork_a_life.md).
