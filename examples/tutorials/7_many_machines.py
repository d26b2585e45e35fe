# %% [markdown]
# # 7. A study on many machines, with Ray
#
# A study is run by groups of runs that know nothing of each other, so that any machine can do any of them. Ray hands
# them out. The machines need no common disk: what a group is made of is sent, agents' files included, and results come
# back to the one that runs the study. This needs `pip install 'plastic_env[ray]'`, and the same version of plastic_env
# on all machines.
#
# ## A cluster
#
# On one machine `ray start --head` starts a cluster and prints its address; `ray start --address HOST:PORT` on the
# others joins it. On any of them, a study is then run by
#
# ```
# plastic-env run study.toml --backend ray --address auto
# ```
#
# Without `--address`, Ray is started on this machine alone: the way to try it, and what the rest of this page does.

# %%
import hashlib
from pathlib import Path

from matplotlib import pyplot as plt

from plastic_env.study import measures, plots
from plastic_env.study.runner import run_study
from plastic_env.study.sweep import Study

study = Study(
    ("PermutedDigits-small-v0", "PermutedLabelDigits-small-v0"),
    methods=("dense", "recycle"),
    seeds=4,
    settings={"tasks": 8, "updates": 50},
    axes={"lr": [0.003, 0.01]},
)
finished = run_study(study, Path("on_ray"), backend="ray", threads=2, show_progress=False)
runs = len(list(Path("on_ray").glob("*.parquet")))
print(f"{runs} runs of {len(finished.cells)} cells, {len(finished.failed)} failed")

# %% [markdown]
# `threads` limits the cores that are in use at once; on the command line it is `--threads`, and without it all cores of
# the cluster are. Whatever stops, Ray or a machine or you: the same command, or `plastic-env resume`, goes on from what
# is finished.
#
# ## Do the results depend on where they were made?
#
# Run the same in this process, and compare the files byte by byte.

# %%
run_study(study, Path("here"), backend="here", show_progress=False)


def digests(folder):
    """Of each result, by its name."""
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in Path(folder).glob("*.parquet")}


ours, theirs = digests("here"), digests("on_ray")
print(f"{sum(theirs[name] == digest for name, digest in ours.items())} of {len(ours)} files are equal")

# %% [markdown]
# On one kind of machine they are the same bytes. Other processors and other versions of torch round differently.

# %%
figure, axes = plt.subplots(1, 2, figsize=(12, 3.2), layout="constrained")
for ax, scenario in zip(axes, finished.scenarios, strict=True):
    plots.draw_accuracy({method: measures.curves(runs) for method, runs in finished.on(scenario).items()}, ax)
    ax.set(title=scenario, xlabel="update")
plt.show()

# %% [markdown]
# That is the tour. What a study may hold, and what its folder keeps, is described in [studies](../howto/studies.md).
