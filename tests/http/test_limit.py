"""The request limiter: what it counts, for whom, for how long, and what it costs when it is off (decision 0023)."""

import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rota import api as table
from rota.base.clock import MINUTE, SECOND, HandClock
from rota.base.errors import RateLimited
from rota.http.limit import Limiter, kind_of
from rota.http.route import Route
from rota.resources.workspaces import actions as workspaces
from rota.resources.workspaces import keys
from tests.api import KEY, Api
from tests.conftest import START

ROUTE = {route.name: route for route in table.ROUTES}


def opened(folder: Path, clock: HandClock, **settings: Any) -> Api:
    return Api(f"sqlite:///{folder / 'rota.db'}", folder, clock, **settings)


@pytest.fixture
def limited(tmp_path: Path, clock: HandClock) -> Iterator[Api]:
    """A house in which a minute has room for three creates and for five other requests."""
    with opened(tmp_path, clock, rate_limit_creates_per_minute=3, rate_limit_reads_per_minute=5) as api:
        yield api


def agent(api: Api, **more: Any) -> int:
    return api.post("/v1/agents", {"name": "Clerk", "model": "claude-opus-5-5"}, **more).status


def read(api: Api, **more: Any) -> int:
    return api.get("/v1/agents", **more).status


def test_creates_and_reads_have_a_figure_each(limited: Api) -> None:
    assert [agent(limited) for _ in range(4)] == [200, 200, 200, 429]
    assert [read(limited) for _ in range(6)] == [200] * 5 + [429]


def test_whoever_is_refused_is_told_when_to_come_again_and_then_let_in(limited: Api, clock: HandClock) -> None:
    assert agent(limited) == 200
    clock.advance(seconds=20.5)
    assert [agent(limited) for _ in range(2)] == [200, 200]
    refused = limited.post("/v1/agents", {"name": "Clerk", "model": "claude-opus-5-5"})
    assert "3 create requests within a minute" in refused.refused(429, "rate_limit_error")
    assert refused.headers["retry-after"] == "40"  # of 39.5 seconds
    assert "x-should-retry" not in refused.headers
    assert refused.headers["anthropic-organization-id"] == limited.who.organization_id
    clock.advance(seconds=39.499_999)
    assert agent(limited) == 429
    clock.advance(seconds=0.000_001)
    assert [agent(limited) for _ in range(2)] == [200, 429]


def test_a_refused_request_is_not_counted(limited: Api, clock: HandClock) -> None:
    for _ in range(3):
        agent(limited)
    for _ in range(100):
        assert agent(limited) == 429
        clock.advance(seconds=0.5)
    clock.advance(seconds=10)
    assert agent(limited) == 200


def test_a_refusal_of_another_kind_is_counted(limited: Api) -> None:
    for path in ("/v1/agents/agent_01nothing", "/v1/agents?limit=0", "/v1/agents?page=page_x") * 2:
        last = limited.get(path)
    assert last.status == 429


def test_running_a_deployment_counts_as_a_read(limited: Api) -> None:
    deployment = limited.deployment()
    assert agent(limited) == 429
    assert [limited.post(f"/v1/deployments/{deployment['id']}/run").status for _ in range(6)] == [200] * 5 + [429]


def test_what_a_create_is_follows_from_the_table() -> None:
    creates = {route.name for route in table.ROUTES if kind_of(route) == "create"}
    assert {"agents.create", "environments.create", "deployments.create", "sessions.create"} <= creates
    assert not {"deployments.run", "deployments.update", "deployments.archive", "sessions.delete"} & creates
    assert all(ROUTE[name].method == "POST" and ROUTE[name].writes for name in creates)


def test_an_organization_has_figures_of_its_own_and_its_workspaces_share_them(limited: Api) -> None:
    def make(tx: Any) -> tuple[str, str]:
        other = workspaces.make(tx, "Other")
        foreign = keys.create(tx, other.id, workspace_id=other.default_workspace_id).key
        second = workspaces.create(tx, limited.who, workspaces.CreateWorkspace(name="Second")).id
        return foreign, keys.create(tx, limited.who.organization_id, workspace_id=second).key

    foreign, sibling = limited.write(make)
    assert [read(limited) for _ in range(3)] == [200] * 3
    assert [read(limited, key=sibling) for _ in range(3)] == [200, 200, 429]
    assert read(limited) == 429
    assert [read(limited, key=foreign) for _ in range(6)] == [200] * 5 + [429]


