"""What is run: the agents, environments and deployments of the benchmark, made through the public API.

Two sizes. `small` is what a user has on the first day: a model, an environment, one message. `large` is about the
largest that the contract allows: 50 initial events of 2 KB, an agent with a system prompt of 100,000 characters and
256 custom tools (about half a megabyte of JSON). Both servers get the same bytes.
"""

from __future__ import annotations

import http.client
from typing import Any

import msgspec

from bench.servers import API_KEY, HOST, Server

DEPLOYMENTS = 16  # runs go round them, so that no figure depends on all callers meeting on one row
MODEL = "claude-opus-4-6"
HEADERS = {"x-api-key": API_KEY, "anthropic-version": "2023-06-01", "anthropic-beta": "managed-agents-2026-04-01"}
RUN_EXPECTED = '"error":null'  # a recorded failure is a 200 as well, and would be far too cheap

EVENT_TEXT = "Read the report of last night, list what changed, and say what needs a person. "


class RefusedError(Exception):
    """The server answered something else than 200; the message holds the status and the body."""


def call(server: Server, method: str, path: str, body: object = None) -> Any:
    """One request with its own connection; the decoded JSON of a 200."""
    connection = http.client.HTTPConnection(HOST, server.port, timeout=60)
    try:
        sent = None if body is None else msgspec.json.encode(body)
        connection.request(method, path, sent, {**HEADERS, "content-type": "application/json"})
        response = connection.getresponse()
        received = response.read()
        if response.status != 200:
            raise RefusedError(f"{method} {path} on {server.name}: {response.status} {received[:500]!r}")
        return msgspec.json.decode(received)
    finally:
        connection.close()


def text_event(length: int) -> dict[str, object]:
    """A user message of so many characters."""
    text = (EVENT_TEXT * (length // len(EVENT_TEXT) + 1))[:length]
    return {"type": "user.message", "content": [{"type": "text", "text": text}]}


def custom_tool(number: int) -> dict[str, object]:
    """A custom tool with a description near its limit and a small schema."""
    return {
        "type": "custom",
        "name": f"look_up_ledger_{number:03d}",
        "description": (f"Looks up entries of ledger {number}. " * 40)[:1000],
        "input_schema": {
            "type": "object",
            "properties": {
                f"field_{n}": {"type": "string", "description": "A column of the ledger."} for n in range(6)
            },
            "required": ["field_0", "field_1"],
        },
    }


def agent_body(size: str) -> dict[str, object]:
    """The body of POST /v1/agents."""
    if size == "small":
        return {"name": "bench agent", "model": MODEL}
    system = ("You keep the books of a large house and answer exactly. " * 2000)[:100_000]
    return {
        "name": "bench agent, largest",
        "model": MODEL,
        "system": system,
        "tools": [custom_tool(n) for n in range(256)],
    }


def initial_events(size: str) -> list[dict[str, object]]:
    """The first events of every session of the deployment."""
    return [text_event(80)] if size == "small" else [text_event(2000) for _ in range(50)]


def deploy(server: Server, size: str = "small", count: int = DEPLOYMENTS) -> list[str]:
    """Make an agent, an environment and `count` deployments; the ids of the deployments."""
    agent = call(server, "POST", "/v1/agents", agent_body(size))
    environment = call(server, "POST", "/v1/environments", {"name": f"bench {size}"})
    events = initial_events(size)
    return [
        call(
            server,
            "POST",
            "/v1/deployments",
            {
                "name": f"bench {size} {number}",
                "agent": agent["id"],
                "environment_id": environment["id"],
                "initial_events": events,
            },
        )["id"]
        for number in range(count)
    ]


def request(server: Server, method: str, path: str) -> bytes:
    """A whole HTTP/1.1 request without a body, as the official clients send it, for the load generator."""
    lines = [f"{method} {path} HTTP/1.1", f"host: {HOST}:{server.port}", "accept: application/json"]
    lines += [f"{name}: {value}" for name, value in HEADERS.items()]
    if method == "POST":
        lines += ["content-length: 0"]
    return ("\r\n".join(lines) + "\r\n\r\n").encode()


def run_requests(server: Server, deployments: list[str]) -> list[bytes]:
    """Run-now requests for all of the deployments."""
    return [request(server, "POST", f"/v1/deployments/{deployment}/run") for deployment in deployments]
