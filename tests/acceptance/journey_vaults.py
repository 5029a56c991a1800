"""The part of the journey that is about vaults, with an MCP server and a token endpoint of its own on loopback."""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from drive import Drive

NEVER = "01AAAAAAAAAAAAAAAAAAAAAA"
VARIABLE = {
    "type": "environment_variable",
    "secret_name": "API_TOKEN",
    "secret_value": "secret-value-of-the-journey",
    "networking": {"type": "limited", "allowed_hosts": ["api.example.com", "*.example.org"]},
}


class Mail(BaseHTTPRequestHandler):
    """An MCP server that takes one token, and at ``/token`` the endpoint that gives it for a refresh token."""

    def do_POST(self) -> None:
        """Answer one step."""
        body = self.rfile.read(int(self.headers["content-length"]))
        if self.path == "/token":
            good = b"refresh_token=refresh-of-the-journey" in body
            told: Any = {"access_token": "good-token", "expires_in": 3600} if good else {"error": "invalid_grant"}
            self._say(200 if good else 400, told)
        elif self.headers.get("authorization") != "Bearer good-token":
            self._say(401, {"error": self.headers.get("authorization")})
        else:
            message = json.loads(body)
            result = {"capabilities": {"tools": {}}} if message["method"] == "initialize" else {"tools": []}
            self._say(200, {"jsonrpc": "2.0", "id": message.get("id"), "result": result})

    def _say(self, status: int, told: Any) -> None:
        text = json.dumps(told).encode()
        self.send_response(status)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    def log_message(self, *_: Any) -> None:
        """Say nothing."""


@contextmanager
def mail() -> Iterator[str]:
    """The address of such a server."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), Mail)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()


async def vaults(drive: Drive, style: str) -> dict[str, Any]:
    """Vaults from their making to their end, with what is in them."""
    seen: dict[str, Any] = {}
    seen["made"] = await drive.do(
        "beta.vaults.create", display_name=f"{style} keys", metadata={"floor": "2", "team": "x"}
    )
    vault = seen["made"]["id"]
    seen["spare"] = await drive.do("beta.vaults.create", display_name=f"{style} spare")
    spare = seen["spare"]["id"]
    seen["retrieved"] = await drive.do("beta.vaults.retrieve", vault)
    seen["updated"] = await drive.do("beta.vaults.update", vault, display_name=f"{style} ring", metadata={"team": None})
    with mail() as address:
        seen["credentials"] = await credentials(drive, vault, spare, address)
    seen["listed"] = [each["id"] for each in await drive.walk("beta.vaults.list", limit=1)]
    seen["archived"] = await drive.do("beta.vaults.archive", vault)
    seen["archived again"] = await drive.do("beta.vaults.archive", vault)
    seen["credential in an archived one"] = await drive.refused(
        "beta.vaults.credentials.create", vault, auth={**VARIABLE, "secret_name": "LATE"}
    )
    seen["credentials of an archived one"] = await drive.walk("beta.vaults.credentials.list", vault, limit=2)
    seen["all credentials of an archived one"] = await drive.walk(
        "beta.vaults.credentials.list", vault, limit=2, include_archived=True
    )
    seen["listed live"] = [each["id"] for each in await drive.walk("beta.vaults.list", limit=1)]
    seen["listed all"] = [each["id"] for each in await drive.walk("beta.vaults.list", limit=1, include_archived=True)]
    seen["deleted"] = await drive.do("beta.vaults.delete", spare)
    seen["retrieved deleted"] = await drive.refused("beta.vaults.retrieve", spare)
    seen["no name"] = await drive.refused("beta.vaults.create", display_name="")
    return seen


async def credentials(drive: Drive, vault: str, other: str, address: str) -> dict[str, Any]:
    """Credentials of every kind."""
    seen: dict[str, Any] = {}
    create, update = "beta.vaults.credentials.create", "beta.vaults.credentials.update"
    seen["oauth"] = await drive.do(
        create,
        vault,
        display_name="Mail",
        metadata={"a": "1"},
        auth={
            "type": "mcp_oauth",
            "mcp_server_url": f"{address}/mcp",
            "access_token": "old-token",
            "expires_at": "2036-01-01T00:00:00Z",
            "refresh": {
                "client_id": "rota",
                "refresh_token": "refresh-of-the-journey",
                "token_endpoint": f"{address}/token",
                "token_endpoint_auth": {"type": "client_secret_post", "client_secret": "client-secret-of-the-journey"},
                "scope": "mail.read",
                "resource": f"{address}/mcp",
            },
        },
    )
    oauth = seen["oauth"]["id"]
    static = {
        "type": "static_bearer",
        "mcp_server_url": "https://calendar.example.com/",
        "token": "static-token-of-the-journey",
    }
    seen["static"] = await drive.do(create, vault, auth=static)
    seen["variable"] = await drive.do(create, vault, auth={**VARIABLE, "injection_location": {"header": True}})
    variable = seen["variable"]["id"]
    seen["duplicate"] = await drive.refused(
        create, vault, auth={**static, "mcp_server_url": "https://CALENDAR.example.com"}
    )
    seen["retrieved"] = await drive.do("beta.vaults.credentials.retrieve", oauth, vault_id=vault)
    seen["under another vault"] = await drive.refused("beta.vaults.credentials.retrieve", oauth, vault_id=other)
    validate = "beta.vaults.credentials.mcp_oauth_validate"
    seen["validated"] = await drive.do(validate, oauth, vault_id=vault)
    seen["renewed"] = await drive.do("beta.vaults.credentials.retrieve", oauth, vault_id=vault)
    await drive.do(
        update,
        oauth,
        vault_id=vault,
        auth={"type": "mcp_oauth", "access_token": "wrong", "refresh": {"refresh_token": "wrong"}},
    )
    seen["invalid"] = await drive.do(validate, oauth, vault_id=vault)
    seen["updated"] = await drive.do(
        update,
        variable,
        vault_id=vault,
        display_name="Token",
        metadata={"b": "2"},
        auth={
            "type": "environment_variable",
            "secret_value": "another-value-of-the-journey",
            "networking": {"type": "unrestricted"},
            "injection_location": {"body": True},
        },
    )
    seen["other kind"] = await drive.refused(
        update, variable, vault_id=vault, auth={"type": "static_bearer", "token": "x"}
    )
    seen["listed"] = [each["id"] for each in await drive.walk("beta.vaults.credentials.list", vault, limit=2)]
    seen["archived"] = await drive.do("beta.vaults.credentials.archive", variable, vault_id=vault)
    seen["archived again"] = await drive.do("beta.vaults.credentials.archive", variable, vault_id=vault)
    seen["listed live"] = [each["id"] for each in await drive.walk("beta.vaults.credentials.list", vault)]
    seen["deleted"] = await drive.do("beta.vaults.credentials.delete", seen["static"]["id"], vault_id=vault)
    seen["retrieved deleted"] = await drive.refused(
        "beta.vaults.credentials.retrieve", seen["static"]["id"], vault_id=vault
    )
    seen["in an unknown vault"] = await drive.refused(create, f"vlt_{NEVER}", auth=static)
    return seen
