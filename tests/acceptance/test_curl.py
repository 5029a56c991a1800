"""The published page "Run Deployment Now" to the letter: its example request, its header values, its answer."""

import json
import re
import socket
import typing
from collections.abc import Iterator
from http.client import HTTPResponse

import pytest
from anthropic.types import AnthropicBetaParam

from tests.acceptance.server import Answer, Server, read_answer

BETAS = [
    "message-batches-2024-09-24",
    "prompt-caching-2024-07-31",
    "computer-use-2024-10-22",
    "computer-use-2025-01-24",
    "pdfs-2024-09-25",
    "token-counting-2024-11-01",
    "token-efficient-tools-2025-02-19",
    "output-128k-2025-02-19",
    "files-api-2025-04-14",
    "mcp-client-2025-04-04",
    "mcp-client-2025-11-20",
    "dev-full-thinking-2025-05-14",
    "interleaved-thinking-2025-05-14",
    "code-execution-2025-05-22",
    "extended-cache-ttl-2025-04-11",
    "context-1m-2025-08-07",
    "context-management-2025-06-27",
    "model-context-window-exceeded-2025-08-26",
    "skills-2025-10-02",
    "fast-mode-2026-02-01",
    "output-300k-2026-03-24",
    "user-profiles-2026-03-24",
    "advisor-tool-2026-03-01",
    "managed-agents-2026-04-01",
    "cache-diagnosis-2026-04-07",
    "thinking-token-count-2026-05-13",
    "server-side-fallback-2026-06-01",
    "fallback-credit-2026-06-01",
]
"""The values that the page lists for ``anthropic-beta``."""

NEWER = [value for value in typing.get_args(typing.get_args(AnthropicBetaParam)[1]) if value not in BETAS]
"""The values that the newest client adds to them."""

CURL = ["User-Agent: curl/8.5.0", "Accept: */*"]
PAGE = ["anthropic-version: 2023-06-01", "anthropic-beta: managed-agents-2026-04-01"]
RUN_ID = re.compile(r"drun_01[0-9A-HJ-Za-z]{22}")
SESSION_ID = re.compile(r"sesn_01[0-9A-HJ-Za-z]{22}")
INSTANT = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z")


@pytest.fixture(scope="module")
def deployment(shared_server: Server) -> str:
    """The id of a deployment that can be run."""
    return shared_server.deployment("page")


@pytest.fixture
def wire(shared_server: Server) -> Iterator[socket.socket]:
    """A bare connection."""
    with shared_server.socket() as connection:
        yield connection


def send(wire: socket.socket, server: Server, target: str, headers: list[str], body: bytes = b"") -> Answer:
    """One POST in exactly these bytes, after the ``Host`` line, and what it answered."""
    lines = [f"POST {target} HTTP/1.1", f"Host: {server.host}:{server.port}", *headers]
    wire.sendall("\r\n".join([*lines, "", ""]).encode("latin-1") + body)
    response = HTTPResponse(wire, method="POST")
    try:
        response.begin()
        return read_answer(response)
    finally:
        response.close()


def run(
    wire: socket.socket, server: Server, deployment: str, *headers: str, query: str = "", body: bytes = b""
) -> Answer:
    """The page's request, with more headers and a body if asked."""
    target = f"/v1/deployments/{deployment}/run{query}"
    return send(wire, server, target, [*CURL, *PAGE, f"X-Api-Key: {server.key}", *headers], body)


@pytest.mark.parametrize("query", ["", "?beta=true"])
def test_the_published_example_answers_with_exactly_the_eight_keys(
    wire: socket.socket, shared_server: Server, deployment: str, query: str
) -> None:
    answer = run(wire, shared_server, deployment, query=query)
    record = answer.ok()
    assert sorted(record) == [
        "agent", "created_at", "deployment_id", "error", "id", "session_id", "trigger_context", "type",
    ]  # fmt: skip
    assert record["type"] == "deployment_run"
    assert RUN_ID.fullmatch(record["id"])
    assert record["deployment_id"] == deployment
    assert record["trigger_context"] == {"type": "manual"}
    assert SESSION_ID.fullmatch(record["session_id"])
    assert record["error"] is None
    assert set(record["agent"]) == {"type", "id", "version"}
    assert (record["agent"]["type"], record["agent"]["version"]) == ("agent", 1)
    assert INSTANT.fullmatch(record["created_at"])
    assert answer.headers["content-type"] == "application/json"
    assert answer.headers["request-id"].startswith("req_")
    assert answer.headers["anthropic-organization-id"]
    assert answer.headers["anthropic-workspace-id"].startswith("wrkspc_")


@pytest.mark.parametrize(
    ("headers", "body"),
    [
        (["Content-Type: application/json", "Content-Length: 0"], b""),
        (["Content-Type: application/json"], b""),
        (["Content-Length: 0"], b""),
        (["Content-Type: application/json", "Content-Length: 2"], b"{}"),
        (["Content-Type: application/x-www-form-urlencoded", "Content-Length: 2"], b"{}"),
        (["Content-Length: 8"], b"not json"),
        (["Content-Type: application/json", "Transfer-Encoding: chunked"], b"2\r\n{}\r\n0\r\n\r\n"),
    ],
    ids=["empty JSON", "JSON without a length", "length 0", "object", "form", "not JSON", "chunked"],
)
def test_a_run_takes_any_body_and_none(
    wire: socket.socket, shared_server: Server, deployment: str, headers: list[str], body: bytes
) -> None:
    for _ in range(2):  # twice on one connection: the body was read to its end, wherever that was
        assert run(wire, shared_server, deployment, *headers, body=body).ok()["error"] is None


