"""A server process with tenants in it, spoken to over HTTP by the same makers that furnish the matrix.

Does not judge: whatever the makers ask for must succeed.
"""

import asyncio
from collections.abc import Callable
from typing import Any, TypeVar
from urllib.parse import urlencode

from rota import main
from rota.base.settings import Settings
from rota.resources.workspaces import actions as workspaces
from rota.resources.workspaces import keys
from rota.store.tx import Tx
from tests.acceptance.server import KEY, Server
from tests.api import Response
from tests.security.hostile.connection import Connection, request
from tests.security.makers import Home

R = TypeVar("R")


class Remote:
    """Stands where ``tests.api.Api`` stands in this process: requests go over the wire, writes to the database beside it."""

    def __init__(self, server: Server, database: str | None) -> None:
        self.line = Connection(server.host, server.port)
        self.key_id = ""
        self._settings = Settings(database=database, data_dir=str(server.folder / "data"))

    def run(self, done: R) -> R:
        """Nothing to wait for: ``call`` has waited."""
        return done

    def call(
        self,
        method: str,
        path: str,
        *,
        raw: bytes = b"",
        key: str | None = None,
        headers: dict[str, str] | None = None,
        query: dict[str, Any] | None = None,
    ) -> Response:
        """One request."""
        sent = dict(headers or {}) | ({"x-api-key": key} if key is not None else {})
        target = f"{path}?{urlencode(query, doseq=True)}" if query else path
        response = self.line.ask(request(method, target, sent, raw), method=method)
        pairs = [(name.encode(), value.encode()) for name, value in response.headers.items()]
        return Response(response.status, pairs, response.raw)

    def write(self, fn: Callable[..., R], *args: Any) -> R:
        """A transaction on the database, as admin commands have them beside a live server."""

        async def work() -> R:
            db = main.open_store(self._settings)
            try:
                return await db.write(fn, *args)
            finally:
                await db.close()

        return asyncio.run(work())


def home(remote: Remote) -> Home:
    """The server's default workspace, with an admin key for its organization."""

    def make(tx: Tx) -> tuple[str, str, str]:
        found, who = workspaces.found(tx), keys.admit(tx, KEY)
        assert found is not None
        assert who is not None
        remote.key_id = who.key_id
        return found.id, found.default_workspace_id, keys.create(tx, found.id).key

    organization_id, workspace_id, admin = remote.write(make)
    api: Any = remote
    return Home(api, organization_id, workspace_id, KEY, admin)
