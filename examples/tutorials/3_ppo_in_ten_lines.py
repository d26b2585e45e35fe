# %% [markdown]
# # 3. PPO in ten lines, tested on held-out streams
#
# On `BimodalShiftsDigits-small-v0`, two shifts of three move a twentieth of the pixels, and one moves all of them.
# After weak shifts a network is best left alone, after strong ones most of it should be recycled; nothing announces
# which it will be. A policy can learn that over many lives. This needs `pip install 'plastic_env[rl]'`.
#
# ## Train
#
# The menu is what the policy may choose from: waiting, or recycling a quarter or three quarters of the units, and then
# a look at one batch, or training until the next shift. The twin recycles a quarter at every shift, on the same
# streams; what is rewarded is the difference to it. Five rounds are a toy; real training takes thousands.

# %%
from pathlib import Path

import numpy as np
from matplotlib import pyplot as plt

from plastic_env.agents.learned.ppo import PPOSettings, train
from plastic_env.agents.learned.training import Training
from plastic_env.env.menus import recycling_menu
from plastic_env.study import measures, plots, report
from plastic_env.study.runner import run_study
from plastic_env.study.stats import paired_difference
from plastic_env.study.sweep import Study

training = Training(
    "BimodalShiftsDigits-small-v0",
    {"updates": 1000},
    menu=recycling_menu(fractions=(0.25, 0.75), budgets=(1, None)),
    instances=8,
    validated=4,
    twin="recycle 0.25",
    rounds=5,
)
policy = train(training, PPOSettings(learners=8, steps=16), out=Path("toy.pt"))
print("trained on", policy.trained_on["split"], "seeds", policy.trained_on["seeds"])
print(f"validation {policy.record['validation']:.3f}, its twin {policy.record['twin']:.3f}")

# %% [markdown]
# The same on the command line, for ten minutes:
#
# ```
# python -m plastic_env.agents.learned.ppo --scenario BimodalShiftsDigits-small-v0 --minutes 10 --out mine.pt
# ```
#
# ## Test
#
# Training saw the streams of `split=train`, with seeds from a million up. `split=test` draws other streams: other
# pixels move, at other times. The repository has a policy that PPO trained for longer; it is compared, too.

# %%
trained = Path(__file__).parent.parent / "policies" / "bimodal-ppo.pt"
study = Study(
    "BimodalShiftsDigits-small-v0",
    methods=("dense", "recycle", "ppo:toy.pt", f"ppo:{trained}"),
    seeds=8,
    settings={"split": "test", "updates": 1000},
)
results = run_study(study, Path("results"), show_progress=False).results
print(report.as_table({method: report.summarise(runs) for method, runs in results.items()}))
taoa = {method: np.array([run.taoa() for run in runs]) for method, runs in results.items()}
for method in ("ppo_toy", "ppo_bimodal-ppo"):
    mean, low, high = paired_difference(taoa[method], taoa["recycle"])
    print(f"{method} - recycle: {mean:+.3f} [{low:+.3f}, {high:+.3f}]")

# %%
_, ax = plt.subplots(figsize=(6, 2.4))
plots.draw_forest(measures.taoa_differences(results, "recycle"), ax, of="TAOA less that of recycle, paired by seed")
plt.show()

# %% [markdown]
# The toy has learned to wait, which is what the untrained policy leans to: on these streams it does what `dense` does.
# Five rounds are not enough to find out that strong shifts call for more. The policy that was trained for longer is
# better than recycling an eighth at each shift, on streams that it has never seen. `trained_on` in the file, and a note
# below the table of `plastic-env compare`, say what a policy has seen; a comparison on streams it was trained on tells
# how well it remembers, not how well it decides. Next: [your own data and streams](4_your_data_and_stream.md).
