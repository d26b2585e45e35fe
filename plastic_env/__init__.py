"""plastic_env: edit the structure of a network while it learns, and see what that does to its plasticity."""

import importlib.metadata
from pathlib import Path

_here = Path(__file__).parent
if not (_here / "agents").is_dir():  # a checkout: agents/ and scenarios/ stand beside this package
    __path__.append(str(_here.parent))

import gymnasium  # noqa: E402

from plastic_env.env.encoding import EpisodeSpec  # noqa: E402
from plastic_env.env.episode import EpisodeSettings, Outcome, Plan, Start  # noqa: E402
from plastic_env.env.lifetime import Lifetime  # noqa: E402
from plastic_env.env.single import PlasticEnv  # noqa: E402
from plastic_env.env.vector import PlasticVectorEnv  # noqa: E402
from plastic_env.errors import PlasticEnvError  # noqa: E402
from plastic_env.learner.edits import Edit  # noqa: E402
from plastic_env.learner.optimizers import SGD, UPGD, Adam  # noqa: E402
from plastic_env.learner.population import Population  # noqa: E402
from plastic_env.learner.settings import Conv, Dense, LearnerSettings  # noqa: E402
from plastic_env.scenarios import NAMESPACE, SCENARIOS  # noqa: E402

__all__ = [
    "SGD",
    "UPGD",
    "Adam",
    "Conv",
    "Dense",
    "Edit",
    "EpisodeSettings",
    "EpisodeSpec",
    "LearnerSettings",
    "Lifetime",
    "Outcome",
    "Plan",
    "PlasticEnv",
    "PlasticEnvError",
    "PlasticVectorEnv",
    "Population",
    "Start",
]

__version__ = importlib.metadata.version("plastic_env")

for _name in SCENARIOS:
    gymnasium.register(
        f"{NAMESPACE}/{_name}",
        entry_point="plastic_env.scenarios:make_env",
        vector_entry_point="plastic_env.scenarios:make_vector_env",
        kwargs={"scenario": _name},
    )
