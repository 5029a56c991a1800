"""Twenty-five hundred hostile requests in the tests; the long proof is ``python -m tests.security.prove_hostile``."""

import json
from pathlib import Path
from random import Random
from typing import Any

import pytest

from rota import api
from tests.security.hostile import texts
from tests.security.hostile.campaign import Campaign
from tests.security.hostile.connection import Response
from tests.security.hostile.verdict import Judge
from tests.security.makers import ROUTE, ROUTES

JUDGE = Judge(api.ROUTES)
REQUEST = "req_01" + "A" * 22
AGENTS = ROUTE["agents.list"]


@pytest.mark.slow
def test_hostile_requests_find_nothing(tmp_path: Path) -> None:
    findings = Campaign(tmp_path, 2_500, seed=1, heavy=False).run()
    assert findings.wrong == []
    assert findings.sent["schemathesis"] == findings.sent["hypothesis"] == 250
    assert findings.sent.total() >= 2_500
    reached = {name for name, counts in findings.reached.items() if counts[200]}
    assert len(reached) >= 0.9 * len(ROUTES), {route.name for route in ROUTES} - reached
    assert findings.statuses[200] > 500


def answer(status: int, body: Any, **headers: str) -> Response:
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    return Response(status, {"content-type": "application/json", "request-id": REQUEST, **headers}, raw)


def error(kind: str, **more: Any) -> dict[str, Any]:
    return {"type": "error", "error": {"type": kind, "message": "It is so."}, "request_id": REQUEST} | more


GOOD = [
    answer(200, {"data": [], "next_page": None}),
    answer(404, error("not_found_error")),
    answer(400, error("invalid_request_error")),
]
BAD = {
    "a fault": answer(500, error("api_error")),
    "a fault of the database": answer(503, error("overloaded_error")),
    "no request id": answer(200, {"data": [], "next_page": None}, **{"request-id": ""}),
    "another request id": answer(404, error("not_found_error", request_id="req_01" + "B" * 22)),
    "no envelope": answer(404, {"detail": "Not Found"}),
    "no message": answer(404, error("not_found_error", error={"type": "not_found_error", "message": ""})),
    "another type": answer(404, error("invalid_request_error")),
    "an unheard-of type": answer(400, error("value_error")),
    "plain text": answer(400, b"Invalid HTTP request received."),
    "HTML": answer(404, error("not_found_error"), **{"content-type": "text/html"}),
    "a body of another shape": answer(200, {"data": [{"id": 1}], "next_page": None}),
    "a body without what must be there": answer(200, {"data": []}),
    "an unheard-of status": answer(418, error("invalid_request_error")),
    "an unheard-of success": answer(204, b""),
}


@pytest.mark.parametrize("response", GOOD, ids=lambda response: str(response.status))
def test_a_good_response_is_taken_for_one(response: Response) -> None:
    assert JUDGE.problems(AGENTS, response) == []


@pytest.mark.parametrize("name", BAD)
def test_a_bad_response_is_found(name: str) -> None:
    assert JUDGE.problems(AGENTS, BAD[name])


def test_spoiling_ends_and_can_be_sent_whatever_it_meets() -> None:
    random = Random(7)
    for _ in range(500):
        body: Any = {"name": "x", "agents": [{"id": "a", "version": 1}], "metadata": {"k": "v"}}
        for _ in range(4):
            body = texts.spoil(random, body)
        assert isinstance(texts.text(random, body), bytes)
