"""Sessions and threads as they travel (contract, sessions)."""

from datetime import datetime
from typing import Annotated, ClassVar, Literal, TypeAlias

from msgspec import UNSET, Meta, Raw, Struct, UnsetType, field

from rota.base.wire import Echo, Id, ListQuery, Metadata, MetadataPatch, Wire
from rota.resources.agents.multiagent import Version
from rota.resources.agents.tools import ToolIn
from rota.resources.agents.wire import AgentParam, AgentWithOverrides, McpServerIn, SessionAgent, ThreadAgent
from rota.resources.sessions.events import (
    MAX_INITIAL_EVENTS,
    MAX_SENT_EVENTS,
    InboundEvent,
    SessionInitialEvent,
)
from rota.resources.sessions.mounts import MountPath, ResourceParam, SessionResource, Token

Status: TypeAlias = Literal["rescheduling", "running", "idle", "terminated"]
EventType: TypeAlias = Literal[
    "user.message", "user.interrupt", "user.tool_confirmation", "user.custom_tool_result", "user.define_outcome",
    "user.tool_result", "system.message",
    "agent.custom_tool_use", "agent.message", "agent.thinking", "agent.mcp_tool_use", "agent.mcp_tool_result",
    "agent.tool_use", "agent.tool_result", "agent.thread_message_received", "agent.thread_message_sent",
    "agent.thread_context_compacted",
    "session.error", "session.status_rescheduled", "session.status_running", "session.status_idle",
    "session.status_terminated", "session.thread_created", "session.thread_status_running",
    "session.thread_status_idle", "session.thread_status_terminated", "session.thread_status_rescheduled",
    "session.updated", "session.usage",
    "span.outcome_evaluation_start", "span.outcome_evaluation_end", "span.outcome_evaluation_ongoing",
    "span.model_request_start", "span.model_request_end",
    "workflow_run.created", "workflow_run.status_running", "workflow_run.status_idle", "workflow_run.status_ended",
    "workflow_run.error", "workflow_run.phase_started", "workflow_run.phase_ended",
]  # fmt: skip


class Money(Echo, frozen=True):
    """An amount in whole cents, as text without leading zeros."""

    amount: Annotated[str, Meta(pattern="^[1-9][0-9]{0,17}$(?!\n)")]
    currency: Literal["USD"]


class Budget(Echo, frozen=True):
    """A ceiling for what one session may cost at list prices."""

    type: Literal["limit"]  # not a tag: where only one kind can stand, a tag may be left out, and this may not
    max_list_cost: Money


class ListCost(Struct, frozen=True):
    """What was consumed, in whole cents."""

    amount: str = "0"
    currency: Literal["USD"] = "USD"


class CacheCreation(Struct, frozen=True):
    """Tokens written to caches, by how long they live."""

    ephemeral_5m_input_tokens: int = 0
    ephemeral_1h_input_tokens: int = 0


class ServerToolUse(Struct, frozen=True):
    """Requests that server-run tools made."""

    web_search_requests: int = 0
    web_fetch_requests: int = 0


class Usage(Struct, frozen=True, kw_only=True):
    """What a session or thread has consumed."""

    input_tokens: int = 0
    output_tokens: int = 0
    cache_read_input_tokens: int = 0
    cache_creation: CacheCreation | None = None
    server_tool_use: ServerToolUse = ServerToolUse()
    list_cost: ListCost | None = ListCost()
    active_seconds: float = 0.0


class Stats(Struct, frozen=True, kw_only=True):
    """Seconds spent working, and seconds of age (frozen at termination)."""

    active_seconds: float
    duration_seconds: float


class OutcomeEvaluation(Struct, tag="outcome_evaluation", tag_field="type", frozen=True, kw_only=True):
    """How far an outcome has come."""

    outcome_id: str
    description: str
    iteration: int
    result: str
    explanation: str | None = None
    completed_at: datetime | None = None


class Session(Struct, tag="session", tag_field="type", frozen=True, kw_only=True):
    """A session as it goes out."""

    id: str
    status: Status
    agent: SessionAgent
    environment_id: str
    title: str | None
    metadata: Metadata
    resources: list[SessionResource]
    vault_ids: list[str]
    outcome_evaluations: list[OutcomeEvaluation]
    usage: Usage
    stats: Stats
    budget: Budget | None
    deployment_id: str | None
    created_at: datetime
    updated_at: datetime
    archived_at: datetime | None


class SessionDeleted(Struct, tag="session_deleted", tag_field="type", frozen=True):
    """What a deletion answers."""

    id: str


class CreateSession(Wire):
    """Body of ``POST /v1/sessions``."""

    agent: Id | AgentParam | AgentWithOverrides
    environment_id: Id
    title: Annotated[str, Meta(max_length=500)] | None = None
    metadata: Metadata = {}
    resources: Annotated[list[ResourceParam], Meta(max_length=500)] = []
    vault_ids: Annotated[list[Id], Meta(max_length=50)] = []
    initial_events: Annotated[list[SessionInitialEvent], Meta(max_length=MAX_INITIAL_EVENTS)] = []
    budget: Budget | None = None


