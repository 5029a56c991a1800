"""The model of an agent: as it is sent, and resolved (contract, agents)."""

from typing import Annotated, Literal, TypeAlias

from msgspec import UNSET, Meta, Struct, UnsetType

from rota.base.wire import Echo, Wire

ModelId: TypeAlias = Annotated[str, Meta(min_length=1, max_length=256)]
"""Any name that the configured model endpoint understands; none is refused here."""
Level: TypeAlias = Literal["low", "medium", "high", "xhigh", "max"]
Speed: TypeAlias = Literal["standard", "fast"]
Geo: TypeAlias = Literal["us", "global"]


class Effort(Echo, frozen=True):
    """How hard the model works on each call."""

    type: Level


DEFAULT_EFFORT = Effort(type="high")
"""What an unset effort resolves to, for every model: the level at which models work when they are not told one, so that
whoever calls the model can leave it out (the per-model table of the hosted service is not published)."""


class ModelConfigIn(Wire):
    """A model with its options, as sent."""

    id: ModelId
    speed: Speed | None = None
    effort: Level | Effort | None | UnsetType = UNSET
    inference_geo: Geo | None = None


ModelIn: TypeAlias = ModelId | ModelConfigIn


class ModelConfig(Struct, frozen=True, kw_only=True):
    """A model with all of its options."""

    id: str
    speed: Speed = "standard"
    effort: Effort = DEFAULT_EFFORT
    inference_geo: Geo | None = None


def resolve_model(given: ModelIn, stored: ModelConfig | None = None) -> ModelConfig:
    """The whole configuration. Only an omitted effort of the unchanged model is kept from ``stored`` (contract, agents)."""
    if isinstance(given, str):
        given = ModelConfigIn(id=given)
    effort = given.effort
    if effort is UNSET:
        effort = stored.effort if stored is not None and stored.id == given.id else DEFAULT_EFFORT
    elif effort is None:
        effort = DEFAULT_EFFORT
    elif isinstance(effort, str):
        effort = Effort(type=effort)
    return ModelConfig(id=given.id, speed=given.speed or "standard", effort=effort, inference_geo=given.inference_geo)
