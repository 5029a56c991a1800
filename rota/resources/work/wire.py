"""Work as it travels (contract, self-hosted environments)."""

from datetime import datetime
from typing import Annotated, Literal, TypeAlias

from msgspec import UNSET, Meta, Struct, UnsetType

from rota.base.wire import ListQuery, Metadata, MetadataPatch, Wire

State: TypeAlias = Literal["queued", "starting", "active", "stopping", "stopped"]
_LONGEST = 366 * 24 * 3600 * 1000


class PollWork(Struct, kw_only=True):
    """Query of ``GET …/work/poll``. Without ``block_ms`` the answer comes at once."""

    block_ms: Annotated[int, Meta(ge=1, le=999)] | None = None
    reclaim_older_than_ms: Annotated[int, Meta(ge=0, le=_LONGEST)] = 5000


class HeartbeatWork(Struct, kw_only=True):
    """Query of ``POST …/work/{id}/heartbeat``. ``expected_last_heartbeat`` is an opaque text, or NO_HEARTBEAT."""

    expected_last_heartbeat: str | None = None
    desired_ttl_seconds: int | None = None


class ListWork(ListQuery):
    """Query of ``GET …/work``."""

    limit: Annotated[int, Meta(ge=1, le=1000)] = 20


class StopWork(Wire):
    """Body of ``POST …/work/{id}/stop``."""

    force: bool | None = None


class UpdateWork(Wire):
    """Body of ``POST …/work/{id}``: what is omitted stays."""

    metadata: MetadataPatch | UnsetType = UNSET


class SessionData(Struct, tag="session", tag_field="type", frozen=True):
    """What is to be done: serve this session."""

    id: str


class Work(Struct, tag="work", tag_field="type", frozen=True, kw_only=True):
    """An item of work as it goes out. ``secret`` only where it is handed out."""

    id: str
    environment_id: str
    state: State
    data: SessionData
    metadata: Metadata
    secret: str | None
    created_at: datetime
    acknowledged_at: datetime | None
    started_at: datetime | None
    latest_heartbeat_at: datetime | None
    stop_requested_at: datetime | None
    stopped_at: datetime | None


class Heartbeat(Struct, tag="work_heartbeat", tag_field="type", frozen=True, kw_only=True):
    """What a heartbeat answers. ``last_heartbeat`` is to be sent back as it is, and empty if there was none."""

    last_heartbeat: str
    lease_extended: bool
    state: State
    ttl_seconds: int


class QueueStats(Struct, tag="work_queue_stats", tag_field="type", frozen=True, kw_only=True):
    """How a queue stands: how many items wait, and how many were handed out and not acknowledged yet."""

    depth: int
    pending: int
    oldest_queued_at: datetime | None
    workers_polling: int | None
