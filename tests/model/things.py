"""What there is in the model's world, and how each thing looks from outside. Plain values; instants in microseconds UTC.

Written from the contract, not from the server: nothing of ``rota`` is imported here.
"""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from tests.model.matching import Fresh

Json = dict[str, Any]
MINUTE = 60_000_000
DAY = 24 * 60 * MINUTE
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

SCHEDULES = {"0 9 * * *": (1440, 540), "15 * * * *": (60, 15), "*/30 * * * *": (30, 0)}
"""Expressions that the model can read: they fire every so many minutes, that many minutes after midnight UTC."""


def stamp(instant: int | None) -> str | None:
    """An instant on the wire."""
    if instant is None:
        return None
    return (EPOCH + timedelta(microseconds=instant)).isoformat().replace("+00:00", "Z")


def instant(text: str) -> int:
    """What ``stamp`` wrote."""
    return (datetime.fromisoformat(text) - EPOCH) // timedelta(microseconds=1)


def upcoming(expression: str, now: int) -> list[str | None]:
    """The next five occurrences, strictly after now."""
    every, offset = (minutes * MINUTE for minutes in SCHEDULES[expression])
    first = (now - offset) // every + 1
    return [stamp((first + n) * every + offset) for n in range(5)]


@dataclass(eq=False)
class Thing:
    """Whatever belongs to a workspace."""

    id: Fresh
    workspace: "Workspace"
    created_at: int

    @property
    def place(self) -> tuple[int, str]:
        """Where it stands in lists, oldest first."""
        return self.created_at, str(self.id)


@dataclass(eq=False)
class Workspace:
    """A workspace, with the key that opens it."""

    id: str
    key: str
    archived: bool = False


@dataclass(frozen=True)
class Version:
    """One version of an agent; ``config`` is all that it says, in the words of the wire."""

    number: int
    created_at: int
    config: Json


@dataclass(eq=False)
class Agent(Thing):
    """An agent is its latest version."""

    versions: list[Version]
    archived_at: int | None = None

    def show(self, number: int | None = None) -> Json:
        """As it goes out, in its latest version or another."""
        version = self.versions[(number or len(self.versions)) - 1]
        return {
            "type": "agent",
            "id": self.id,
            "version": version.number,
            **version.config,
            "created_at": stamp(self.created_at),
            "updated_at": stamp(self.archived_at or version.created_at),
            "archived_at": stamp(self.archived_at),
        }

    def definition(self, number: int) -> Json:
        """What a thread runs of a version: neither metadata, nor instants, nor who may be delegated to."""
        config = self.versions[number - 1].config
        shown = {name: value for name, value in config.items() if name not in ("metadata", "multiagent")}
        return {"type": "agent", "id": self.id, "version": number, **shown}


@dataclass(frozen=True)
class Pin:
    """An agent at a version."""

    agent: Agent
    number: int

    @property
    def config(self) -> Json:
        """What the version says."""
        return self.agent.versions[self.number - 1].config

    def show(self) -> Json:
        """As a reference."""
        return {"type": "agent", "id": self.agent.id, "version": self.number}


@dataclass(eq=False)
class Environment(Thing):
    """Where tools run."""

    name: str
    description: str | None
    config: Json
    metadata: dict[str, str]
    updated_at: int
    archived_at: int | None = None
    deleted: bool = False

    @property
    def self_hosted(self) -> bool:
        """Whether the user's own workers run the tools."""
        return self.config["type"] == "self_hosted"

    def show(self) -> Json:
        """As it goes out."""
        return {
            "type": "environment",
            "id": self.id,
            "name": self.name,
            "description": self.description,
            "config": self.config,
            "metadata": self.metadata,
            "scope": "organization",
            "created_at": stamp(self.created_at),
            "updated_at": stamp(self.updated_at),
            "archived_at": stamp(self.archived_at),
        }


