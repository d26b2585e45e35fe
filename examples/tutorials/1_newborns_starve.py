# %% [markdown]
# # 1. Drive a life by hand, and watch newborns starve
#
# A stream of tasks trains a network; you are the agent, who asks for edits and for budgets of batches. Units that are
# born into a network which already knows its images are about as active as their elders, and receive far less gradient.
# You will see that happen, in a minute, on scanned digits.
#
# ## A life
#
# The network gets two hidden layers of 256 slots, a tenth of them live: 26 units each. The stream is always the same
# task.

# %%
import gymnasium
import numpy as np
from matplotlib import pyplot as plt

from plastic_env import LearnerSettings  # importing plastic_env registers the environments

learner = LearnerSettings(hidden=(256, 256), live=0.1)
env = gymnasium.make("plastic_env/IidDigits-small-v0", learner=learner, tasks=1, updates=600).unwrapped
observation, info = env.reset(seed=0)
print("live units", info["live"], "of", env.episode.capacity)

# %% [markdown]
# One step is an edit and a budget. First no edit: 200 batches of 16 digits. Each batch is scored before it is trained
# on, which makes the online accuracy.

# %%
observation, reward, terminated, truncated, info = env.step(env.episode.action(budget=200))
accuracy = env.outcomes[-1].accuracy  # of each batch
print(f"accuracy of the first ten batches {accuracy[:10].mean():.2f}, of the last ten {accuracy[-10:].mean():.2f}")

# %% [markdown]
# ## A birth
#
# Now 25 dormant slots of each layer wake up, with the initial weights that they have kept, and the network trains on.
# `env.outcomes` has what was measured: `birth` right after the edit, `end` after the step. *Parity* is the newborns'
# mean over that of their elders; `np.exp` makes ratios of the logarithms that are kept.

# %%
env.step(env.episode.action(grow=25, budget=20))
newborn = env.outcomes[-1]
for layer in range(2):
    activation = np.exp(newborn.birth.log_activation_parity[layer])
    gradient = np.exp(newborn.birth.log_gradient_parity[layer])
    print(f"hidden layer {layer + 1}: {activation:.2f} times as active, {gradient:.2f} times the gradient")

# %% [markdown]
# ## Growing up
#
# Do they catch up? Look at them every 20 batches until the stream ends, and do it with five networks, since each is a
# draw of its own.


# %%
def childhood(seed, insertion="dormant"):
    """Ages [looks], and log-parities [looks, 2 kinds, 2 layers] of units that are born at update 200."""
    env.reset(seed=seed)
    env.step(env.episode.action(budget=200))
    env.step(env.episode.action(grow=25, insertion=insertion, budget=20))
    seen, over = [env.outcomes[-1].birth, env.outcomes[-1].end], False
    while not over:
        _, _, over, _, _ = env.step(env.episode.action(budget=20))
        seen.append(env.outcomes[-1].end)
    ages = 20 * np.arange(len(seen))
    return ages, np.array([(look.log_activation_parity, look.log_gradient_parity) for look in seen])


ages, _ = childhood(0)
dormant = np.stack([childhood(seed)[1] for seed in range(5)])  # [seeds, looks, kinds, layers]


def draw(parities, title):
    figure, axes = plt.subplots(1, 2, figsize=(9, 3.4), sharey=True, layout="constrained")
    for layer, ax in enumerate(axes):
        for kind, (name, colour) in enumerate((("activation", "tab:orange"), ("gradient", "tab:blue"))):
            curves = np.exp(parities[:, :, kind, layer])
            ax.plot(ages, curves.T, color=colour, alpha=0.3, linewidth=0.8)
            ax.plot(ages, np.median(curves, 0), color=colour, label=name)
        ax.axhline(1, color="0.5", linewidth=0.8)
        ax.set(title=f"hidden layer {layer + 1}", xlabel="age (updates)", yscale="log")
        ax.set_yticks([0.1, 0.2, 0.5, 1, 2], ["0.1", "0.2", "0.5", "1", "2"])
        ax.minorticks_off()
    axes[0].set_ylabel("parity with elders")
    axes[1].legend()
    figure.suptitle(title)


draw(dormant, "Slots wake up with the weights they waited with: five networks and their median")
plt.show()

# %% [markdown]
# At birth the newborns are more active than their elders, and get a seventh to a third of the gradient: the elders'
# weights to the layer above have grown in 200 updates, theirs are as small as at the start, and blame travels back
# along these weights. Four hundred updates later, when the stream ends, the medians are still below a half.
#
# ## Other ways to be born
#
# An edit can say with which weights newborns enter. `scaled` draws them anew for the number of units that are live,
# where the slots' own weights were drawn for all 256.

# %%
scaled = np.stack([childhood(seed, "scaled")[1] for seed in range(5)])
for name, parities in (("dormant", dormant), ("scaled", scaled)):
    birth, end = np.exp(np.median(parities[:, [0, -1], 1], 0))  # of the gradient, [birth and end, layers]
    print(f"{name:8} gradient parity at birth {birth.round(2)}, at the end {end.round(2)}")
draw(scaled, "Weights drawn for the live width")
plt.show()

# %% [markdown]
# That about doubles the gradient which newborns get, at birth and later; no median reaches parity here either.
# `plastic-env list rules` shows what else an edit may say, and
# [newborns on real images](../results/newborns_on_images.md) compares rules at more length. Next:
# [a policy in twenty lines, and how to compare it fairly](2_a_policy_compared.md).
