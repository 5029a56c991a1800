"""The part of the journey in which sessions run: every way for a client to set one going, to answer it and to stop it.

The model is scripted (docs/testing.md); tools really run. Like ``journey``, it needs nothing but the client, and asserts nothing.
"""

import asyncio
import json
import time
from collections.abc import Callable
from typing import Any

from drive import Drive

STREAM, SEND, LIST = "beta.sessions.events.stream", "beta.sessions.events.send", "beta.sessions.events.list"
CREATE, RETRIEVE = "beta.sessions.create", "beta.sessions.retrieve"
MODEL = "claude-opus-5-5"
SECONDS = 120.0
TABLE = b"name,desk\nAda,7\nBob,9\n"
STAMP = {
    "type": "custom",
    "name": "stamp",
    "description": "Stamps a letter.",
    "input_schema": {"type": "object", "properties": {"letter": {"type": "string"}}, "required": ["letter"]},
}


def message(*replies: dict[str, Any] | str) -> dict[str, Any]:
    """A message that makes the model reply so, in turn."""
    lines = [json.dumps({"text": each} if isinstance(each, str) else each) for each in replies]
    return {"type": "user.message", "content": [{"type": "text", "text": "\n".join(["#!script", *lines])}]}


def call(name: str, **given: Any) -> dict[str, Any]:
    """A reply that calls a tool."""
    return {"tool_use": {"name": name, "input": given}}


def idle(times: int = 1) -> Callable[[list[Any]], bool]:
    """Whether a stream has shown a session come to rest so often."""
    return lambda found: sum(event["type"] == "session.status_idle" for event in found) == times


async def rest(drive: Drive, session_id: str) -> Any:
    """A session as soon as it rests."""
    deadline = time.monotonic() + SECONDS
    while time.monotonic() < deadline:
        session = await drive.do(RETRIEVE, session_id)
        if session["status"] == "idle":
            return session
        await asyncio.sleep(0.1)
    raise TimeoutError(f"{session_id} did not come to rest")


async def turns(drive: Drive, style: str) -> dict[str, Any]:
    """Sessions that run."""
    office = (await drive.do("beta.environments.create", name=f"{style} workshop"))["id"]
    free = {"type": "agent_toolset_20260401"}
    asking = {**free, "default_config": {"enabled": True, "permission_policy": {"type": "always_ask"}}}
    agents = {
        name: (await drive.do("beta.agents.create", name=f"{style} {name}", model=MODEL, tools=tools))["id"]
        for name, tools in (("worker", [free]), ("stamper", [STAMP]), ("asker", [asking]))
    }

    async def session(agent: str, **more: Any) -> str:
        return (await drive.do(CREATE, agent=agents[agent], environment_id=office, **more))["id"]

    async def say(session_id: str, *events: dict[str, Any], times: int = 1) -> list[Any]:
        """Send, and follow until the session has come to rest so often."""

        async def act() -> None:
            await drive.do(SEND, session_id, events=list(events))

        return await drive.follow(STREAM, act, session_id, until=idle(times))

    return {
        "worked": await _work(drive, session, style),
        "stamped": await _stamp(drive, await session("stamper"), say),
        "confirmed": await _confirm(drive, await session("asker"), say),
        "interrupted": await _interrupt(drive, await session("worker"), say),
        "deployed": await _deploy(drive, agents["worker"], office, style),
    }


