"""The usual server: FastAPI over SQLAlchemy asyncio over aiosqlite, on SQLite in WAL mode with synchronous=FULL.

Run-now does the work that the real server does, one statement after another in one transaction: key, workspace,
organization, deployment, agent version, environment are loaded; session, primary thread, first events and the run
record are written. Settings: `USUAL_DATABASE` (a file), `USUAL_API_KEY` (the key made at start).
"""

from __future__ import annotations

import hashlib
import os
import secrets
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Annotated, Any

from fastapi import Depends, FastAPI, Header, HTTPException, Request, Response
from fastapi.responses import JSONResponse
from sqlalchemy import event, select
from sqlalchemy.ext.asyncio import AsyncSession, async_sessionmaker, create_async_engine

from bench.usual.shapes import (
    AgentCreate,
    AgentReference,
    Created,
    DeploymentCreate,
    DeploymentRunRead,
    EnvironmentCreate,
    ManualTrigger,
    RunError,
)
from bench.usual.tables import (
    AgentVersion,
    ApiKey,
    Base,
    Deployment,
    DeploymentRun,
    Environment,
    Event,
    Organization,
    Session,
    Thread,
    Workspace,
)

DATABASE = os.environ.get("USUAL_DATABASE", "usual.sqlite3")

# Two connections: of 1, 2, 3 and 5 (the pool's own default) two gave the most runs a second. SQLite has one writer, so
# more of them only wait; every transaction begins IMMEDIATE, so they wait at its start, not failing in the middle.
engine = create_async_engine(
    f"sqlite+aiosqlite:///{DATABASE}",
    pool_size=2,
    max_overflow=0,
    pool_timeout=120,
    connect_args={"timeout": 60, "isolation_level": None},
)
new_session = async_sessionmaker(engine, expire_on_commit=False)


@event.listens_for(engine.sync_engine, "connect")
def set_pragmas(connection: Any, _record: Any) -> None:
    """The durability of the comparison, on every connection."""
    cursor = connection.cursor()
    cursor.execute("PRAGMA journal_mode=WAL")
    cursor.execute("PRAGMA synchronous=FULL")
    cursor.execute("PRAGMA foreign_keys=ON")
    cursor.close()


@event.listens_for(engine.sync_engine, "begin")
def begin_immediate(connection: Any) -> None:
    """Take the write lock at once: a read transaction that turns into a write is refused under contention."""
    connection.exec_driver_sql("BEGIN IMMEDIATE")


def new_id(prefix: str) -> str:
    """A fresh id with the public look."""
    return f"{prefix}_01{secrets.token_hex(11)}"


def digest(key: str) -> str:
    """What is kept of a key."""
    return hashlib.sha256(key.encode()).hexdigest()


@asynccontextmanager
async def lifespan(_app: FastAPI) -> AsyncGenerator[None]:
    """Make the tables, an organization, a workspace and the key; close the pool at the end."""
    async with engine.begin() as connection:
        await connection.run_sync(Base.metadata.create_all)
    async with new_session.begin() as session:
        organization = Organization(id=new_id("org"), name="bench")
        workspace = Workspace(id=new_id("wrkspc"), organization_id=organization.id, name="Default")
        key = ApiKey(id=new_id("apikey"), workspace_id=workspace.id, digest=digest(os.environ["USUAL_API_KEY"]))
        for row in (organization, workspace, key):
            session.add(row)
            await session.flush()
    yield
    await engine.dispose()


app = FastAPI(title="The usual server", lifespan=lifespan)


@app.exception_handler(HTTPException)
async def envelope(_request: Request, refusal: HTTPException) -> JSONResponse:
    """The documented error shape."""
    kinds = {401: "authentication_error", 404: "not_found_error"}
    error = {"type": kinds.get(refusal.status_code, "invalid_request_error"), "message": refusal.detail}
    return JSONResponse({"type": "error", "error": error}, refusal.status_code)


async def transaction() -> AsyncGenerator[AsyncSession]:
    """One transaction per request, committed before the response leaves."""
    async with new_session.begin() as session:
        yield session


# scope="function": the commit comes before the response is sent, so that a 200 means that the run is durable.
Db = Annotated[AsyncSession, Depends(transaction, scope="function")]


class Who:
    """The caller: the workspace and the organization of a key."""

    def __init__(self, workspace: Workspace, organization: Organization) -> None:
        self.workspace = workspace
        self.organization = organization


async def admit(db: Db, x_api_key: Annotated[str, Header()]) -> Who:
    """Find the caller by the key."""
    key = await db.scalar(select(ApiKey).where(ApiKey.digest == digest(x_api_key)))
    if key is None or key.revoked_at or (key.expires_at and key.expires_at <= datetime.now(UTC).replace(tzinfo=None)):
        raise HTTPException(401, "invalid x-api-key")
    workspace = await db.get_one(Workspace, key.workspace_id)
    organization = await db.get_one(Organization, workspace.organization_id)
    return Who(workspace, organization)


Caller = Annotated[Who, Depends(admit)]


def now() -> datetime:
    """The present, UTC without a zone, as SQLite keeps it."""
    return datetime.now(UTC).replace(tzinfo=None)


