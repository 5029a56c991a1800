"""Where a session's commands may connect, and since when."""

from typing import Any

import pytest

from rota.base.settings import Settings
from rota.resources.environments.wire import Limited, Unrestricted
from rota.runtime.reach import network_of, registries
from rota.runtime.sandbox import Network
from tests.api import Api

REGISTRIES = registries(Settings(package_hosts="pypi.org, Mirror.example", npm_registry="https://npm.internal/path"))


@pytest.mark.parametrize(
    ("networking", "hosts"),
    [
        (Unrestricted(), None),
        (Limited(), ()),
        (Limited(allowed_hosts=["A.example", "*.b.example."]), ("a.example", "*.b.example")),
        (Limited(allow_package_managers=True), ("pypi.org", "mirror.example", "npm.internal")),
        (Limited(allow_mcp_servers=True, allowed_hosts=["a.example"]), ("a.example", "mcp.example")),
    ],
)
def test_networking_as_the_driver_is_told(networking: Any, hosts: tuple[str, ...] | None) -> None:
    network = network_of(networking, REGISTRIES, ["https://mcp.example/sse"])
    assert network == (Network(kind="unrestricted") if hosts is None else Network(kind="limited", hosts=hosts))


def test_mirrors_are_told_to_the_package_managers() -> None:
    assert REGISTRIES.variables == {"NPM_CONFIG_REGISTRY": "https://npm.internal/path"}


def test_the_networking_of_a_session_is_that_of_the_day_it_was_made(api: Api) -> None:
    from rota.resources.sessions import rows

    limited = {"type": "limited", "allowed_hosts": ["a.example"]}
    environment = api.environment(config={"type": "cloud", "networking": limited})
    body = {"agent": api.agent()["id"], "environment_id": environment["id"]}
    session = api.post("/v1/sessions", body).ok()
    deployment = api.deployment(environment_id=environment["id"])
    fired = api.fire(deployment)
    opened = {"config": {"type": "cloud", "networking": {"type": "unrestricted"}}}
    api.post(f"/v1/environments/{environment['id']}", opened).ok()
    later = api.post("/v1/sessions", body).ok()
    networks = [
        api.read(rows.find, api.who, each).body.networking for each in (session["id"], fired["session_id"], later["id"])
    ]
    assert networks == [Limited(allowed_hosts=["a.example"])] * 2 + [Unrestricted()]
