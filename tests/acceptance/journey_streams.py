"""The part of the journey that follows sessions and threads while they are changed.

Like ``journey``, it needs nothing but the client, and asserts nothing.
"""

from typing import Any

from drive import Drive

STREAM, THREAD_STREAM = "beta.sessions.events.stream", "beta.sessions.threads.events.stream"
SEND, LIST = "beta.sessions.events.send", "beta.sessions.events.list"


async def streams(drive: Drive, style: str, clerk: str) -> dict[str, Any]:
    """Open the stream, list, send: what clients do, in that order."""
    seen: dict[str, Any] = {}
    office = (await drive.do("beta.environments.create", name=f"{style} balcony"))["id"]

    async def session() -> str:
        return (await drive.do("beta.sessions.create", agent=clerk, environment_id=office))["id"]

    watched = await session()
    await drive.do(SEND, watched, events=[{"type": "user.interrupt"}])

    async def work() -> None:
        seen["listed"] = await drive.walk(LIST, watched)
        seen["sent"] = await drive.do(SEND, watched, events=[{"type": "user.interrupt"}])
        await drive.do("beta.sessions.update", watched, title="Seen")
        seen["archived"] = await drive.do("beta.sessions.archive", watched)

    seen["followed"] = await drive.follow(STREAM, work, watched, event_deltas=["agent.message", "agent.thinking"])
    seen["listed in the end"] = await drive.walk(LIST, watched)
    seen["followed when it was over"] = await drive.follow(STREAM, _nothing, watched)

    other = await session()
    [primary] = await drive.walk("beta.sessions.threads.list", other)

    async def end() -> None:
        seen["sent to a thread"] = await drive.do(SEND, other, events=[{"type": "user.interrupt"}])
        await drive.do("beta.sessions.update", other, title="Gone")
        await drive.do("beta.sessions.delete", other)

    seen["thread"] = await drive.follow(THREAD_STREAM, end, primary["id"], session_id=other)
    seen["followed when it was gone"] = await drive.refused(STREAM, other)
    third = await session()
    [primary] = await drive.walk("beta.sessions.threads.list", third)
    seen["archived primary"] = await drive.refused("beta.sessions.threads.archive", primary["id"], session_id=third)
    return seen


async def _nothing() -> None:
    """Only look."""
