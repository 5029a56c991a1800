"""The tables of the usual server: the same nouns and the same indexes as the real one, as ORM classes."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import JSON, CheckConstraint, ForeignKey, Index, String
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column


class Base(DeclarativeBase):
    """The registry of the tables."""

    type_annotation_map = {dict[str, Any]: JSON, list[Any]: JSON, str: String}


class Organization(Base):
    """The tenant at the top."""

    __tablename__ = "organizations"

    id: Mapped[str] = mapped_column(primary_key=True)
    name: Mapped[str]
    disabled: Mapped[bool] = mapped_column(default=False)


class Workspace(Base):
    """What everything else belongs to."""

    __tablename__ = "workspaces"

    id: Mapped[str] = mapped_column(primary_key=True)
    organization_id: Mapped[str] = mapped_column(ForeignKey("organizations.id"))
    name: Mapped[str]
    archived_at: Mapped[datetime | None]


class ApiKey(Base):
    """A key; only its hash is kept."""

    __tablename__ = "api_keys"

    id: Mapped[str] = mapped_column(primary_key=True)
    workspace_id: Mapped[str] = mapped_column(ForeignKey("workspaces.id"))
    digest: Mapped[str] = mapped_column(unique=True)
    revoked_at: Mapped[datetime | None]
    expires_at: Mapped[datetime | None]


class AgentVersion(Base):
    """One version of an agent, with everything that a session copies from it."""

    __tablename__ = "agent_versions"

    agent_id: Mapped[str] = mapped_column(primary_key=True)
    version: Mapped[int] = mapped_column(primary_key=True)
    workspace_id: Mapped[str] = mapped_column(ForeignKey("workspaces.id"))
    name: Mapped[str]
    model: Mapped[dict[str, Any]]
    system: Mapped[str | None]
    tools: Mapped[list[Any]]
    created_at: Mapped[datetime]
    archived_at: Mapped[datetime | None]


class Environment(Base):
    """Where sessions run."""

    __tablename__ = "environments"

    id: Mapped[str] = mapped_column(primary_key=True)
    workspace_id: Mapped[str] = mapped_column(ForeignKey("workspaces.id"))
    name: Mapped[str]
    config: Mapped[dict[str, Any]]
    created_at: Mapped[datetime]
    archived_at: Mapped[datetime | None]


class Deployment(Base):
    """An agent bound to what it needs to run unattended."""

    __tablename__ = "deployments"

    id: Mapped[str] = mapped_column(primary_key=True)
    workspace_id: Mapped[str] = mapped_column(ForeignKey("workspaces.id"))
    name: Mapped[str]
    agent_id: Mapped[str]
    agent_version: Mapped[int]
    environment_id: Mapped[str] = mapped_column(ForeignKey("environments.id"))
    initial_events: Mapped[list[Any]]
    created_at: Mapped[datetime]
    archived_at: Mapped[datetime | None]


class Session(Base):
    """A session, with the agent as it was when the session began."""

    __tablename__ = "sessions"
    __table_args__ = (Index("sessions_by_time", "workspace_id", "created_at", "id"),)

    id: Mapped[str] = mapped_column(primary_key=True)
    workspace_id: Mapped[str] = mapped_column(ForeignKey("workspaces.id"))
    deployment_id: Mapped[str | None] = mapped_column(index=True)
    environment_id: Mapped[str]
    title: Mapped[str | None]
    status: Mapped[str]
    agent: Mapped[dict[str, Any]]
    created_at: Mapped[datetime]
    archived_at: Mapped[datetime | None]


class Thread(Base):
    """A thread of a session; the primary one is made with it."""

    __tablename__ = "threads"

    id: Mapped[str] = mapped_column(primary_key=True)
    session_id: Mapped[str] = mapped_column(ForeignKey("sessions.id"), index=True)
    status: Mapped[str]
    created_at: Mapped[datetime]


class Event(Base):
    """An event of a session, in order."""

    __tablename__ = "events"
    __table_args__ = (Index("events_in_order", "session_id", "position", unique=True),)

    id: Mapped[str] = mapped_column(primary_key=True)
    session_id: Mapped[str] = mapped_column(ForeignKey("sessions.id"))
    thread_id: Mapped[str]
    position: Mapped[int]
    type: Mapped[str]
    body: Mapped[dict[str, Any]]
    created_at: Mapped[datetime]


class DeploymentRun(Base):
    """What came of one run."""

    __tablename__ = "deployment_runs"
    __table_args__ = (
        Index("runs_by_time", "workspace_id", "created_at", "id"),
        Index("runs_of_deployment", "deployment_id", "created_at", "id"),
        CheckConstraint("(session_id IS NULL) <> (error IS NULL)", name="one_outcome"),
    )

    id: Mapped[str] = mapped_column(primary_key=True)
    workspace_id: Mapped[str] = mapped_column(ForeignKey("workspaces.id"))
    deployment_id: Mapped[str] = mapped_column(ForeignKey("deployments.id"))
    session_id: Mapped[str | None]
    error: Mapped[dict[str, Any] | None] = mapped_column(JSON(none_as_null=True))
    trigger_context: Mapped[dict[str, Any]]
    agent_id: Mapped[str]
    agent_version: Mapped[int]
    created_at: Mapped[datetime]
