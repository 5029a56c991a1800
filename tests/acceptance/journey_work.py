"""The part of the journey that is about the work of a self-hosted environment, taken up by its key."""

from typing import Any

from drive import Drive

SCRIPT = '#!script\n{"tool_use": {"name": "bash", "input": {"command": "true"}}}'


async def work(drive: Drive, worker: Drive, style: str, environment: str) -> dict[str, Any]:
    """A session's item from the queue to its end; nothing with a client that does not know of work."""
    seen: dict[str, Any] = {}
    if not drive.has("beta.environments.work"):
        return seen
    agent = await drive.do(
        "beta.agents.create", name=f"{style} hand", model="claude-opus-5-5", tools=[{"type": "agent_toolset_20260401"}]
    )
    session = await drive.do("beta.sessions.create", agent=agent["id"], environment_id=environment)
    message = {"type": "user.message", "content": [{"type": "text", "text": SCRIPT}]}
    await drive.do("beta.sessions.events.send", session["id"], events=[message])
    seen["session"] = session["id"]
    seen["waiting"] = await drive.do("beta.environments.work.stats", environment)
    polled = await worker.do("beta.environments.work.poll", environment, block_ms=999, anthropic_worker_id=style)
    seen["polled"] = {name: value for name, value in polled.items() if name != "secret"}
    seen["secret"] = bool(polled["secret"])
    where = {"environment_id": environment}
    seen["taken"] = await worker.do("beta.environments.work.ack", polled["id"], **where)
    seen["beaten"] = await worker.do(
        "beta.environments.work.heartbeat", polled["id"], expected_last_heartbeat="NO_HEARTBEAT", **where
    )
    seen["lost"] = await worker.refused(
        "beta.environments.work.heartbeat", polled["id"], expected_last_heartbeat="NO_HEARTBEAT", **where
    )
    seen["taken twice"] = await worker.refused("beta.environments.work.ack", polled["id"], **where)
    seen["read"] = await drive.do("beta.environments.work.retrieve", polled["id"], **where)
    seen["noted"] = await drive.do("beta.environments.work.update", polled["id"], metadata={"by": style}, **where)
    seen["listed"] = [each["id"] for each in await worker.walk("beta.environments.work.list", environment, limit=1)]
    seen["stopped"] = await worker.do("beta.environments.work.stop", polled["id"], force=True, **where)
    seen["forbidden"] = await drive.refused("beta.environments.work.poll", environment)
    return seen
