"""A house with a session, a model that plays, and turns that are taken by hand: no worker, no timer, no waiting."""

import asyncio
from typing import Any

import msgspec

from rota.base.clock import SECOND
from rota.resources.sessions import log, turns
from rota.resources.sessions.wire import SendEvents
from rota.runtime.advance import Limits
from rota.runtime.attachments import Attachments
from rota.runtime.previews import NoPreviews, Previews
from rota.runtime.provider import ProviderFailure, Reply
from rota.runtime.tallies import Tallies
from rota.runtime.turn import Parts, Turn
from tests.api import Api
from tests.runtime.players import Bench, Player

TOOLSET = {"type": "agent_toolset_20260401"}
CUSTOM = {"type": "custom", "name": "ask_user", "description": "Asks.", "input_schema": {"type": "object"}}
HOLD = 30 * SECOND


def message(text: str = "Hello.") -> dict[str, Any]:
    return {"type": "user.message", "content": [{"type": "text", "text": text}]}


class Stage:
    """One session, and what becomes of it."""

    def __init__(
        self,
        api: Api,
        *replies: Reply | ProviderFailure,
        tools: list[Any] | None = None,
        config: dict[str, Any] | None = None,
        limits: Limits | None = None,
        previews: Previews | None = None,
        agent: dict[str, Any] | None = None,
        **session: Any,
    ) -> None:
        self.api = api
        self.player = Player(*replies)
        self.bench = Bench()
        self.parts = Parts(
            db=api.house.db,
            provider=self.player,
            workshop=self.bench,
            previews=previews or NoPreviews(),
            attachments=Attachments(api.house.db, api.house.blobs),
            limits=limits or Limits(),
            tallies=Tallies(),
        )
        made = api.agent(tools=[TOOLSET, CUSTOM] if tools is None else tools, **(agent or {}))
        environment = api.environment(**({} if config is None else {"config": config}))
        body = {"agent": made["id"], "environment_id": environment["id"], **session}
        self.id: str = api.post("/v1/sessions", body).ok()["id"]
        self.path = f"/v1/sessions/{self.id}/events"

    def send(self, *events: dict[str, Any]) -> list[dict[str, Any]]:
        return self.api.post(self.path, {"events": list(events)}).ok()["data"]

    def work(self, *events: dict[str, Any]) -> None:
        """Send as a self-hosted worker does."""
        worker = msgspec.structs.replace(self.api.who, scope="environment")
        body = msgspec.convert({"events": list(events)}, SendEvents)
        self.api.write(log.send, worker, self.id, body)

    def turn(self) -> int:
        """Take turns until no session wants one at this moment; how many were taken."""
        return self.api.run(self.turns())

    async def turns(self) -> int:
        taken = 0
        while claimed := await self.api.house.db.write(turns.claim, 10, HOLD, []):
            await asyncio.gather(*(Turn(self.parts, claim).run() for claim in claimed))
            taken += len(claimed)
        return taken

    def log(self) -> list[dict[str, Any]]:
        return self.api.get(self.path).ok()["data"]

    def session(self) -> dict[str, Any]:
        return self.api.get(f"/v1/sessions/{self.id}").ok()

    def types(self) -> list[str]:
        """The log in short: ``S:`` for the session's status, ``T:`` for the thread's."""
        return [short(event) for event in self.log()]

    def calls(self) -> list[str]:
        """The ids of all tool calls."""
        return [event["id"] for event in self.log() if event["type"].endswith("tool_use")]


def short(event: dict[str, Any]) -> str:
    """An event in a word or two."""
    kind = event["type"]
    for long, brief in (("session.thread_status_", "T:"), ("session.status_", "S:"), ("session.", "S:")):
        if kind.startswith(long):
            kind = brief + kind.removeprefix(long)
            break
    if "stop_reason" in event:
        kind += f" {event['stop_reason']['type']}"
    if event.get("is_error") is True:
        kind += " error"
    if kind == "S:error":
        kind += f" {event['error']['type']} {event['error']['retry_status']['type']}"
    if event["processed_at"] is None:
        kind += " waits"
    return kind


def answer(call: str, text: str = "Yes.", **more: Any) -> dict[str, Any]:
    return {
        "type": "user.custom_tool_result",
        "custom_tool_use_id": call,
        "content": [{"type": "text", "text": text}],
        **more,
    }


def allow(call: str) -> dict[str, Any]:
    return {"type": "user.tool_confirmation", "tool_use_id": call, "result": "allow"}


def deny(call: str, said: str | None = None) -> dict[str, Any]:
    body = {"type": "user.tool_confirmation", "tool_use_id": call, "result": "deny"}
    return body if said is None else {**body, "deny_message": said}


def worked(call: str, text: str = "Ran.") -> dict[str, Any]:
    return {"type": "user.tool_result", "tool_use_id": call, "content": [{"type": "text", "text": text}]}


INTERRUPT = {"type": "user.interrupt"}
