"""Any JSON at all, on every route that takes a body: an answer, and never a fault."""

import json
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.api import HELLO, Api
from tests.security.makers import ROUTES, Sent, furnished, noun_of

WORDS = sorted({name for route in ROUTES if route.body for name in route.body.__struct_encode_fields__})  # type: ignore[attr-defined]
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
POSTS = [route for route in ROUTES if route.body is not None]

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
        self.home = furnished(api)
        agent, environment = self.home.real("agent"), self.home.real("environment")
        self.fields = {
            "name": "Thing", "model": "claude-opus-5-5", "agent": agent, "environment_id": environment,
            "initial_events": HELLO, "events": HELLO, "description": "", "metadata": {"k": "v"},
            "path": "/a/b", "content": "", "display_name": "Keys",
        }  # fmt: skip


@pytest.fixture(scope="module")
def place(lasting_api: Api) -> Place:
    return Place(lasting_api)


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
    sent = Sent(json.dumps(drawn).encode())
    params = place.home.params(noun_of(route.parameters[-1])) if route.parameters else {}
    response = place.home.ask(route, params, sent)
    assert response.status < 500, (sent.raw, response.body)
    assert response.status == 200 or response.body["error"]["message"]