def test_health_and_whoever_has_no_key_are_not_counted(limited: Api) -> None:
    for _ in range(10):
        assert limited.get("/healthz", key=None).status == 200
        assert limited.get("/readyz").status == 200
        assert limited.get("/openapi.json").status == 200
        assert limited.get("/v1/agents", key="nonsense").status == 401
        assert limited.get("/v1/nothing").status == 404
    assert read(limited) == 200


def test_a_body_is_not_read_before_the_request_is_counted(limited: Api) -> None:
    for _ in range(3):
        agent(limited)
    asked: list[str] = []

    async def receive() -> dict[str, Any]:
        asked.append("body")
        return {"type": "http.disconnect"}

    sent: list[Any] = []

    async def send(message: Any) -> None:
        sent.append(message)

    headers = [(b"x-api-key", KEY.encode()), (b"content-length", b"5")]
    scope = {"type": "http", "method": "POST", "path": "/v1/agents", "query_string": b"", "headers": headers}
    limited.run(limited.house.app(scope, receive, send))
    assert sent[0]["status"] == 429
    assert asked == []


def test_refused_requests_are_in_the_metrics(limited: Api) -> None:
    def counted() -> list[float]:  # by this whole process, whose houses share the route table
        page = limited.get("/metrics").body
        names = (
            'rota_http_rate_limited_total{route="agents.list"} ',
            'rota_http_requests_total{route="agents.list",status="429"} ',
        )
        return [float(page.partition(name)[2].partition("\n")[0]) for name in names]

    for _ in range(7):
        read(limited)
    before = counted()
    for _ in range(5):
        assert read(limited) == 429
    assert counted() == [number + 5 for number in before]


def test_a_clock_that_is_set_back_does_not_shut_anybody_out(limited: Api, clock: HandClock) -> None:
    for _ in range(3):
        agent(limited)
    clock.advance(seconds=-3_600)
    assert [agent(limited) for _ in range(4)] == [200, 200, 200, 429]


def test_there_is_no_limit_unless_one_is_set(tmp_path: Path, clock: HandClock) -> None:
    with opened(tmp_path, clock) as api:
        assert api.house.app._limiter is None
        assert [read(api) for _ in range(50)] == [200] * 50


def test_one_figure_alone_leaves_the_other_kind_alone(tmp_path: Path, clock: HandClock) -> None:
    with opened(tmp_path, clock, rate_limit_creates_per_minute=1) as api:
        assert [agent(api) for _ in range(2)] == [200, 429]
        assert [read(api) for _ in range(50)] == [200] * 50


def taken(limiter: Limiter, route: Route) -> int | None:
    """None for a request that was let through, else the seconds to wait."""
    try:
        limiter.check(route, "organization")
    except RateLimited as refused:
        return refused.retry_after
    return None


@given(
    limit=st.integers(1, 7),
    steps=st.lists(st.integers(0, 30 * SECOND) | st.sampled_from([0, 1, MINUTE - 1, MINUTE, MINUTE + 1]), max_size=60),
)
def test_no_minute_ever_has_more_and_nobody_waits_in_vain(limit: int, steps: list[int]) -> None:
    clock = HandClock(START)
    limiter = Limiter(clock, creates_per_minute=0, reads_per_minute=limit)
    passed: list[int] = []
    for step in steps:
        clock.set(clock.now() + step)
        recent = [instant for instant in passed if instant > clock.now() - MINUTE]
        wait = taken(limiter, ROUTE["agents.list"])
        assert (wait is None) == (len(recent) < limit)
        if wait is None:
            passed.append(clock.now())
        else:
            exact = recent[-limit] + MINUTE - clock.now()
            assert (wait - 1) * SECOND < exact <= wait * SECOND


def test_memory_is_bounded_by_the_figure() -> None:
    clock, chance = HandClock(START), random.Random(1)
    limiter = Limiter(clock, creates_per_minute=0, reads_per_minute=100)
    for _ in range(20_000):
        clock.advance(seconds=chance.choice([0, 0.1, 1]))
        taken(limiter, ROUTE["agents.list"])
    [window] = limiter._windows.values()
    assert len(window._instants) == 100
