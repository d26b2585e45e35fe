# %% [markdown]
# # 4. Your own data, and your own stream
#
# ## Data
#
# A data set is one `.npz` file with Keras' four keys: inputs `[samples, ...]` and whole labels from 0 on, for training
# and for testing. Any stream takes it as `data=npz:PATH`. Here it is measurements of tumours, which scikit-learn ships:
# 30 features, 2 classes.
#
# Inputs are centred and scaled as a whole, by one mean and one deviation (images in colour by channel). Where features
# have units of their own, as here, bring them to one scale first.

# %%
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from matplotlib import pyplot as plt
from sklearn.datasets import load_breast_cancer
from sklearn.model_selection import train_test_split

from plastic_env import LearnerSettings, PlasticEnv
from plastic_env.env.episode import EpisodeSettings
from plastic_env.scenarios.data import load
from plastic_env.scenarios.family import Family, ordered
from plastic_env.streams.stream import Chain, Signature, Task, TaskStream
from plastic_env.streams.transforms import Moved
from plastic_env.study import report
from plastic_env.study.runner import run_study
from plastic_env.study.sweep import Study

inputs, labels = load_breast_cancer(return_X_y=True)
x_train, x_test, y_train, y_test = train_test_split(inputs, labels, test_size=0.3, random_state=0, stratify=labels)
mean, deviation = x_train.mean(0), x_train.std(0)
scaled = {"x_train": (x_train - mean) / deviation, "x_test": (x_test - mean) / deviation}
np.savez("tumours.npz", **{name: x.astype(np.float32) for name, x in scaled.items()}, y_train=y_train, y_test=y_test)
data = load("npz:tumours.npz")
print(f"samples: {len(data.train)} to train on, {len(data.test)} to test on; features: {data.features}")

# %% [markdown]
# That is all: each task of this stream shuffles the 30 features anew. With `tests` the accuracy on the test samples is
# measured when a task ends. The same on the command line:
#
# ```
# plastic-env compare --scenario PermutedDigits-small-v0 --methods dense reset recycle --seeds 4 \
#     --set data=npz:tumours.npz tasks=10 updates=50 --tests task
# ```

# %%
settings = {"data": "npz:tumours.npz", "tasks": 10, "updates": 50, "tests": "task"}
study = Study("PermutedDigits-small-v0", ("dense", "reset", "recycle"), seeds=4, settings=settings)
results = run_study(study, Path("results"), show_progress=False).results
print(report.as_table({method: report.summarise(runs) for method, runs in results.items()}))

# %% [markdown]
# ## A stream
#
# A family of streams is a frozen dataclass with a method `stream(seed)`. `TaskStream` asks `draw` for each task by its
# number, with a generator of its own; a task is samples, the order in which their rows are shown, and what is done to
# the inputs. All randomness follows from the seed, so that any stretch of a stream can be had again.
#
# In this one some sensors are silent, and with each task some others: a share of the features reads as blank. `Chain`
# is for what develops from task to task.


# %%
@dataclass(frozen=True)
class SilentSensors(Family):
    """Each task silences a share of the features; from task to task, one of them changes for another.

    data: name of the data set. share: of the features that are silent. tasks: how many. updates: batches per task.
    batch_size: samples per batch.
    """

    data: str = "npz:tumours.npz"
    share: float = 0.5
    tasks: int = 10
    updates: int = 50
    batch_size: int = 16

    def stream(self, seed):
        """The stream with this seed."""
        data = load(self.data)
        rows, silent = np.arange(len(data.train)), round(self.share * data.features)

        def change(order, index, rng):
            """One of the first `silent` features for one of the others."""
            order, one, other = order.copy(), rng.integers(silent), rng.integers(silent, data.features)
            order[[one, other]] = order[[other, one]]
            return order

        orders = Chain(np.random.default_rng(seed).permutation(data.features), change, seed)

        def draw(index, rng):
            source = np.arange(data.features)
            source[orders.at(index)[:silent]] = -1  # nothing
            order = ordered(rows, self.updates, self.batch_size, rng)
            return Task(data.train, order, Moved(source, data.train.blank), data.test)

        return TaskStream(Signature.of(data), (self.updates,) * self.tasks, self.batch_size, draw, seed)


x, y = SilentSensors().stream(seed=0).batches(0, 500)
print("inputs", tuple(x.shape), "targets", tuple(y.shape))

# %% [markdown]
# `Family` checks the settings: whole numbers from 1 on, shares from 0 to 1. Draw what a stream shows before training on
# it: each row is a task, and white is silent.

# %%
means = x.unflatten(0, (10, 50)).abs().mean((1, 2)).numpy()  # [tasks, features]
figure, ax = plt.subplots(figsize=(7, 2.4), layout="constrained")
ax.imshow(means == means.min(), cmap="gray", aspect="auto")
ax.set(xlabel="feature", ylabel="task", yticks=[0, 9], title="Which sensors are silent")
plt.show()

# %% [markdown]
# `PlasticEnv` makes an environment of it, and any agent can live there.

# %%
env = PlasticEnv(SilentSensors(), EpisodeSettings(learner=LearnerSettings(hidden=(32, 32)), tests="task"))
for units in (0, 4):
    observation, info = env.reset(seed=0)
    taoa, over = 0.0, False
    while not over:
        action = env.episode.action(recycle=units if info["shift"] else 0, insertion="fresh")
        observation, reward, terminated, truncated, info = env.step(action)
        taoa, over = taoa + reward, terminated or truncated
    tested = np.mean([outcome.tests[0] for outcome in env.outcomes])
    print(f"{units} of 32 units recycled at shifts: mean online accuracy {taoa:.3f}, test accuracy {tested:.3f}")

# %% [markdown]
# One life each: no ground for a claim. To compare methods on a stream of your own by name, on the command line and over
# seeds, add it to the project: `CONTRIBUTING.md` has the recipe. Next: [Avalanche's benchmarks and
# strategies](5_avalanche.md).
