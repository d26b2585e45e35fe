"""Statistics of studies: arrays in, arrays and named tuples out; no files, no torch.

checks: what is refused. intervals: means over runs. comparing: differences between methods. significance: tests.
association: whether two measures go together. plasticity: accuracy along a stream. retention: accuracy on past and
later tasks. survival: censored times. budgets: equal cost.
"""

from plastic_env.study.stats.association import rank_correlation, rank_correlation_gap
from plastic_env.study.stats.budgets import accuracy_within, common_budget, cost_per_update, pareto_front
from plastic_env.study.stats.comparing import paired_difference, performance_profile, probability_of_improvement
from plastic_env.study.stats.intervals import Bands, Interval, iqm_interval, mean_bands, mean_interval
from plastic_env.study.stats.plasticity import (
    average_online_accuracy,
    early_task_taa,
    fifths,
    loss_of_plasticity,
    relative_plasticity,
    slopes,
    taoa,
)
from plastic_env.study.stats.retention import acc, bwt, forgetting, fwt, taa
from plastic_env.study.stats.significance import Significance, Welch, holm, permutation_test, sign_flip_test, welch_test
from plastic_env.study.stats.survival import Median, Survival, median_time, restricted_mean, survival

__all__ = [
    "Bands",
    "Interval",
    "Median",
    "Significance",
    "Survival",
    "Welch",
    "acc",
    "accuracy_within",
    "average_online_accuracy",
    "bwt",
    "common_budget",
    "cost_per_update",
    "early_task_taa",
    "fifths",
    "forgetting",
    "fwt",
    "holm",
    "iqm_interval",
    "loss_of_plasticity",
    "mean_bands",
    "mean_interval",
    "median_time",
    "paired_difference",
    "pareto_front",
    "performance_profile",
    "permutation_test",
    "probability_of_improvement",
    "rank_correlation",
    "rank_correlation_gap",
    "relative_plasticity",
    "restricted_mean",
    "sign_flip_test",
    "slopes",
    "survival",
    "taa",
    "taoa",
    "welch_test",
]