@pytest.mark.parametrize(
    "credential", ["X-Api-Key: {}", "x-api-key: {}", "Authorization: Bearer {}", "authorization: bearer {}"]
)
def test_a_key_comes_in_either_header(
    wire: socket.socket, shared_server: Server, deployment: str, credential: str
) -> None:
    headers = [*CURL, *PAGE, credential.format(shared_server.key)]
    assert send(wire, shared_server, f"/v1/deployments/{deployment}/run", headers).ok()["error"] is None


@pytest.mark.parametrize(
    ("credential", "message"),
    [
        ([], "x-api-key header is required"),
        (["X-Api-Key: sk-not-a-key-of-ours"], "invalid x-api-key"),
        (["Authorization: Bearer sk-not-a-key-of-ours"], "Invalid bearer token"),
        (["Authorization: Basic dXNlcjpwYXNz"], "Invalid bearer token"),
    ],
)
def test_without_a_good_key_nothing_runs(
    wire: socket.socket, shared_server: Server, deployment: str, credential: list[str], message: str
) -> None:
    answer = send(wire, shared_server, f"/v1/deployments/{deployment}/run", [*CURL, *PAGE, *credential])
    assert answer.refused(401, "authentication_error") == message
    assert answer.headers["x-should-retry"] == "false"


@pytest.mark.parametrize("version", ["2023-06-01", "2026-10-21", "1999-12-31", "tomorrow", None])
def test_any_version_is_served_and_none(
    wire: socket.socket, shared_server: Server, deployment: str, version: str | None
) -> None:
    dated = [] if version is None else [f"anthropic-version: {version}"]
    headers = [*CURL, *dated, f"X-Api-Key: {shared_server.key}"]
    assert send(wire, shared_server, f"/v1/deployments/{deployment}/run", headers).ok()["error"] is None


def with_beta(wire: socket.socket, server: Server, deployment: str, *betas: str) -> Answer:
    headers = [*CURL, "anthropic-version: 2023-06-01", f"X-Api-Key: {server.key}"]
    headers += [f"anthropic-beta: {value}" for value in betas]
    return send(wire, server, f"/v1/deployments/{deployment}/run", headers)


def test_all_published_beta_values_are_accepted(wire: socket.socket, shared_server: Server, deployment: str) -> None:
    assert len(set(BETAS)) == 28
    assert len(NEWER) >= 30
    for value in [*BETAS, *NEWER]:
        assert with_beta(wire, shared_server, deployment, value).status == 200, value
    for values in (BETAS, [*BETAS, *NEWER]):
        assert with_beta(wire, shared_server, deployment, ",".join(values)).status == 200
        assert with_beta(wire, shared_server, deployment, *values).status == 200


@pytest.mark.parametrize("betas", [[], [""], ["what-will-come-2031-01-01"], ["managed-agents-2026-04-01"] * 2])
def test_any_beta_value_is_accepted_and_none(
    wire: socket.socket, shared_server: Server, deployment: str, betas: list[str]
) -> None:
    assert with_beta(wire, shared_server, deployment, *betas).status == 200


def test_a_beta_header_of_4_kib_is_the_longest(wire: socket.socket, shared_server: Server, deployment: str) -> None:
    assert with_beta(wire, shared_server, deployment, "x" * 4096).status == 200
    too_long = with_beta(wire, shared_server, deployment, "x" * 4097)
    assert "anthropic-beta" in too_long.refused(400, "invalid_request_error")


@pytest.mark.parametrize("character", ["\t", "\x01", "\x1f", "\x7f", "\x85"])
def test_a_control_character_in_the_beta_header_is_refused(
    wire: socket.socket, shared_server: Server, deployment: str, character: str
) -> None:
    answer = with_beta(wire, shared_server, deployment, f"managed-agents{character}2026-04-01")
    answer.refused(400, "invalid_request_error")


def test_an_unknown_deployment_is_not_found(wire: socket.socket, shared_server: Server) -> None:
    for name in ("depl_01AAAAAAAAAAAAAAAAAAAAAA", "nonsense", "depl_"):
        answer = run(wire, shared_server, name)
        assert answer.refused(404, "not_found_error") == f"Deployment `{name}` not found."
        assert answer.headers["x-should-retry"] == "false"


def test_an_idempotency_key_replays_the_first_answer_byte_for_byte(
    wire: socket.socket, shared_server: Server, deployment: str
) -> None:
    first = run(wire, shared_server, deployment, "Idempotency-Key: once")
    again = run(wire, shared_server, deployment, "Idempotency-Key: once")
    assert (again.status, again.raw) == (first.status, first.raw)
    assert "idempotent-replayed" not in first.headers
    assert again.headers["idempotent-replayed"] == "true"
    assert again.headers["request-id"] != first.headers["request-id"]
    body = json.dumps({"another": "body"}).encode()
    other = run(wire, shared_server, deployment, "Idempotency-Key: once", f"Content-Length: {len(body)}", body=body)
    other.refused(400, "invalid_request_error")
