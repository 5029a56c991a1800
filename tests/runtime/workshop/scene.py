"""A house with a workshop over a real sandbox, and sessions as the turn engine would take them up."""

from pathlib import Path
from typing import Any

import msgspec

from rota.outgoing import guard
from rota.resources.agents.wire import ThreadAgent
from rota.resources.environments import actions as environments
from rota.resources.sessions import rows
from rota.resources.sessions.turns import TurnSession
from rota.runtime.bench import Stock
from rota.runtime.sandbox import Sandbox
from rota.runtime.sandboxes import ground
from rota.runtime.sandboxes.bubblewrap import Bubblewrap
from rota.runtime.tool import Outcome, Toolbox
from rota.runtime.workshop import CloudWorkshop, open_workshop
from rota.store.tx import Tx
from tests.api import Api

AGENT_TOOLS = [{"type": "agent_toolset_20260401"}]


def bubblewrap(api: Api) -> Bubblewrap:
    """A driver as the server would open it."""
    return Bubblewrap(users=ground.uids(None), allowed=guard.allowed(api.settings.allow_private_hosts))


class Scene:
    """One server's workshop. ``restart`` is another server process over the same folders and database."""

    def __init__(self, api: Api, sandbox: Sandbox | None = None) -> None:
        self.api = api
        self._given = sandbox
        self._open()

    def _open(self) -> None:
        self.sandbox = self._given or bubblewrap(self.api)
        house = self.api.house
        self.workshop: CloudWorkshop = open_workshop(
            self.api.settings, house.db, house.blobs, house.app.policy, self.sandbox
        )
        self._toolboxes: dict[str, Toolbox] = {}

    def close(self) -> None:
        """End all boxes."""
        self.api.run(self.workshop.stop())
        self.api.run(self.sandbox.close())

    def restart(self) -> None:
        """What a new server process is."""
        self.close()
        self._open()

    def restart_boxes(self) -> None:
        """End all boxes, as an idle server does."""
        self.api.run(self.workshop.stop())
        self._toolboxes = {}

    @property
    def stock(self) -> Stock:
        """What the workshop's benches have in common."""
        return self.workshop._stock

    @property
    def folder(self) -> Path:
        """The data directory."""
        return Path(self.api.settings.data_dir)

    def session(self, *, agent: dict[str, Any] | None = None, environment: Any = None, **fields: Any) -> TurnSession:
        """A new session, taken up."""
        made = self.api.agent(tools=AGENT_TOOLS, **(agent or {}))
        place = self.api.environment(**({"config": environment} if environment is not None else {}))
        body = {"agent": made["id"], "environment_id": place["id"], **fields}
        return self.take_up(self.api.post("/v1/sessions", body).ok()["id"])

    def take_up(self, session_id: str) -> TurnSession:
        """The session as a turn has it."""
        sent = self.api.get(f"/v1/sessions/{session_id}").ok()

        def load(tx: Tx) -> TurnSession:
            stored = rows.find(tx, self.api.who, session_id)
            config = environments.find_many(tx, [stored.environment_id])[stored.environment_id].config
            return TurnSession(
                id=stored.id,
                who=self.api.who,
                thread_id="sthr_x",
                epoch=0,
                agent=msgspec.convert(sent["agent"], ThreadAgent),
                environment_id=stored.environment_id,
                environment=config,
                self_hosted=stored.self_hosted,
                body=stored.body,
            )

        return self.api.read(load)

    def call(self, session: TurnSession, name: str, **given: Any) -> Outcome:
        """One call of a tool."""

        async def work() -> Outcome:
            if session.id not in self._toolboxes:
                self._toolboxes[session.id] = await self.workshop.open(session)
            return await self._toolboxes[session.id].call(name, given)

        return self.api.run(work())

    def bash(self, session: TurnSession, command: str) -> str:
        """What a command prints; it must succeed."""
        outcome = self.call(session, "bash", command=command)
        assert not outcome.is_error, outcome
        return outcome.content[0]["text"]

    def end_turn(self, session: TurnSession) -> None:
        """The turn is over: outputs are published, the toolbox is closed."""

        async def work() -> None:
            await self.workshop.settle(session)
            toolbox = self._toolboxes.pop(session.id, None)
            if toolbox is not None:
                await toolbox.close()

        self.api.run(work())

    def settle(self, session: TurnSession) -> dict[str, dict[str, Any]]:
        """Come to rest; the session's outputs then, by name."""
        self.api.run(self.workshop.settle(session))
        return self.outputs(session)

    def outputs(self, session: TurnSession) -> dict[str, dict[str, Any]]:
        """The session's outputs, by name."""
        listed = self.api.get("/v1/files", query={"scope_id": session.id, "limit": 1000}).ok()["data"]
        files = {each["filename"]: each for each in listed if each["downloadable"]}
        assert len(files) == sum(each["downloadable"] for each in listed), "an output is there twice"
        return files

    def content(self, file: dict[str, Any]) -> bytes:
        """A file's bytes, as a client downloads them."""
        response = self.api.get(f"/v1/files/{file['id']}/content")
        assert response.status == 200, response.body
        return response.raw
