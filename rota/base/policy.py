"""What the operator has decided, as far as actions need to know it. Made once from the settings and handed down."""

from collections.abc import Mapping
from pathlib import Path

from rota.base.clock import SECOND
from rota.base.errors import Unusable
from rota.base.key_file import LazySealer
from rota.base.settings import Settings
from rota.base.timing import Timing
from rota.base.turning import Turning

_ON_TIME = Timing()
_TURNING = Turning()
_NONE: Mapping[str, tuple[float, float]] = {}


class Policy:
    """Limits and secrets of this installation.

    ``sessions_per_minute``: sessions that an organization may create a minute, 0 for no limit. ``priced_models``: models
    with a list price besides the vendor's own, with their dollars for a million tokens in and out. ``max_scheduled``:
    deployments with a schedule that an organization may have, 0 for any number.
    ``max_memories``: memories that a store may hold. ``max_storage``: bytes of files that a workspace may keep, 0 for no
    limit. ``object_grace``: seconds after which an object that no row names is nobody's any more (``queue.objects``).
    ``timing``: how schedules are kept. ``turning``: how far sessions are turned. ``sealer`` seals secrets at rest; its key is read at first use.
    ``allow_private_hosts``: the operator's list of hosts that may be asked although they are not public, as written;
    ``outgoing.guard`` reads it.
    """

    __slots__ = (
        "allow_private_hosts",
        "max_memories",
        "max_scheduled",
        "max_storage",
        "object_grace",
        "priced_models",
        "sealer",
        "sessions_per_minute",
        "timing",
        "turning",
    )

    def __init__(
        self,
        sealer: LazySealer,
        *,
        sessions_per_minute: int = 0,
        priced_models: Mapping[str, tuple[float, float]] = _NONE,
        max_scheduled: int = 1000,
        max_memories: int = 2000,
        max_storage: int = 0,
        object_grace: int = 3600,
        allow_private_hosts: str = "",
        timing: Timing = _ON_TIME,
        turning: Turning = _TURNING,
    ) -> None:
        self.sealer = sealer
        self.sessions_per_minute = sessions_per_minute
        self.priced_models = priced_models
        self.max_scheduled = max_scheduled
        self.max_memories = max_memories
        self.max_storage = max_storage
        self.object_grace = object_grace
        self.allow_private_hosts = allow_private_hosts
        self.timing = timing
        self.turning = turning


def _prices(text: str) -> dict[str, tuple[float, float]]:
    """``name=input/output`` pairs, the amounts 0 where they are left out. Unusable if they are no amounts."""
    found: dict[str, tuple[float, float]] = {}
    for each in filter(None, (part.strip() for part in text.split(","))):
        name, _, amounts = each.partition("=")
        try:
            dollars = [float(amount) for amount in amounts.split("/")] if amounts else [0.0, 0.0]
            found[name.strip()] = dollars[0], dollars[1]
            if len(dollars) != 2 or min(dollars) < 0:
                raise ValueError
        except (ValueError, IndexError):
            raise Unusable(
                f"ROTA_PRICED_MODELS: {each!r} does not fit; write name=input/output, as in mine=3/15."
            ) from None
    return found


def policy(settings: Settings) -> Policy:
    """The policy that the settings describe."""
    return Policy(
        LazySealer(settings.seal_key, Path(settings.seal_key_path)),
        sessions_per_minute=settings.rate_limit_sessions_per_minute,
        priced_models=_prices(settings.priced_models),
        max_scheduled=settings.max_scheduled_deployments,
        max_memories=settings.max_memories_per_store,
        max_storage=settings.max_workspace_storage_mb << 20,
        object_grace=settings.object_grace_seconds,
        allow_private_hosts=settings.allow_private_hosts,
        timing=Timing(
            jitter=settings.schedule_jitter,
            catch_up=settings.catch_up,
            window=settings.catch_up_window_seconds * SECOND,
            limit=settings.catch_up_limit,
            overlap=settings.overlap,
        ),
        turning=Turning(
            attempts=settings.model_attempts,
            requests=settings.max_requests_per_turn,
            sessions=settings.max_turning_sessions,
            patience=settings.shutdown_seconds,
        ),
    )
