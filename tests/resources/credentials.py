"""Vaults and credentials that the tests of several files begin with, and what was announced and kept of them."""

import json
from typing import Any

from rota.store.tx import Query, Tx
from tests.api import Api

URL = "https://mcp.example.com/mcp"
STATIC = {"type": "static_bearer", "mcp_server_url": URL, "token": "static-token-0001"}
OAUTH = {"type": "mcp_oauth", "mcp_server_url": URL, "access_token": "access-token-0001"}
REFRESH = {
    "client_id": "client-1",
    "refresh_token": "refresh-token-0001",
    "token_endpoint": "https://login.example.com/token",
    "token_endpoint_auth": {"type": "client_secret_basic", "client_secret": "client-secret-0001"},
}
VARIABLE = {
    "type": "environment_variable",
    "secret_name": "API_TOKEN",
    "secret_value": "secret-value-0001",
    "networking": {"type": "unrestricted"},
}
_EVENTS = Query("What was announced.", "SELECT event, resource_id, data FROM outbox ORDER BY id")
_SECRETS = Query("What is kept.", "SELECT credential_id, field FROM vault_secrets ORDER BY credential_id, field")


def vault(api: Api, **fields: Any) -> str:
    """The id of a new vault."""
    return api.post("/v1/vaults", {"display_name": "Keys", **fields}).ok()["id"]


def path(vault_id: str, credential_id: str = "", more: str = "") -> str:
    """Where a vault's credentials are, or one of them."""
    return f"/v1/vaults/{vault_id}/credentials" + (f"/{credential_id}{more}" if credential_id else "")


def credential(api: Api, vault_id: str, auth: dict[str, Any] = STATIC, **fields: Any) -> dict[str, Any]:
    """A new credential."""
    return api.post(path(vault_id), {"auth": auth, **fields}).ok()


def announced(api: Api) -> list[tuple[str, str, Any]]:
    """Every announcement so far: event, id, and what it tells besides."""

    def read(tx: Tx) -> list[tuple[str, str, Any]]:
        return [(row[0], row[1], None if row[2] is None else json.loads(row[2])) for row in tx.all(_EVENTS)]

    return [each for each in api.read(read) if each[0].startswith("vault")]


def kept(api: Api) -> list[tuple[str, str]]:
    """Credential and field of every sealed secret."""

    def read(tx: Tx) -> list[tuple[str, str]]:
        return [(row[0], row[1]) for row in tx.all(_SECRETS)]

    return api.read(read)
