"""What the random histories send: bodies and queries, drawn from small sets so that things meet each other often.

References to agents and environments are left as words (``"bare"``, ``"pinned"``) for the machine to fill in.
"""

from typing import Any

from hypothesis import strategies as st

from tests.model.rules import PRICED
from tests.model.things import SCHEDULES, Json

SITE: Json = {"type": "github_repository", "url": "https://github.com/acme/site"}
RESOURCES: list[Json] = [
    SITE,
    SITE | {"authorization_token": "ghp_secret"},
    SITE | {"mount_path": "/workspace/site/inside", "checkout": {"type": "branch", "name": "main"}},
    {"type": "github_repository", "url": "https://github.com/acme/docs"},
    {"type": "file", "file_id": "file_01AbCdEfGhJkLmNpQrStUvWx"},
    {"type": "memory_store", "memory_store_id": "memstore_01AbCdEfGhJkLmNpQrStUvWx"},
]
HELLO: Json = {"type": "user.message", "content": [{"type": "text", "text": "Hello."}]}
PICTURE: Json = {
    "type": "user.message",
    "content": [
        {"type": "text", "text": "What is this? \u00e9\u4e2d\U0001f600"},
        {"type": "image", "source": {"type": "url", "url": "https://example.com/a.png"}},
    ],
}
OUTCOME: Json = {
    "type": "user.define_outcome",
    "description": "A report",
    "rubric": {"type": "text", "content": "It is short."},
}
CAUTION: Json = {"type": "system.message", "content": [{"type": "text", "text": "Be brief."}]}

names = st.sampled_from(["Ada", "Bo", "Cy", "Di"])
metadata = st.dictionaries(st.sampled_from("xyz"), st.sampled_from(["", "1", "2"]), max_size=2)
patches = st.dictionaries(st.sampled_from("xyz"), st.sampled_from(["", "1", None]), max_size=2)
descriptions = st.sampled_from([None, "", "Nightly work."])
budgets = st.sampled_from([None, {"type": "limit", "max_list_cost": {"amount": "500", "currency": "USD"}}])
schedules = st.one_of(
    st.none(),
    st.sampled_from([*SCHEDULES, *SCHEDULES, "0 0 1 * 1", "0 0 31 2 *"]).map(
        lambda expression: {"type": "cron", "expression": expression, "timezone": "UTC"}
    ),
    st.just({"type": "cron", "expression": "0 9 * * *", "timezone": "Mars/Phobos"}),
)
first_events = st.sampled_from([[HELLO], [HELLO, PICTURE], [OUTCOME], [HELLO, OUTCOME], [PICTURE, CAUTION]])
resources = st.one_of(st.just([]), st.lists(st.sampled_from(RESOURCES), max_size=2))
models = st.sampled_from([*sorted(PRICED), *sorted(PRICED), "somebodys-model"])


def _servers(hosts: list[str]) -> Json:
    servers = [{"type": "url", "name": f"mcp{n}", "url": f"https://{host}/mcp"} for n, host in enumerate(hosts)]
    return {
        "mcp_servers": servers,
        "tools": [{"type": "mcp_toolset", "mcp_server_name": each["name"]} for each in servers],
    }


WITH_SERVER = _servers(["a.example.com"])
_with_servers = st.lists(st.sampled_from(["a.example.com", "example.com"]), max_size=2).map(_servers)


def _merged(parts: tuple[Json, Json]) -> Json:
    return parts[0] | parts[1]


agents = st.tuples(
    st.fixed_dictionaries(
        {"name": names, "model": models},
        optional={"description": descriptions, "system": descriptions, "metadata": metadata},
    ),
    st.one_of(st.just({}), _with_servers),
).map(_merged)
agent_changes = st.tuples(
    st.fixed_dictionaries(
        {},
        optional={
            "name": names,
            "model": models,
            "description": descriptions,
            "system": descriptions,
            "metadata": patches,
            "multiagent": st.none(),
        },
    ),
    st.one_of(st.just({}), st.just({}), _with_servers),
).map(_merged)

