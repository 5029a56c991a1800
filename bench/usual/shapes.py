"""What travels to and from the usual server, as pydantic models."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field


class Closed(BaseModel):
    """A request body: unknown fields are refused."""

    model_config = ConfigDict(extra="forbid")


class ModelConfig(Closed):
    """The model of an agent."""

    id: str
    speed: Literal["standard", "fast"] = "standard"


class AgentCreate(Closed):
    """POST /v1/agents."""

    name: str = Field(min_length=1, max_length=256)
    model: str | ModelConfig
    system: str | None = Field(default=None, max_length=100_000)
    tools: list[dict[str, Any]] = Field(default_factory=list[dict[str, Any]], max_length=256)


class EnvironmentCreate(Closed):
    """POST /v1/environments."""

    name: str = Field(min_length=1, max_length=256)


class TextBlock(Closed):
    """A block of text."""

    type: Literal["text"]
    text: str = Field(min_length=1)


class UserMessage(Closed):
    """The one kind of first event that the benchmark sends."""

    type: Literal["user.message"]
    content: list[TextBlock] = Field(min_length=1)


class DeploymentCreate(Closed):
    """POST /v1/deployments."""

    name: str = Field(min_length=1, max_length=256)
    agent: str
    environment_id: str
    initial_events: list[UserMessage] = Field(min_length=1, max_length=50)


class Created(BaseModel):
    """As much of a created object as the benchmark reads."""

    id: str
    type: str


class AgentReference(BaseModel):
    """The agent of a run."""

    type: Literal["agent"] = "agent"
    id: str
    version: int


class ManualTrigger(BaseModel):
    """Why a run was made."""

    type: Literal["manual"] = "manual"


class RunError(BaseModel):
    """Why a run made no session."""

    type: str
    message: str


class DeploymentRunRead(BaseModel):
    """The record that run-now answers with."""

    type: Literal["deployment_run"] = "deployment_run"
    id: str
    deployment_id: str
    trigger_context: ManualTrigger
    session_id: str | None
    error: RunError | None
    agent: AgentReference
    created_at: datetime
