"""What is measured of a learner's units on a probe batch. Tensors in, tensors out; padding-proof.

Shapes: features [..., samples, units]; masks and per-unit values [..., units]; results [...].
Padding columns are zero and lie outside of every mask.
"""

from __future__ import annotations

import torch
from torch import Tensor

ACTIVE = 0.05  # a unit counts as active on a sample above this (arXiv 2605.15435, tau)
DORMANT_TAU = 0.025  # ReDo's threshold (Sokar et al. 2023)
LOG_PARITY_LIMIT = 5.0  # log-parities are cut here: stillborn newborns have -inf


def masked_mean(values: Tensor, mask: Tensor) -> Tensor:
    """Mean over the units in `mask`; 0 where it is empty."""
    weight = mask.to(values.dtype)
    return (values * weight).sum(-1) / weight.sum(-1).clamp_min(1)


def active_fraction(features: Tensor) -> Tensor:
    """Fraction of samples on which each unit exceeds .05."""
    # numbers at once: turning truth values into them takes longer than comparing
    return torch.gt(features, ACTIVE, out=torch.empty_like(features)).mean(-2)


def log_parity(per_unit: Tensor, newborn: Tensor, incumbent: Tensor) -> Tensor:
    """Log of the newborns' mean over the incumbents' mean, within +-5 (arXiv 2605.15435).

    per_unit: a non-negative value per unit: its active fraction, or its mean |dL/dz|.
    Only meaningful where both masks hold units. Where both means are 0, parity counts as 1.
    """
    tiny = torch.finfo(per_unit.dtype).tiny
    ratio = torch.log(masked_mean(per_unit, newborn) + tiny) - torch.log(masked_mean(per_unit, incumbent) + tiny)
    return ratio.clamp(-LOG_PARITY_LIMIT, LOG_PARITY_LIMIT)


def contribution(fed: Tensor, outgoing: Tensor) -> Tensor:
    """Contribution utility of units: mean |h| times the sum of |outgoing weights|, [m, units] (Dohare et al. 2024); a
    unit that feeds the next layer by several numbers adds theirs up.

    fed: [m, block, units] mean |what it feeds|. outgoing: [m, units above, block, units].
    """
    return (fed * outgoing.abs().sum(1)).sum(1)


def log_utility_parity(per_unit: Tensor, newborn: Tensor, incumbent: Tensor) -> Tensor:
    """Log of the newborns' mean contribution over the incumbents' median one, the lower of two in the middle; within
    +-5. Only meaningful where both masks hold units."""
    tiny = torch.finfo(per_unit.dtype).tiny
    middle = per_unit.masked_fill(incumbent == 0, torch.nan).nanmedian(-1).values
    ratio = torch.log(masked_mean(per_unit, newborn) + tiny) - torch.log(middle + tiny)
    return ratio.clamp(-LOG_PARITY_LIMIT, LOG_PARITY_LIMIT)


def redo_scores(features: Tensor, live: Tensor) -> Tensor:
    """Mean |h| of each unit over the mean of that over the layer's live units (Sokar et al. 2023, eq. 1)."""
    size = features.abs().mean(-2)
    return size / masked_mean(size, live).clamp_min(torch.finfo(size.dtype).tiny)[..., None]


def dormant_fraction(features: Tensor, live: Tensor, tau: float = DORMANT_TAU) -> Tensor:
    """Fraction of live units with a ReDo score of at most `tau`."""
    return masked_mean((redo_scores(features, live) <= tau).to(features.dtype), live)


def dead_fraction(features: Tensor, live: Tensor) -> Tensor:
    """Fraction of live units that are zero on every sample."""
    return masked_mean((features.abs().sum(-2) == 0).to(features.dtype), live)


def singular_values(features: Tensor) -> Tensor:
    """Singular values of [..., samples, units], ascending, [..., min(samples, units)], in units of the largest entry.

    In double precision, by the Gram matrix: those below 1e-8 of the largest are noise.
    """
    largest = features.abs().amax((-2, -1), keepdim=True).double()
    scaled = features.double() / largest.clamp_min(torch.finfo(torch.double).tiny)
    small = scaled.mT if scaled.shape[-2] > scaled.shape[-1] else scaled
    return torch.linalg.eigvalsh(small @ small.mT).clamp_min(0).sqrt()


def effective_rank(singular: Tensor) -> Tensor:
    """exp of the entropy of the normalised singular values (Roy & Vetterli 2007); 1 where all are zero."""
    share = singular / singular.sum(-1, keepdim=True).clamp_min(torch.finfo(singular.dtype).tiny)
    return torch.exp(-torch.xlogy(share, share).sum(-1))


def stable_rank(singular: Tensor) -> Tensor:
    """Squared Frobenius over squared spectral norm; 1 where all are zero."""
    square, largest = singular.square().sum(-1), singular.amax(-1).square()
    return torch.where(largest > 0, square / largest.clamp_min(torch.finfo(singular.dtype).tiny), 1.0)


def srank(singular: Tensor, delta: float = 0.01) -> Tensor:
    """The fewest singular values that sum to 1 - delta of all; 1 where all are zero
    (Kumar et al. 2021, arXiv 2010.14498)."""
    descending = singular.flip(-1).cumsum(-1)
    return 1 + (descending < (1 - delta) * descending[..., -1:]).sum(-1)


def survivor_stability(before: Tensor, after: Tensor) -> Tensor:
    """Change of activation that a prune brings its survivors: mean |h_after - h_before| over mean |h_before|.

    before, after: [..., samples, units] of the same units on the same samples (arXiv 2605.15435, survivor stability).
    Means are over all units at once, so that one that was silent before doesn't count infinitely.
    """
    tiny = torch.finfo(before.dtype).tiny
    return (after - before).abs().mean((-2, -1)) / before.abs().mean((-2, -1)).clamp_min(tiny)


def sample_plasticity(before: Tensor, after: Tensor) -> Tensor:
    """clip(1 - L_after / L_before, 0, 1) of losses [...] on the same samples before and after training on them
    (Elsayed & Mahmood 2024, UPGD)."""
    tiny = torch.finfo(before.dtype).tiny
    return (1 - after / before.clamp_min(tiny)).clamp(0, 1)
