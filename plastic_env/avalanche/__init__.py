"""Between plastic_env and Avalanche (Carta et al. 2023): benchmarks either way, agents as plugins, metrics.

Importing this loads Avalanche, which takes seconds; nothing else in plastic_env does.
"""

import warnings

with warnings.catch_warnings():
    # quadprog is for GEM alone, which brings its own error
    warnings.filterwarnings("ignore", "no QP solver found", UserWarning)
    import avalanche.training  # noqa: F401

from plastic_env.avalanche.benchmarks import to_avalanche
from plastic_env.avalanche.classic import make_classic
from plastic_env.avalanche.metrics import plasticity_metrics
from plastic_env.avalanche.plugin import PlasticPlugin
from plastic_env.avalanche.streams import AvalancheScenario, from_avalanche

__all__ = ["AvalancheScenario", "PlasticPlugin", "from_avalanche", "make_classic", "plasticity_metrics", "to_avalanche"]
