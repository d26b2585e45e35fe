"""The picture of the race."""

from __future__ import annotations

from matplotlib.figure import Figure

TICKS = (0.25, 0.5, 1, 2, 4, 8, 16)
ORDER = ("Avalanche", "plain", "vmap", "environment", "population of 8", "population of 32", "population of 128")


def draw(rates: dict[str, dict[str, float]], base: str) -> Figure:
    """One panel per case: each contestant's learner-updates per second over the base's, on a logarithmic axis."""
    columns = 4
    rows = -(-len(rates) // columns)
    figure = Figure(figsize=(14, 2.6 * rows), layout="constrained")
    axes = figure.subplots(rows, columns, squeeze=False).flat
    for ax, (case, found) in zip(axes, rates.items(), strict=False):
        names = sorted(found, key=lambda name: next(at for at, key in enumerate(ORDER) if name.startswith(key)))
        ratios = [found[name] / found[base] for name in names]
        ours = [name.startswith(("environment", "population")) for name in names]
        ax.barh(names, ratios, color=["tab:green" if mine else "tab:gray" for mine in ours])
        for at, ratio in enumerate(ratios):
            box = {"color": "white", "pad": 0.5}
            ax.annotate(
                f"{ratio:.2g}", (ratio, at), (4, 0), textcoords="offset points", va="center", fontsize=8, bbox=box
            )
        ax.axvline(1, color="black", linewidth=0.8, zorder=0)
        ax.set_xscale("log", base=2)
        ax.set(title=case, xticks=TICKS, xticklabels=[f"{tick:g}" for tick in TICKS], xlim=(0.2, 2 * max(1, *ratios)))
        ax.tick_params(labelsize=8)
        ax.title.set_fontsize(9)
    for ax in list(axes):
        ax.remove()
    figure.suptitle("Learner-updates per second, relative to a plain PyTorch loop")
    return figure
