"""Deployments as they travel (contract, deployments)."""

from datetime import datetime
from typing import Annotated, Literal, TypeAlias

from msgspec import UNSET, Meta, Raw, Struct, UnsetType, field

from rota.base.timing import CatchUp, Jitter, Overlap
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


class UpdateScheduling(Wire):
    """Body of ``POST /rota/v1/deployments/{id}/scheduling``: what is omitted stays, null goes back to the server's setting."""

    catch_up: CatchUp | None | UnsetType = UNSET
    catch_up_window_seconds: Annotated[int, Meta(ge=0, le=366 * 86400)] | None | UnsetType = UNSET
    catch_up_limit: Annotated[int, Meta(ge=1, le=100_000)] | None | UnsetType = UNSET
    overlap: Overlap | None | UnsetType = UNSET


class EffectiveTiming(Struct, frozen=True, kw_only=True):
    """The rules that hold: the deployment's own where it has them, the server's otherwise."""

    jitter: Jitter
    catch_up: CatchUp
    catch_up_window_seconds: int
    catch_up_limit: int
    overlap: Overlap


class Scheduling(Struct, tag="deployment_scheduling", tag_field="type", frozen=True, kw_only=True):
    """How a deployment's schedule is kept, and how it has gone so far.

    ``next_occurrence_at`` is exact, ``next_fire_at`` has the jitter; both are null while nothing is to be fired.
    ``stalled_at`` is set while the deployment is left alone because it could not be fired.
    """

    deployment_id: str
    catch_up: CatchUp | None
    catch_up_window_seconds: int | None
    catch_up_limit: int | None
    overlap: Overlap | None
    effective: EffectiveTiming
    next_occurrence_at: datetime | None
    next_fire_at: datetime | None
    stalled_at: datetime | None
    missed: int
    skipped: int


OccurrenceKind: TypeAlias = Literal["fired", "missed", "skipped", "upcoming"]


class ListOccurrences(ListQuery):
    """Query of ``GET /rota/v1/deployments/{id}/occurrences``."""

    limit: Annotated[int, Meta(ge=1, le=1000)] = 20
    kind: OccurrenceKind | None = None
    scheduled_at_gte: datetime | None = field(name="scheduled_at[gte]", default=None)
    scheduled_at_lte: datetime | None = field(name="scheduled_at[lte]", default=None)


class Occurrence(Struct, tag="occurrence", tag_field="type", frozen=True, kw_only=True):
    """One occurrence of a schedule. One that fired has a run, whose session or error says what came of it; one that was
    missed or skipped has the reason."""

    scheduled_at: datetime
    kind: OccurrenceKind
    deployment_run_id: str | None = None
    reason: str | None = None
