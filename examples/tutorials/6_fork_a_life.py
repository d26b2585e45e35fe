# %% [markdown]
# # 6. Fork a learner, and compare plans on identical batches
#
# What would another edit have led to? Two lives with two seeds differ in everything. `fork` carries out several plans
# from one and the same state: equal weights, equal optimizer state, and the very same batches to come. Nothing else
# differs, so that a single life already compares them.
#
# ## A state worth forking from
#
# A dense network, after 29 tasks of permuted digits; the thirtieth shift is next.

# %%
import gymnasium
import numpy as np
from matplotlib import pyplot as plt

from plastic_env import Edit, Plan  # importing plastic_env registers the environments

env = gymnasium.make("plastic_env/PermutedDigits-small-v0", tasks=30).unwrapped


def lived(seed):
    """The environment at the shift before the last task."""
    _, info = env.reset(seed=seed)
    while info["updates"] < 2900:
        *_, info = env.step(env.episode.action())


lived(seed=0)
tasks = [outcome.accuracy.mean() for outcome in env.outcomes]
print(f"mean accuracy in the first task {tasks[0]:.2f}, in the last one {tasks[-1]:.2f}")

# %% [markdown]
# ## Four plans
#
# Each trains on the same hundred batches: on a task that begins now.

# %%
plans = {
    "no edit": Plan(Edit(), budget=100),
    "recycle 8, fresh": Plan(Edit(recycle=(8, 8), insertion="fresh"), budget=100),
    "recycle 32, fresh": Plan(Edit(recycle=(32, 32), insertion="fresh"), budget=100),
    "draw everything anew": Plan(Edit(reset=True), budget=100),
}
outcomes = dict(zip(plans, env.fork(list(plans.values())), strict=True))
for name, outcome in outcomes.items():
    quarters = " ".join(f"{part.mean():.2f}" for part in np.split(outcome.accuracy, 4))
    print(f"{name:21} accuracy {outcome.accuracy.mean():.3f}, by quarters {quarters}")

# %%
figure, (left, right) = plt.subplots(1, 2, figsize=(11, 3.6), layout="constrained")
for name, outcome in outcomes.items():
    left.plot(np.convolve(outcome.accuracy, np.ones(10) / 10, "valid"), label=name)
left.set(xlabel="batch of the new task", ylabel="accuracy, mean of 10 batches", title="One state, four futures")
left.legend(fontsize=8)

# %% [markdown]
# ## Over several lives
#
# The difference from "no edit", for the same shift of six lives: each point is a pair that shares its state and its
# batches.

# %%
differences = {name: [] for name in plans if name != "no edit"}
for seed in range(6):
    lived(seed)
    means = dict(zip(plans, (outcome.accuracy.mean() for outcome in env.fork(list(plans.values()))), strict=True))
    for name, found in differences.items():
        found.append(means[name] - means["no edit"])
for name, found in differences.items():
    print(f"{name:21} {np.mean(found):+.3f}, better in {np.sum(np.array(found) > 0)} of {len(found)} lives")
for row, found in enumerate(differences.values()):
    right.plot(found, [row] * len(found), "o", color=f"C{row + 1}", alpha=0.5)
right.axvline(0, color="0.5", linewidth=0.8)
right.set(yticks=range(len(differences)), yticklabels=differences, title="Six lives: gain over no edit")
right.locator_params(axis="x", nbins=5)
right.invert_yaxis()
plt.show()

# %% [markdown]
# After so many tasks without an edit, an eighth of the units is too few to make a difference at once; half of them, or
# all, gain in nearly every life.
#
# A fork changes nothing in the life that it starts from: `env.step` goes on as if it had never been. It looks one plan
# ahead; what a plan is worth in the tasks after, only whole lives tell. `env.save(path)` and `env.load(path)` keep such
# a state in a file. Next: [a study on many machines](7_many_machines.md).
