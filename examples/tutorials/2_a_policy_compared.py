# %% [markdown]
# # 2. A policy in twenty lines, compared fairly
#
# A policy is any class with `reset` and `act`. This one replaces the units that have gone dormant, whenever a task
# ends: as many as there are, rather than a fixed share.

# %%
from pathlib import Path

import numpy as np
from matplotlib import pyplot as plt

from plastic_env.env.encoding import layer_field
from plastic_env.study import measures, plots, report
from plastic_env.study.costs import costs
from plastic_env.study.runner import run_study
from plastic_env.study.stats import accuracy_within, common_budget, paired_difference
from plastic_env.study.sweep import Study


class Renew:
    """Recycles the units that are dormant when a task ends."""

    def reset(self, episode, seed):
        self.episode = episode

    def act(self, observation, info):
        if not info["shift"]:
            return self.episode.action()  # train on
        dormant = layer_field(observation, "dormant")  # [layers] share of the live units
        units = np.round(dormant * info["live"]).astype(int)
        return self.episode.action(recycle=units, recycle_rule="redo", insertion="fresh")


# %% [markdown]
# ## Run it beside others
#
# A study is scenarios x methods x seeds. `recycle` replaces an eighth of the units at each shift; `grow_smooth_leaky`
# begins with a tenth of the units and ends with half of them, so that it computes less. `__main__:Renew` is the class
# above; in a file it would be `mine.py:Renew`. On the command line the same is
#
# ```
# plastic-env compare --methods dense recycle mine.py:Renew grow_smooth_leaky --tasks 20
# ```

# %%
study = Study(
    "PermutedDigits-small-v0",
    methods=("dense", "recycle", "__main__:Renew", "grow_smooth_leaky"),
    seeds=8,
    settings={"tasks": 20},
)
results = run_study(study, Path("results"), show_progress=False).results  # by method, a result per seed
print(report.as_table({method: report.summarise(runs) for method, runs in results.items()}))

# %% [markdown]
# ## Paired seeds
#
# A seed decides the stream and the first weights, for all methods alike. Some seeds are harder than others; the
# difference on the same seed is free of that, and its interval is the one to look at, not whether the intervals of the
# table overlap.

# %%
taoa = {method: np.array([run.taoa() for run in runs]) for method, runs in results.items()}
for other in ("dense", "recycle"):
    mean, low, high = paired_difference(taoa["Renew"], taoa[other])
    print(f"Renew - {other}: {mean:+.4f} [{low:+.4f}, {high:+.4f}] over {len(taoa['Renew'])} seeds")

# %% [markdown]
# An interval that leaves zero out says that the sign is known, for this stream and these settings. It says nothing of
# policies that you tried before and threw away: when you have settled on one, run it once on seeds that you have not
# looked at.
#
# ## Equal compute
#
# All methods have trained on as many batches, not with as much compute. The ledger charges training, measuring and
# edits in multiply-accumulates at live width. What has each method made of the budget that all of them have spent?

# %%
accuracy = {method: np.stack([run.online_accuracy() for run in runs]) for method, runs in results.items()}
spent = {method: costs(runs, "macs") for method, runs in results.items()}  # [seeds, updates]
budget = common_budget(*spent.values())
print(f"common budget: {budget:.3g} multiply-accumulates")
within = {method: accuracy_within(accuracy[method], spent[method], budget) for method in results}  # [seeds]
for method, values in within.items():
    seen = np.mean(np.cumsum(spent[method], axis=1) <= budget)
    print(f"{method:18} accuracy {values.mean():.3f} over the {seen:.0%} of the stream that it pays for")

# %%
figure, (left, right) = plt.subplots(1, 2, figsize=(13, 3.8), layout="constrained")
plots.draw_spending({method: measures.spending(runs) for method, runs in results.items()}, left)
differences = measures.taoa_differences(results, "dense")
plots.draw_forest(differences, right, of="TAOA less that of dense, paired by seed")
plt.show()

# %% [markdown]
# At equal batches the policy is ahead of both. Within the budget of the cheapest method, the wide networks see a
# quarter of the stream; in the first five tasks `dense` has lost little yet, and editing gains nothing. Which
# comparison is the right one depends on what is scarce, batches or compute; report both. Next: [a policy that is
# learned](3_ppo_in_ten_lines.md).
