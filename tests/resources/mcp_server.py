"""An MCP server and a token endpoint on loopback, as far as a probe sees them."""

import asyncio
import json
from base64 import b64decode
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qs, unquote_plus


def http(status: int, body: str, kind: str = "application/json", **headers: str) -> bytes:
    """A response."""
    lines = [f"HTTP/1.1 {status} X", f"content-type: {kind}", f"content-length: {len(body.encode())}"]
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    return ("\r\n".join(lines) + "\r\n\r\n" + body).encode()


def split(request: bytes) -> tuple[str, str, dict[str, str], str]:
    """Method, path, headers and body of a request."""
    head, _, body = request.decode().partition("\r\n\r\n")
    first, *lines = head.split("\r\n")
    method, path, _ = first.split(" ")
    headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines)}
    return method, path, headers, body


@dataclass
class Mcp:
    """Takes the tokens in ``good``.

    ``guarded``: the steps that need a token. ``stream``: answers as a stream of events, which it then leaves open.
    ``refusal``: what it answers to a token that is none, if not a 401. ``tools``: whether it has any.
    ``tools_answer``: what it says to ``tools/list`` instead.
    """

    good: set[str] = field(default_factory=lambda: {"access-token-0001"})
    guarded: tuple[str, ...] = ("initialize", "notifications/initialized", "tools/list")
    stream: bool = False
    refusal: bytes | None = None
    tools: bool = True
    tools_answer: bytes | None = None
    steps: list[str] = field(default_factory=list[str])
    sessions: list[str | None] = field(default_factory=list[str | None])

    async def __call__(self, request: bytes, writer: asyncio.StreamWriter) -> None:
        """Answer one request."""
        method, _, headers, body = split(request)
        self.sessions.append(headers.get("mcp-session-id"))
        if method == "DELETE":
            self.steps.append("DELETE")
            writer.write(http(200, ""))
            return
        message = json.loads(body)
        step = message["method"]
        self.steps.append(step)
        token = headers.get("authorization", "").removeprefix("Bearer ")
        if step in self.guarded and token not in self.good:
            writer.write(self.refusal or http(401, json.dumps({"error": f"what is {headers['authorization']}?"})))
        elif step == "initialize":
            assert headers["accept"] == "application/json, text/event-stream"
            capabilities = {"tools": {}} if self.tools else {}
            await self._answer(
                writer, message, {"protocolVersion": "2025-06-18", "capabilities": capabilities}, mcp_session_id="s-1"
            )
        elif step == "tools/list":
            assert headers["mcp-protocol-version"] == "2025-06-18"
            if self.tools_answer:
                writer.write(self.tools_answer)
            else:
                await self._answer(writer, message, {"tools": []})
        else:
            writer.write(http(202, ""))

    async def _answer(self, writer: asyncio.StreamWriter, message: Any, result: Any, **headers: str) -> None:
        text = json.dumps({"jsonrpc": "2.0", "id": message["id"], "result": result})
        if not self.stream:
            writer.write(http(200, text, **headers))
            return
        notice = json.dumps({"jsonrpc": "2.0", "method": "notifications/message", "params": {}})
        lines = ["HTTP/1.1 200 X", "content-type: text/event-stream; charset=utf-8"]
        lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
        writer.write(("\r\n".join(lines) + f"\r\n\r\n: hello\n\nevent: message\ndata: {notice}\n\n").encode())
        half = len(text) // 2
        writer.write(f"id: 7\ndata: {text[:half]}".encode())
        await writer.drain()
        writer.write(f"{text[half:]}\n\n".encode())
        await writer.drain()
        while not writer.is_closing():
            await asyncio.sleep(0.005)


@dataclass
class Tokens:
    """A token endpoint: takes each refresh token once and gives a new pair. ``answer``: what it says instead."""

    auth: str = "client_secret_basic"
    client_id: str = "client-1"
    client_secret: str = "client-secret-0001"
    refresh_token: str = "refresh-token-0001"
    rotates: bool = True
    expires_in: Any = 3600
    answer: bytes | None = None
    asked: list[dict[str, str]] = field(default_factory=list[dict[str, str]])
    gate: asyncio.Event | None = None

    async def __call__(self, request: bytes, writer: asyncio.StreamWriter) -> None:
        """Answer one request."""
        _, _, headers, body = split(request)
        form = {name: values[0] for name, values in parse_qs(body, strict_parsing=True).items()}
        self.asked.append(form)
        if self.gate is not None:
            await self.gate.wait()
        if self.answer is not None:
            writer.write(self.answer)
            return
        assert headers["content-type"] == "application/x-www-form-urlencoded"
        if self.auth == "client_secret_basic":
            pair = b64decode(headers["authorization"].removeprefix("Basic ")).decode()
            client = tuple(map(unquote_plus, pair.split(":")))
            assert "client_secret" not in form
        else:
            client = (form.get("client_id"), form.get("client_secret", ""))
            assert "authorization" not in headers
        wanted = (self.client_id, "" if self.auth == "none" else self.client_secret)
        if client != wanted or form["grant_type"] != "refresh_token" or form["refresh_token"] != self.refresh_token:
            writer.write(
                http(400, json.dumps({"error": "invalid_grant", "error_description": f"no {form['refresh_token']}"}))
            )
            return
        number = len(self.asked)
        told: dict[str, Any] = {"access_token": f"renewed-{number}", "token_type": "bearer"}
        if self.rotates:
            self.refresh_token = told["refresh_token"] = f"rotated-{number}"
        if self.expires_in is not None:
            told["expires_in"] = self.expires_in
        writer.write(http(200, json.dumps(told)))
