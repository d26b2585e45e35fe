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
    return (features > ACTIVE).to(features.dtype).mean(-2)


def log_parity(per_unit: Tensor, newborn: Tensor, incumbent: Tensor) -> Tensor:
    """Log of the newborns' mean over the incumbents' mean, within +-5 (arXiv 2605.15435).

    per_unit: a non-negative value per unit: its active fraction, or its mean |dL/dz|.
    Only meaningful where both masks hold units. Where both means are 0, parity counts as 1.
    """
    tiny = torch.finfo(per_unit.dtype).tiny
    ratio = torch.log(masked_mean(per_unit, newborn) + tiny) - torch.log(masked_mean(per_unit, incumbent) + tiny)
    return ratio.clamp(-LOG_PARITY_LIMIT, LOG_PARITY_LIMIT)


def redo_scores(features: Tensor, live: Tensor) -> Tensor:
    """Mean |h| of each unit over the mean of that over the layer's live units (Sokar et al. 2023, eq. 1)."""
    size = features.abs().mean(-2)
    return size / masked_mean(size, live).clamp_min(torch.finfo(size.dtype).tiny)[..., None]


def dormant_fraction(features: Tensor, live: Tensor, tau: float = DORMANT_TAU) -> Tensor:
    """Fraction of live units with a ReDo score of at most `tau`."""
    return masked_mean((redo_scores(features, live) <= tau).to(features.dtype), live)


def effective_rank(features: Tensor) -> Tensor:
    """exp of the entropy of the normalised singular values of [..., samples, units] (Roy & Vetterli 2007).

    At least 1; 1 for features that are zero. Computed in double precision by the Gram matrix.
    """
    features = features.double()
    features = features / features.abs().amax((-2, -1), keepdim=True).clamp_min(torch.finfo(torch.double).tiny)
    small = features.mT if features.shape[-2] > features.shape[-1] else features
    singular = torch.linalg.eigvalsh(small @ small.mT).clamp_min(0).sqrt()
    share = singular / singular.sum(-1, keepdim=True).clamp_min(torch.finfo(torch.double).tiny)
    return torch.exp(-torch.xlogy(share, share).sum(-1))
