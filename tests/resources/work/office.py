"""A self-hosted environment with a key, its sessions, and what their engine and their workers do, in a line each."""

import base64
import json
from dataclasses import dataclass
from typing import Any

from rota.base.clock import HandClock
from rota.resources.sessions import log, rows, workers
from rota.resources.workspaces import keys
from rota.store.tx import Query, Tx
from tests.api import HELLO, Api, Response

MESSAGE = HELLO[0]
INTERRUPT = {"type": "user.interrupt"}
SET_STATUS = Query("Show a session in another status.", "UPDATE sessions SET status = :status WHERE id = :id")
TAKE_UP = Query(
    "Take up everything that waits, without leaving a trace of it.",
    "DELETE FROM session_events WHERE session_id = :id AND processed_at IS NULL",
)


@dataclass
class Event:
    """What the engine writes."""

    type: str
    body: dict[str, Any]


class Office:
    """One environment and its key. What the engine does is done here by hand."""

    def __init__(self, api: Api) -> None:
        self.api = api
        self.clock: HandClock = api.clock
        self.environment: str = api.environment(config={"type": "self_hosted"})["id"]
        self.agent: str = api.agent(tools=[{"type": "agent_toolset_20260401"}])["id"]
        self.key = self.make_key()
        self.path = f"/v1/environments/{self.environment}/work"

    def make_key(self, environment: str | None = None) -> str:
        """Another key."""
        who = self.api.who

        def make(tx: Tx) -> str:
            return keys.create(
                tx, who.organization_id, workspace_id=who.workspace_id, environment_id=environment or self.environment
            ).key

        return self.api.write(make)

    def session(self, *events: Any, **fields: Any) -> str:
        """A new session; with a message unless told otherwise."""
        body = {
            "agent": self.agent,
            "environment_id": self.environment,
            "initial_events": list(events or HELLO),
            **fields,
        }
        return self.api.post("/v1/sessions", body).ok()["id"]

    def send(self, session: str, *events: Any, **more: Any) -> Response:
        """Send events; a message unless told otherwise."""
        return self.api.post(f"/v1/sessions/{session}/events", {"events": list(events or HELLO)}, **more)

    # The engine

    def call(self, session: str, name: str = "bash", **fields: Any) -> str:
        """The engine writes a call that a worker must run, and waits: the call's id."""
        use = {"name": name, "input": {}, "evaluated_permission": "allow", **fields}
        [call, _] = self._write(session, ("agent.tool_use", use), ("session.status_idle", None))
        return call

    def rest(self, session: str) -> None:
        """The engine ends a turn for good."""
        self._write(session, ("session.status_idle", {"stop_reason": {"type": "end_turn"}}))

    def _write(self, session: str, *events: tuple[str, Any]) -> list[str]:
        """Take up what waits, and write events as ``turns.append`` does; their ids. An idle without a body waits for the first."""

        def append(tx: Tx) -> list[str]:
            tx.run(TAKE_UP, id=session)
            made: list[str] = []
            written: list[Event] = []
            for kind, given in events:
                body = given or {"stop_reason": {"type": "requires_action", "event_ids": made[:]}}
                [row] = log.append(tx, session, [(kind, json.dumps(body))])
                made.append(row[2])
                written.append(Event(kind, body))
            stored = rows.find(tx, self.api.who, session)
            tx.run(SET_STATUS, id=session, status="idle")
            workers.follow(tx, self.api.who, session, stored.environment_id, stored.body.resources, written)
            return made

        return self.api.write(append)

    # Workers

    def poll(self, **more: Any) -> dict[str, Any] | None:
        """The next item, or None."""
        more.setdefault("key", self.key)
        return self.api.get(f"{self.path}/poll", **more).ok()

    def take(self, **more: Any) -> "Hold":
        """The next item, which must be there, acknowledged."""
        item = self.poll(**more)
        assert item is not None
        hold = Hold(self, item)
        self.ack(item["id"]).ok()
        return hold

    def ack(self, work: str) -> Response:
        """Acknowledge an item."""
        return self.api.post(f"{self.path}/{work}/ack", key=self.key)

    def items(self) -> list[dict[str, Any]]:
        """All items, newest first."""
        return self.api.get(self.path, key=self.key).ok()["data"]

    def live(self) -> list[dict[str, Any]]:
        """Those that are not over, oldest first."""
        return [item for item in reversed(self.items()) if item["state"] != "stopped"]

    def states(self) -> list[str]:
        """The states of all items, oldest first."""
        return [item["state"] for item in reversed(self.items())]

    def stop(self, work: str, *, force: bool | None = None, key: str | None = None) -> Response:
        """Stop an item."""
        body = None if force is None else {"force": force}
        return self.api.post(f"{self.path}/{work}/stop", body, key=key or self.key)


def token_of(item: dict[str, Any]) -> str:
    """The sessions token in a handed-out item's secret."""
    return json.loads(base64.urlsafe_b64decode(item["secret"]))["sessions_token"]


class Hold:
    """A worker that has an item in hand."""

    def __init__(self, office: Office, item: dict[str, Any]) -> None:
        self.office = office
        self.item = item
        self.id: str = item["id"]
        self.session: str = item["data"]["id"]
        self.token = token_of(item)
        self.last = "NO_HEARTBEAT"

    def beat(self, **query: Any) -> Response:
        """A heartbeat with what was said last."""
        sent = {"expected_last_heartbeat": self.last, **query}
        sent = {name: value for name, value in sent.items() if value is not None}
        response = self.office.api.post(f"{self.office.path}/{self.id}/heartbeat", key=self.token, query=sent)
        if response.status == 200 and response.body["lease_extended"]:
            self.last = response.body["last_heartbeat"]
        return response

    def stop(self, *, force: bool = True) -> Response:
        """The worker goes home."""
        return self.office.stop(self.id, force=force, key=self.token)

    def answer(self, call: str) -> Response:
        """Send the result of a call."""
        result = {"type": "user.tool_result", "tool_use_id": call, "content": [{"type": "text", "text": "done"}]}
        return self.office.send(self.session, result, key=self.token)