class UpdateSessionAgent(Wire):
    """The parts of the agent's snapshot that a session may change; each replaces the whole list."""

    tools: list[ToolIn] | None | UnsetType = UNSET
    mcp_servers: list[McpServerIn] | None | UnsetType = UNSET


class UpdateSession(Wire):
    """Body of ``POST /v1/sessions/{id}``: what is omitted stays."""

    title: Annotated[str, Meta(min_length=1, max_length=500)] | None | UnsetType = UNSET
    metadata: MetadataPatch | None | UnsetType = UNSET
    budget: Budget | None | UnsetType = UNSET
    agent: UpdateSessionAgent | UnsetType = UNSET
    vault_ids: list[str] | None | UnsetType = UNSET


class ListSessions(ListQuery):
    """Query of ``GET /v1/sessions``. Filters may change between pages of a walk (contract, pagination)."""

    TWO_WAY: ClassVar[bool] = True
    FREE: ClassVar[frozenset[str]] = frozenset(
        {
            "agent_id", "agent_version", "deployment_id", "memory_store_id", "statuses", "include_archived",
            "created_at_gt", "created_at_gte", "created_at_lt", "created_at_lte",
        }
    )  # fmt: skip

    limit: Annotated[int, Meta(ge=1, le=100)] = 20
    order: Literal["asc", "desc"] = "desc"
    agent_id: str | None = None
    agent_version: Version | None = None
    deployment_id: str | None = None
    memory_store_id: str | None = None
    statuses: list[Status] | None = field(name="statuses[]", default=None)
    include_archived: bool = False
    created_at_gt: datetime | None = field(name="created_at[gt]", default=None)
    created_at_gte: datetime | None = field(name="created_at[gte]", default=None)
    created_at_lt: datetime | None = field(name="created_at[lt]", default=None)
    created_at_lte: datetime | None = field(name="created_at[lte]", default=None)


class Thread(Struct, tag="session_thread", tag_field="type", frozen=True, kw_only=True):
    """A thread of a session as it goes out; ``stats`` and ``usage`` are null until it has run."""

    id: str
    session_id: str
    parent_thread_id: str | None
    agent: ThreadAgent
    status: Status
    stats: Stats | None
    usage: Usage | None
    created_at: datetime
    updated_at: datetime
    archived_at: datetime | None


class ListThreads(ListQuery):
    """Query of ``GET /v1/sessions/{id}/threads``."""

    limit: Annotated[int, Meta(ge=1, le=1000)] = 1000
    statuses: list[Status] | None = field(name="statuses[]", default=None)


class ListResources(ListQuery):
    """Query of ``GET /v1/sessions/{id}/resources``. Without a limit: all of them."""

    limit: Annotated[int, Meta(ge=1, le=1000)] = 1000


class AddResource(Wire):
    """Body of ``POST /v1/sessions/{id}/resources``: a file. The other kinds are attached when a session is created."""

    type: Literal["file"]
    file_id: Id
    mount_path: MountPath | None | UnsetType = UNSET


class UpdateResource(Wire):
    """Body of ``POST /v1/sessions/{id}/resources/{resource_id}``: a new token for a repository."""

    authorization_token: Token


class SessionResourceDeleted(Struct, tag="session_resource_deleted", tag_field="type", frozen=True):
    """What the removal of a resource answers."""

    id: str


class ListEvents(ListQuery):
    """Query of ``GET /v1/sessions/{id}/events``; the time filters compare ``processed_at``."""

    limit: Annotated[int, Meta(ge=1, le=1000)] = 1000
    order: Literal["asc", "desc"] = "asc"
    types: list[EventType] | None = field(name="types[]", default=None)
    created_at_gt: datetime | None = field(name="created_at[gt]", default=None)
    created_at_gte: datetime | None = field(name="created_at[gte]", default=None)
    created_at_lt: datetime | None = field(name="created_at[lt]", default=None)
    created_at_lte: datetime | None = field(name="created_at[lte]", default=None)


class ListThreadEvents(ListQuery):
    """Query of ``GET /v1/sessions/{id}/threads/{thread_id}/events``."""

    limit: Annotated[int, Meta(ge=1, le=1000)] = 1000
    order: Literal["asc", "desc"] = "asc"


class StreamEvents(Struct, kw_only=True):
    """Query of the streams: which events are previewed while they are being made."""

    event_deltas: Annotated[list[Literal["agent.message", "agent.thinking"]], Meta(max_length=100)] = field(
        name="event_deltas[]", default_factory=list
    )


class SendEvents(Wire):
    """Body of ``POST /v1/sessions/{id}/events``."""

    events: Annotated[list[InboundEvent], Meta(min_length=1, max_length=MAX_SENT_EVENTS)]


class Event(Struct, frozen=True):
    """Documentation's view of an event; on its way out an event is spliced from stored JSON (see ``sessions.sql``)."""

    id: str
    type: EventType
    processed_at: datetime | None


class StreamEvent(Struct, frozen=True):
    """The same of an event on a stream; a preview has neither id nor moment, and what is previewed in ``event`` or ``delta``."""

    type: EventType | Literal["session.deleted", "event_start", "event_delta"]
    id: str | UnsetType = UNSET
    processed_at: datetime | UnsetType = UNSET


class SentEvents(Struct, frozen=True):
    """The events that were accepted, in order, with their ids."""

    data: list[Raw]
