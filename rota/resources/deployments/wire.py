"""Deployments as they travel (contract, deployments)."""

from datetime import datetime
from typing import Annotated, Literal, TypeAlias

from msgspec import UNSET, Meta, Raw, Struct, UnsetType, field

from rota.base.wire import Echo, Id, ListQuery, Metadata, MetadataPatch, Wire
from rota.resources.agents.multiagent import AgentReference, Version
from rota.resources.deployment_runs.wire import ErrorType, RunError
from rota.resources.sessions.events import MAX_INITIAL_EVENTS, DeploymentInitialEvent
from rota.resources.sessions.mounts import ResourceParam
from rota.resources.sessions.survey import What
from rota.resources.sessions.wire import Budget

Name: TypeAlias = Annotated[str, Meta(min_length=1, max_length=256)]
Description: TypeAlias = Annotated[str, Meta(max_length=2048)]
InitialEvents: TypeAlias = Annotated[list[DeploymentInitialEvent], Meta(min_length=1, max_length=MAX_INITIAL_EVENTS)]
Resources: TypeAlias = Annotated[list[ResourceParam], Meta(max_length=500)]
VaultIds: TypeAlias = Annotated[list[Id], Meta(max_length=50)]
Status: TypeAlias = Literal["active", "paused"]


class Cron(Echo, frozen=True):
    """A schedule as sent: five POSIX fields, read in a time zone of the IANA database."""

    type: Literal["cron"]  # not a tag: where only one kind can stand, a tag may be left out, and this may not
    expression: Annotated[str, Meta(min_length=1, max_length=256)]
    timezone: Annotated[str, Meta(min_length=1)]


class Pin(Wire):
    """An agent, and perhaps a version, as sent; without one it is the latest at that moment."""

    type: Literal["agent"]
    id: Id
    version: Version | None = None


class CreateDeployment(Wire):
    """Body of ``POST /v1/deployments``."""

    name: Name
    agent: Id | Pin
    environment_id: Id
    initial_events: InitialEvents
    description: Description | None = None
    metadata: Metadata = {}
    resources: Resources | None = None
    vault_ids: VaultIds | None = None
    schedule: Cron | None = None
    budget: Budget | None = None


class UpdateDeployment(Wire):
    """Body of ``POST /v1/deployments/{id}``: what is omitted stays, null clears where it is allowed. Last write wins."""

    name: Name | UnsetType = UNSET
    agent: Id | Pin | UnsetType = UNSET
    environment_id: Id | UnsetType = UNSET
    initial_events: InitialEvents | UnsetType = UNSET
    description: Description | None | UnsetType = UNSET
    metadata: MetadataPatch | None | UnsetType = UNSET
    resources: Resources | None | UnsetType = UNSET
    vault_ids: VaultIds | None | UnsetType = UNSET
    schedule: Cron | None | UnsetType = UNSET
    budget: Budget | None | UnsetType = UNSET


class ListDeployments(ListQuery):
    """Query of ``GET /v1/deployments``. ``status`` and ``include_archived`` exclude each other."""

    limit: Annotated[int, Meta(ge=1, le=100)] = 20
    agent_id: str | None = None
    status: Status | None = None
    include_archived: bool | None = None
    created_at_gte: datetime | None = field(name="created_at[gte]", default=None)
    created_at_lte: datetime | None = field(name="created_at[lte]", default=None)


class Schedule(Struct, tag="cron", tag_field="type", frozen=True, kw_only=True):
    """A schedule as it goes out. ``last_run_at`` is moved by scheduled runs only; ``upcoming_runs_at`` are up to five
    exact instants, none once the deployment is archived."""

    expression: str
    timezone: str
    last_run_at: datetime | None
    upcoming_runs_at: list[datetime]


class ManualPause(Struct, tag="manual", tag_field="type", frozen=True):
    """Somebody paused it."""


class PausingError(Struct, frozen=True):
    """The run error that paused a deployment; there is no message here."""

    type: str


class ErrorPause(Struct, tag="error", tag_field="type", frozen=True):
    """A scheduled fire failed in a way that pauses."""

    error: PausingError


class Deployment(Struct, tag="deployment", tag_field="type", frozen=True, kw_only=True):
    """A deployment as it goes out: sixteen keys, and ``budget`` only if it is set."""

    id: str
    name: str
    description: str | None
    agent: AgentReference
    environment_id: str
    initial_events: list[Raw]
    resources: list[ResourceParam]
    vault_ids: list[str]
    metadata: Metadata
    schedule: Schedule | None
    status: Status
    paused_reason: ManualPause | ErrorPause | None
    created_at: datetime
    updated_at: datetime
    archived_at: datetime | None
    budget: Budget | UnsetType = UNSET


class Checked(Struct, frozen=True, kw_only=True):
    """One thing that a deployment's run depends on. ``found`` says what was found of it; if it is broken, ``error`` is the type
    of run error that it leads to (none, if the run is refused instead), ``recorded`` whether it is the one that a run now
    would record, and ``mend`` what to do. A thing that is well may have a ``mend`` too: a schedule that is paused."""

    what: What | Literal["deployment", "schedule"]
    id: str | None
    found: str
    verdict: Literal["ok", "broken"] = "ok"
    error: ErrorType | None = None
    recorded: bool = False
    mend: str | None = None


class DeploymentCheck(Struct, tag="deployment_check", tag_field="type", frozen=True, kw_only=True):
    """A dry run: what a run at ``checked_at`` would come to, and everything that it depends on, broken or not.

    ``outcome``: a run would make a ``session``, record an ``error`` (this one), or be ``refused`` and leave no record.
    """

    deployment_id: str
    checked_at: datetime
    outcome: Literal["session", "error", "refused"]
    error: RunError | None
    says: str
    checks: list[Checked]


class RunExplanation(Struct, tag="deployment_run_explanation", tag_field="type", frozen=True, kw_only=True):
    """What a run recorded, what that means, and whether it is so still.

    ``still_broken`` is null for a run that made a session. ``checks`` are the things that a run now would find broken in the
    same way, ``now`` is what a run now would come to.
    """

    deployment_run_id: str
    deployment_id: str
    created_at: datetime
    session_id: str | None
    error: RunError | None
    meaning: str
    pauses_schedule: bool
    still_broken: bool | None
    mend: str | None
    now: str
    checks: list[Checked]