async def _work(drive: Drive, session: Any, style: str) -> dict[str, Any]:
    """A file goes in, the agent reads it and leaves another, which comes out."""
    seen: dict[str, Any] = {}
    table = await drive.do("beta.files.upload", file=(f"{style} desks.csv", TABLE, "text/csv"))
    mounted = [{"type": "file", "file_id": table["id"], "mount_path": "/desks.csv"}]
    session_id = await session("worker", resources=mounted)
    seen["at first"] = await drive.do(RETRIEVE, session_id)

    async def act() -> None:
        says = message(
            {"thinking": "A file.", "text": "I read it.", **call("read", file_path="/mnt/session/uploads/desks.csv")},
            call("bash", command="wc -l < /mnt/session/uploads/desks.csv | tee /mnt/session/outputs/count.txt"),
            "Three lines.",
        )
        seen["sent"] = await drive.do(SEND, session_id, events=[says])

    deltas = ["agent.message", "agent.thinking"]
    seen["followed"] = await drive.follow(STREAM, act, session_id, event_deltas=deltas, until=idle())
    seen["listed"] = await drive.walk(LIST, session_id)
    seen["results"] = await drive.walk(LIST, session_id, types=["agent.tool_result"])
    seen["in the end"] = await drive.do(RETRIEVE, session_id)
    [thread] = await drive.walk("beta.sessions.threads.list", session_id)
    seen["thread"] = await drive.do("beta.sessions.threads.retrieve", thread["id"], session_id=session_id)
    seen["thread's events"] = await drive.walk("beta.sessions.threads.events.list", thread["id"], session_id=session_id)
    files = await drive.walk("beta.files.list", scope_id=session_id)
    seen["outputs"] = [each for each in files if each["downloadable"]]
    [output] = seen["outputs"]
    seen["content"] = (await drive.fetch("beta.files.download", output["id"])).decode()
    return seen


async def _stamp(drive: Drive, session_id: str, say: Any) -> dict[str, Any]:
    """A tool that the client runs."""
    seen: dict[str, Any] = {}
    seen["asked"] = await say(session_id, message(call("stamp", letter="A"), "It is stamped."))
    [use] = [event for event in seen["asked"] if event["type"] == "agent.custom_tool_use"]
    answer = {"type": "user.custom_tool_result", "custom_tool_use_id": use["id"]}
    content = [{"type": "text", "text": "Stamped."}]
    seen["answered"] = await say(session_id, {**answer, "content": content})
    seen["answered twice"] = await drive.refused(SEND, session_id, events=[{**answer, "content": content}])
    seen["listed"] = await drive.walk(LIST, session_id)
    return seen


async def _confirm(drive: Drive, session_id: str, say: Any) -> dict[str, Any]:
    """Tools that run only if the client says so."""
    seen: dict[str, Any] = {}
    calls = [{"name": "bash", "input": {"command": f"echo {word}"}} for word in ("yes", "no")]
    seen["asked"] = await say(session_id, message({"tool_use": calls}, "One of them."))
    yes, no = (event["id"] for event in seen["asked"] if event["type"] == "agent.tool_use")
    confirmation = {"type": "user.tool_confirmation"}
    allow = {**confirmation, "tool_use_id": yes, "result": "allow"}
    deny = {**confirmation, "tool_use_id": no, "result": "deny", "deny_message": "Not today."}
    seen["answered"] = await say(session_id, allow, deny)
    seen["listed"] = await drive.walk(LIST, session_id)
    return seen


async def _interrupt(drive: Drive, session_id: str, say: Any) -> dict[str, Any]:
    """A model that takes too long is stopped, and told something else, in one request."""
    seen: dict[str, Any] = {}

    async def act() -> None:
        await drive.do(SEND, session_id, events=[message({"delay_ms": 600_000, "text": "Too late."})])

    await drive.follow(STREAM, act, session_id, until=lambda found: found[-1]["type"] == "span.model_request_start")
    seen["redirected"] = await say(session_id, {"type": "user.interrupt"}, message("At once."), times=2)
    seen["listed"] = await drive.walk(LIST, session_id)
    seen["in the end"] = await drive.do(RETRIEVE, session_id)
    return seen


async def _deploy(drive: Drive, agent: str, office: str, style: str) -> dict[str, Any]:
    """A deployment's session works by itself."""
    seen: dict[str, Any] = {}
    deployment = await drive.do(
        "beta.deployments.create",
        name=f"{style} unattended",
        agent=agent,
        environment_id=office,
        initial_events=[message(call("bash", command="echo unattended"), "Done by itself.")],
    )
    seen["run"] = await drive.do("beta.deployments.run", deployment["id"])
    session_id = seen["run"]["session_id"]
    seen["session"] = await rest(drive, session_id)
    seen["listed"] = await drive.walk(LIST, session_id)
    seen["backwards"] = await drive.walk(LIST, session_id, order="desc")
    seen["idle ones"] = await drive.walk(
        "beta.sessions.list", deployment_id=deployment["id"], statuses=["idle"], limit=1
    )
    seen["running ones"] = await drive.walk("beta.sessions.list", deployment_id=deployment["id"], statuses=["running"])
    return seen