@dataclass(eq=False)
class Deployment(Thing):
    """An agent bound to all that it needs. ``tokens`` are the places of resources whose token is kept."""

    name: str
    pin: Pin
    environment: Environment
    initial_events: list[Json]
    description: str | None
    resources: list[Json]
    metadata: dict[str, str]
    schedule: Json | None
    budget: Json | None
    updated_at: int
    tokens: frozenset[int]
    paused: bool = False
    archived_at: int | None = None

    def show(self, now: int) -> Json:
        """As it goes out: sixteen keys, and ``budget`` only if there is one."""
        schedule = None
        if self.schedule is not None:
            live = self.archived_at is None
            occurrences = upcoming(self.schedule["expression"], now) if live else []
            schedule = {**self.schedule, "last_run_at": None, "upcoming_runs_at": occurrences}
        shown = {
            "type": "deployment",
            "id": self.id,
            "name": self.name,
            "description": self.description,
            "agent": self.pin.show(),
            "environment_id": self.environment.id,
            "initial_events": self.initial_events,
            "resources": self.resources,
            "vault_ids": [],
            "metadata": self.metadata,
            "schedule": schedule,
            "status": "paused" if self.paused else "active",
            "paused_reason": {"type": "manual"} if self.paused else None,
            "created_at": stamp(self.created_at),
            "updated_at": stamp(self.updated_at),
            "archived_at": stamp(self.archived_at),
        }
        return shown if self.budget is None else shown | {"budget": self.budget}


@dataclass(eq=False)
class Session(Thing):
    """One piece of work. ``deleted`` ones are kept here only because their runs still name them."""

    pin: Pin
    members: list[Pin]
    environment: Environment
    deployment: Deployment | None
    title: str | None
    metadata: dict[str, str]
    resources: list[Json]
    budget: Json | None
    events: list[Json]
    tokens: int
    status: str
    updated_at: int
    thread: Fresh
    thread_status: str
    thread_updated_at: int
    archived_at: int | None = None
    told_at: int = 0
    deleted: bool = False

    def show(self, now: int) -> Json:
        """As it goes out. Its agent is a snapshot: what was pinned then, with the whole roster."""
        roster = None
        if self.members:
            roster = {"type": "coordinator", "agents": [pin.agent.definition(pin.number) for pin in self.members]}
        return {
            "type": "session",
            "id": self.id,
            "status": self.status,
            "agent": self.pin.agent.definition(self.pin.number) | {"multiagent": roster},
            "environment_id": self.environment.id,
            "title": self.title,
            "metadata": self.metadata,
            "resources": self.resources,
            "vault_ids": [],
            "outcome_evaluations": [
                {
                    "type": "outcome_evaluation",
                    "outcome_id": event["outcome_id"],
                    "description": event["description"],
                    "iteration": 0,
                    "result": "pending",
                    "explanation": None,
                    "completed_at": None,
                }
                for event in self.events
                if event["type"] == "user.define_outcome"
            ],
            "usage": {
                "input_tokens": 0,
                "output_tokens": 0,
                "cache_read_input_tokens": 0,
                "cache_creation": None,
                "server_tool_use": {"web_search_requests": 0, "web_fetch_requests": 0},
                "list_cost": {"amount": "0", "currency": "USD"},
                "active_seconds": 0.0,
            },
            "stats": {
                "active_seconds": 0.0,
                "duration_seconds": max(0, (self.archived_at or now) - self.created_at) / 1_000_000,
            },
            "budget": self.budget,
            "deployment_id": None if self.deployment is None else self.deployment.id,
            "created_at": stamp(self.created_at),
            "updated_at": stamp(self.updated_at),
            "archived_at": stamp(self.archived_at),
        }

    def show_thread(self) -> Json:
        """Its primary thread, which has not run yet."""
        return {
            "type": "session_thread",
            "id": self.thread,
            "session_id": self.id,
            "parent_thread_id": None,
            "agent": self.pin.agent.definition(self.pin.number),
            "status": self.thread_status,
            "stats": None,
            "usage": None,
            "created_at": stamp(self.created_at),
            "updated_at": stamp(self.thread_updated_at),
            "archived_at": None,
        }


@dataclass(eq=False)
class Run(Thing):
    """One fire: exactly one of ``session`` and ``error``, for ever."""

    deployment: Deployment
    pin: Pin
    session: Session | None
    error: Json | None

    def show(self) -> Json:
        """As it goes out. It names its session also after that was deleted."""
        return {
            "type": "deployment_run",
            "id": self.id,
            "deployment_id": self.deployment.id,
            "trigger_context": {"type": "manual"},
            "session_id": None if self.session is None else self.session.id,
            "error": self.error,
            "agent": self.pin.show(),
            "created_at": stamp(self.created_at),
        }


@dataclass
class Kept:
    """The first reply to an Idempotency-Key."""

    path: str
    at: int
    run: Run
    raw: bytes = b""