_networks = st.one_of(
    st.none(),
    st.just({"type": "unrestricted"}),
    st.fixed_dictionaries(
        {"type": st.just("limited")},
        optional={
            "allowed_hosts": st.sampled_from([[], ["*.example.com"], ["example.com", "*.example.com"]]),
            "allow_mcp_servers": st.booleans(),
        },
    ),
)
_configs = st.one_of(
    st.just(None), _networks.map(lambda each: {"type": "cloud", "networking": each}), st.just({"type": "self_hosted"})
)
environments = st.fixed_dictionaries(
    {"name": names, "config": _configs}, optional={"metadata": metadata, "description": descriptions}
)
environment_changes = st.fixed_dictionaries(
    {}, optional={"name": names, "config": _configs, "description": descriptions, "metadata": patches}
)

deployments = st.fixed_dictionaries(
    {"name": names, "initial_events": first_events},
    optional={
        "description": descriptions,
        "metadata": metadata,
        "resources": st.one_of(st.none(), resources),
        "vault_ids": st.sampled_from([None, []]),
        "schedule": schedules,
        "budget": budgets,
    },
)
deployment_changes = st.fixed_dictionaries(
    {},
    optional={
        "name": names,
        "agent": st.sampled_from(["bare", "pinned", "first"]),
        "environment_id": st.just("bare"),
        "initial_events": first_events,
        "description": descriptions,
        "metadata": st.one_of(st.none(), patches),
        "resources": st.one_of(st.none(), resources),
        "vault_ids": st.sampled_from([None, []]),
        "schedule": schedules,
        "budget": budgets,
    },
)
flaws = st.sampled_from(
    [
        {"prompt": "x"},
        {"name": ""},
        {"name": None},
        {"agent": None},
        {"environment_id": None},
        {"initial_events": None},
        {"initial_events": []},
        {"initial_events": [CAUTION]},
        {"initial_events": [CAUTION, HELLO]},
        {"initial_events": [OUTCOME, CAUTION]},
        {"initial_events": [OUTCOME, HELLO, OUTCOME]},
        {"resources": [SITE | {"url": "https://example.com/acme/site"}]},
    ]
)

sessions = st.fixed_dictionaries(
    {},
    optional={
        "title": st.one_of(st.none(), names),
        "metadata": metadata,
        "initial_events": st.one_of(st.just([]), st.sampled_from([[HELLO], [HELLO, OUTCOME]])),
        "resources": resources,
    },
)
session_changes = st.fixed_dictionaries({}, optional={"title": st.one_of(st.none(), names), "metadata": patches})

limits = st.sampled_from([1, 2, 3, 100])
_times = st.sampled_from(["early", "middle", "late"])


def _bounds(*senses: str) -> dict[str, Any]:
    return {f"created_at[{sense}]": _times for sense in senses}


_archived = {"include_archived": st.booleans()}
queries: dict[str, st.SearchStrategy[Json]] = {
    "agents": st.fixed_dictionaries({"limit": limits}, optional=_archived | _bounds("gte", "lte")),
    "environments": st.fixed_dictionaries({"limit": limits}, optional=_archived),
    "deployments": st.fixed_dictionaries(
        {"limit": limits},
        optional=_archived
        | {"agent_id": st.just("some"), "status": st.sampled_from(["active", "paused"])}
        | _bounds("gte", "lte"),
    ),
    "runs": st.fixed_dictionaries(
        {"limit": limits},
        optional={
            "deployment_id": st.just("some"),
            "has_error": st.booleans(),
            "trigger_type": st.sampled_from(["manual", "schedule"]),
        }
        | _bounds("gt", "gte", "lt", "lte"),
    ),
    "sessions": st.fixed_dictionaries(
        {"limit": limits},
        optional=_archived
        | {
            "order": st.sampled_from(["asc", "desc"]),
            "agent_id": st.just("some"),
            "deployment_id": st.just("some"),
            "statuses[]": st.sampled_from([["idle"], ["running"], ["idle", "terminated"]]),
        }
        | _bounds("gt", "lte"),
    ),
}
