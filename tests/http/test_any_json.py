"""Any JSON at all, on every route that takes a body: an answer, and never a fault."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from rota import api as table
from rota.base.clock import HandClock
from rota.resources.workspaces import keys
from tests.api import HELLO, KEY, Api
from tests.conftest import START

WORDS = sorted({name for route in table.ROUTES if route.body for name in route.body.__struct_encode_fields__})  # type: ignore[attr-defined]
TYPES = [
    "cloud",
    "self_hosted",
    "limited",
    "user.message",
    "text",
    "cron",
    "agent",
    "agent_with_overrides",
    "file",
    "limit",
    "custom",
]
POSTS = [route for route in table.ROUTES if route.method == "POST" and route.body is not None]

names = st.sampled_from([*WORDS, "type", "id", "content", "text", "networking"]) | st.text(st.characters(), max_size=5)
values = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(st.characters(), max_size=20)
    | st.sampled_from(TYPES)
)
anything = st.recursive(
    values, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(names, inner, max_size=5), max_leaves=25
)


class Place:
    """A house with one of each thing in it, kept for all examples; ``fields`` are values that fit."""

    def __init__(self, api: Api) -> None:
        self.api = api
        organization = api.who.organization_id
        self.admin = api.write(lambda tx: keys.create(tx, organization)).key
        spare = api.write(lambda tx: keys.create(tx, organization, workspace_id=api.who.workspace_id))
        deployment = api.deployment()
        agent, environment = deployment["agent"]["id"], deployment["environment_id"]
        repository = {"type": "github_repository", "url": "https://github.com/acme/site"}
        body = {"agent": agent, "environment_id": environment, "resources": [repository]}
        session = api.post("/v1/sessions", body).ok()
        store = api.memory_store()
        workspace = api.post("/v1/organizations/workspaces", {"name": "Spare"}, key=self.admin).ok()
        self.fields = {
            "name": "Thing", "model": "claude-opus-5-5", "agent": agent, "environment_id": environment,
            "initial_events": HELLO, "events": HELLO, "description": "", "metadata": {"k": "v"},
            "path": "/a/b", "content": "",
        }  # fmt: skip
        self.ids = {
            "agent_id": agent, "environment_id": environment, "deployment_id": deployment["id"],
            "session_id": session["id"], "workspace_id": workspace["id"], "api_key_id": spare.id,
            "resource_id": session["resources"][0]["id"],
            "memory_store_id": store["id"], "memory_id": api.memory(store)["id"],
        }  # fmt: skip


@pytest.fixture(scope="module", params=["sqlite", "postgres"])
def place(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    folder: Path = tmp_path_factory.mktemp("place")
    url = f"sqlite:///{folder / 'rota.db'}"
    if request.param == "postgres":
        server: str = request.getfixturevalue("postgres")
        with psycopg.connect(server, autocommit=True) as connection:
            connection.execute("CREATE DATABASE any_json TEMPLATE template_rota")
        url = server.replace("/postgres?", "/any_json?")
    with Api(url, folder, HandClock(START)) as api:
        yield Place(api)


@given(data=st.data())
@settings(max_examples=30, deadline=None, suppress_health_check=list(HealthCheck), database=None)
@pytest.mark.parametrize("route", POSTS, ids=lambda route: route.name)
def test_no_json_whatever_is_a_fault(place: Place, route: Any, data: st.DataObject) -> None:
    fields = route.body.__struct_encode_fields__
    drawn = data.draw(st.dictionaries(st.sampled_from(fields) | names, anything, max_size=4) | anything)
    if isinstance(drawn, dict):
        kept = data.draw(st.sets(st.sampled_from(fields)))
        drawn = {
            **drawn,
            **{name: value for name, value in place.fields.items() if name in fields and name not in kept},
        }
    raw = json.dumps(drawn).encode()
    path = route.path
    for name in route.parameters:
        path = path.replace(f"{{{name}}}", place.ids[name])
    response = place.api.post(path, raw=raw, key=place.admin if route.access == "admin" else KEY)
    assert response.status < 500, (raw, response.body)
    assert response.status == 200 or response.body["error"]["message"]