@app.get("/healthz")
async def healthz() -> dict[str, str]:
    """Whether the process is up."""
    return {"status": "ok"}


@app.post("/v1/agents")
async def create_agent(body: AgentCreate, db: Db, who: Caller) -> Created:
    """Make an agent, version 1."""
    model = {"id": body.model, "speed": "standard"} if isinstance(body.model, str) else body.model.model_dump()
    agent = AgentVersion(
        agent_id=new_id("agent"),
        version=1,
        workspace_id=who.workspace.id,
        name=body.name,
        model=model,
        system=body.system,
        tools=body.tools,
        created_at=now(),
    )
    db.add(agent)
    return Created(id=agent.agent_id, type="agent")


@app.post("/v1/environments")
async def create_environment(body: EnvironmentCreate, db: Db, who: Caller) -> Created:
    """Make a cloud environment."""
    environment = Environment(
        id=new_id("env"), workspace_id=who.workspace.id, name=body.name, config={"type": "cloud"}, created_at=now()
    )
    db.add(environment)
    return Created(id=environment.id, type="environment")


@app.post("/v1/deployments")
async def create_deployment(body: DeploymentCreate, db: Db, who: Caller) -> Created:
    """Make a deployment, pinned to the first version of the agent."""
    if await db.get(AgentVersion, (body.agent, 1)) is None:
        raise HTTPException(404, "Referenced agent not found or not accessible.")
    if await db.get(Environment, body.environment_id) is None:
        raise HTTPException(404, "Referenced environment not found or not accessible.")
    deployment = Deployment(
        id=new_id("depl"),
        workspace_id=who.workspace.id,
        name=body.name,
        agent_id=body.agent,
        agent_version=1,
        environment_id=body.environment_id,
        initial_events=[item.model_dump() for item in body.initial_events],
        created_at=now(),
    )
    db.add(deployment)
    return Created(id=deployment.id, type="deployment")


def refusal(who: Who, environment: Environment | None, environment_id: str) -> RunError | None:
    """Why a run cannot make a session, if it cannot."""
    if who.organization.disabled:
        return RunError(type="organization_disabled_error", message="organization is disabled")
    if who.workspace.archived_at:
        return RunError(type="workspace_archived_error", message="workspace is archived")
    if environment is None:
        return RunError(type="environment_not_found_error", message=f"environment `{environment_id}` not found")
    if environment.archived_at:
        return RunError(type="environment_archived_error", message=f"environment `{environment_id}` is archived")
    return None


async def create_session(db: AsyncSession, deployment: Deployment, agent: AgentVersion) -> Session:
    """Write a session with its primary thread and its first events."""
    at = now()
    session = Session(
        id=new_id("sesn"),
        workspace_id=deployment.workspace_id,
        deployment_id=deployment.id,
        environment_id=deployment.environment_id,
        title=deployment.name,
        status="running",
        agent={
            "type": "agent",
            "id": agent.agent_id,
            "version": agent.version,
            "name": agent.name,
            "model": agent.model,
            "system": agent.system,
            "tools": agent.tools,
        },
        created_at=at,
    )
    db.add(session)
    await db.flush()
    thread = Thread(id=new_id("sthr"), session_id=session.id, status="running", created_at=at)
    db.add(thread)
    await db.flush()
    db.add_all(
        Event(
            id=new_id("sevt"),
            session_id=session.id,
            thread_id=thread.id,
            position=position,
            type=body["type"],
            body=body,
            created_at=at,
        )
        for position, body in enumerate(deployment.initial_events)
    )
    await db.flush()
    return session


@app.post("/v1/deployments/{deployment_id}/run")
async def run_deployment(deployment_id: str, db: Db, who: Caller, response: Response) -> DeploymentRunRead:
    """Make a session of a deployment now, and record it."""
    response.headers["request-id"] = new_id("req")
    deployment = await db.scalar(
        select(Deployment).where(Deployment.id == deployment_id, Deployment.workspace_id == who.workspace.id)
    )
    if deployment is None:
        raise HTTPException(404, f"Deployment `{deployment_id}` not found.")
    if deployment.archived_at:
        raise HTTPException(400, "Cannot modify archived deployment")
    agent = await db.get_one(AgentVersion, (deployment.agent_id, deployment.agent_version))
    environment = await db.get(Environment, deployment.environment_id)
    error = refusal(who, environment, deployment.environment_id)
    session = None if error else await create_session(db, deployment, agent)
    run = DeploymentRun(
        id=new_id("drun"),
        workspace_id=who.workspace.id,
        deployment_id=deployment.id,
        session_id=session.id if session else None,
        error=error.model_dump() if error else None,
        trigger_context={"type": "manual"},
        agent_id=agent.agent_id,
        agent_version=agent.version,
        created_at=now(),
    )
    db.add(run)
    await db.flush()
    return DeploymentRunRead(
        id=run.id,
        deployment_id=deployment.id,
        trigger_context=ManualTrigger(),
        session_id=run.session_id,
        error=error,
        agent=AgentReference(id=agent.agent_id, version=agent.version),
        created_at=run.created_at.replace(tzinfo=UTC),
    )
