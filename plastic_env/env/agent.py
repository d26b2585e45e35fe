"""What an agent is: anything with `reset` and `act`."""

from __future__ import annotations

from typing import Any, Protocol

from plastic_env.env.encoding import Action, EpisodeSpec, Observation


class Agent(Protocol):
    """Decides on one learner's structure and on how long it trains between decisions."""

    def reset(self, episode: EpisodeSpec, seed: int) -> None:
        """Get ready for an episode. `episode.action(...)` builds actions; `seed` is for the agent's own randomness."""
        ...

    def act(self, observation: Observation, info: dict[str, Any]) -> Action:
        """The next action, from what `PlasticEnv` returns: see `plastic_env.env.encoding` for the fields."""
        ...
