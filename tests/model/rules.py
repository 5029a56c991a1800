"""The contract's tables, as the model needs them: what is filled in, what is refused and in which words, what filters mean."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from tests.model.matching import ANYTHING_SAID, Fresh, Saying
from tests.model.things import SCHEDULES, Agent, Environment, Json, Pin, instant, stamp

Message = str | Saying

PRICED = {"claude-opus-5-5", "claude-haiku-4-5"}
PLAIN_AGENT: Json = {
    "description": None,
    "system": None,
    "tools": [],
    "mcp_servers": [],
    "skills": [],
    "multiagent": None,
    "metadata": {},
    "execution_identity": {"type": "service_account"},
}
"""What an agent says that was told nothing but its name and its model."""

_OPEN: Json = {"type": "unrestricted"}
_SHUT: Json = {"type": "limited", "allowed_hosts": [], "allow_mcp_servers": False, "allow_package_managers": False}
_NO_PACKAGES: Json = {"type": "packages", "apt": [], "cargo": [], "gem": [], "go": [], "npm": [], "pip": []}


def patch(old: dict[str, str], sent: dict[str, str | None] | None, *, empty_deletes: bool = False) -> dict[str, str]:
    """A bag of metadata after a patch: null deletes a key, and on environments an empty text does too."""
    merged = dict(old)
    for key, value in (sent or {}).items():
        if value is None or (value == "" and empty_deletes):
            merged.pop(key, None)
        else:
            merged[key] = value
    return merged


def configure(stored: Json, body: Json) -> Json:
    """What an agent says after what was sent: omitted stays, null and empty clear. Its roster is not looked at here."""
    config = dict(stored)
    for name in ("name", "description", "system"):
        if name in body:
            config[name] = body[name] or None
    if "model" in body:
        config["model"] = {"id": body["model"], "speed": "standard", "effort": {"type": "high"}, "inference_geo": None}
    if "metadata" in body:
        config["metadata"] = patch(config["metadata"], body["metadata"])
    if "mcp_servers" in body:
        config["mcp_servers"] = body["mcp_servers"]
        config["tools"] = [
            {**tool, "default_config": {"enabled": True, "permission_policy": {"type": "always_ask"}}, "configs": []}
            for tool in body["tools"]
        ]
    if "multiagent" in body:
        config["multiagent"] = None
    return config


def resolve_config(sent: Json | None, stored: Json | None) -> Json:
    """An environment's whole configuration: defaults where there is nothing stored, omitted parts stay where there is."""
    if sent is None:
        return stored or {"type": "cloud", "networking": _OPEN, "packages": _NO_PACKAGES}
    if sent["type"] == "self_hosted":
        return {"type": "self_hosted"}
    networking = _OPEN if stored is None else stored["networking"]
    asked = sent.get("networking")
    if asked is not None and asked["type"] == "unrestricted":
        networking = _OPEN
    elif asked is not None:
        networking = {**(networking if networking["type"] == "limited" else _SHUT), **asked}
    return {"type": "cloud", "networking": networking, "packages": _NO_PACKAGES}


# What is refused when a deployment is written

CREATION = frozenset({"name", "agent", "environment_id", "initial_events"})
"""Fields that a creation must have."""
UPDATE = frozenset[str]()
_NEVER_NULL = ("name", "agent", "environment_id", "initial_events")
_FIELDS = {*_NEVER_NULL, "description", "metadata", "resources", "vault_ids", "schedule", "budget"}


def flaw(body: Json, required: frozenset[str]) -> Message | None:
    """What is wrong with a deployment's body as such; None if nothing is. Bodies have one flaw at most."""
    for name in body.keys() - _FIELDS:
        return f"{name}: Extra inputs are not permitted"
    for name in required - body.keys():
        return f"{name}: Field required"
    if any(name in body and body[name] in (None, "") for name in _NEVER_NULL):
        return ANYTHING_SAID
    if "initial_events" in body:
        events = [event["type"] for event in body["initial_events"]]
        if not events:
            return "initial_events: value must contain at least 1 item"
        if "system.message" in events[:-1]:
            return "a `system.message` event must be the last event in the list"
        if events == ["system.message"] or events.count("user.define_outcome") > 1:
            return ANYTHING_SAID
        if events[-1] == "system.message" and events[-2] != "user.message":
            return ANYTHING_SAID
    for resource in body.get("resources") or []:
        if resource["type"] == "github_repository" and not resource["url"].startswith("https://github.com/"):
            return (
                "validate deployment resources: invalid GitHub repository URL: repo URL must be "
                "https://github.com/{owner}/{repo}"
            )
    return None


def bad_schedule(schedule: Json) -> Message | None:
    """What is wrong with a schedule; the model knows three good expressions."""
    if schedule["expression"] == "0 0 1 * 1":
        return "`schedule.expression` cannot restrict both day-of-month and day-of-week; use `*` for one"
    if schedule["expression"] == "0 0 31 2 *":
        return "`schedule.expression` does not produce any occurrences in the next year"
    assert schedule["expression"] in SCHEDULES
    return None if schedule["timezone"] == "UTC" else f'"{schedule["timezone"]}" is not a valid IANA timezone'


def without_tokens(resources: Sequence[Json]) -> list[Json]:
    """Resources as they are echoed: the token is write-only."""
    return [{name: value for name, value in each.items() if name != "authorization_token"} for each in resources]


def tokens(resources: Sequence[Json]) -> frozenset[int]:
    """The places of the resources that came with a token."""
    return frozenset(place for place, each in enumerate(resources) if "authorization_token" in each)


def mount(resource: Json) -> str:
    """Where a repository goes."""
    return resource.get("mount_path", "/workspace/" + resource["url"].rsplit("/", 1)[1])


def mounted(resource: Json, resource_id: Fresh, now: int) -> Json:
    """A repository in a session."""
    assert resource["type"] == "github_repository"
    times = {"created_at": stamp(now), "updated_at": stamp(now)}
    return {**resource, "id": resource_id, "mount_path": mount(resource), **times}


# Why there can be no session


@dataclass(frozen=True)
class Problem:
    """One reason: the type and the message that a run records, and how ``POST /v1/sessions`` answers."""

    type: str
    recorded: Message
    status: int = 400
    answered: Message = ANYTHING_SAID


def organization_disabled() -> Problem:
    """The organization is disabled."""
    return Problem("organization_disabled_error", "organization is disabled")


def workspace_archived() -> Problem:
    """The workspace is archived."""
    return Problem("workspace_archived_error", "workspace is archived")


def agent_archived(agent: Agent) -> Problem:
    """A member of the roster is archived (of a deployment, the agent itself never is)."""
    answered = f"agent {agent.id} is archived and cannot be used to create a session"
    return Problem("agent_archived_error", f"agent `{agent.id}` is archived", 400, answered)


def environment_not_found(environment: Environment | None) -> Problem:
    """The environment is gone."""
    named = "?" if environment is None else environment.id
    return Problem("environment_not_found_error", f"session creation rejected: environment `{named}` not found", 404)


def environment_archived(environment: Environment) -> Problem:
    """The environment is archived."""
    return Problem("environment_archived_error", f"environment `{environment.id}` is archived")


def unmountable(environment: Environment, resources: Sequence[Json]) -> Iterator[Problem]:
    """A self-hosted environment mounts memory stores only; and there are neither files nor memory stores yet."""
    kinds = {resource["type"] for resource in resources}
    files = [resource["file_id"] for resource in resources if resource["type"] == "file"]
    stores = [resource["memory_store_id"] for resource in resources if resource["type"] == "memory_store"]
    if environment.self_hosted and (unfit := sorted(kinds & {"file", "github_repository"})):
        yield Problem("self_hosted_resources_unsupported_error", Saying(*unfit))
    if files:
        text = Saying("One or more files not found. Check that each `file_id` exists and is accessible: ", *files)
        yield Problem("file_not_found_error", text, 404, text)
    if stores:
        text = "session creation rejected: a referenced resource was not found; check deployment configuration"
        yield Problem("session_resource_not_found_error", text, 404, f"Memory store `{stores[0]}` not found.")


def unreachable(environment: Environment, pins: Sequence[Pin]) -> Iterator[Problem]:
    """Limited networking lets an MCP server through if its host is listed, or all are allowed."""
    networking = environment.config.get("networking", _OPEN)
    if networking["type"] != "limited" or networking["allow_mcp_servers"]:
        return
    servers = [
        (each["name"], urlsplit(each["url"]).hostname or "") for pin in pins for each in pin.config["mcp_servers"]
    ]
    blocked = [f'"{name}" ({host})' for name, host in servers if not admits(networking["allowed_hosts"], host)]
    if blocked:
        text = (
            f"MCP server host(s) blocked by environment network policy: {', '.join(blocked)}. Add these hosts to the "
            "environment's allowed_hosts, or set allow_mcp_servers=true."
        )
        yield Problem("mcp_egress_blocked_error", text, 400, text)


def admits(allowed: Sequence[str], host: str) -> bool:
    """``*.x`` covers every depth below ``x``, never ``x`` itself."""
    return any(host.endswith(entry[1:]) if entry.startswith("*.") else host == entry for entry in allowed)


def unpriced(budget: Json | None, pins: Sequence[Pin]) -> Iterator[Problem]:
    """Under a budget, every model of the roster must have a list price."""
    if budget is not None and any(pin.config["model"]["id"] not in PRICED for pin in pins):
        yield Problem("session_creation_rejected_error", Saying("budget"))


def overlapping(resources: Sequence[Json]) -> Iterator[Problem]:
    """No two mounts may be one, or one inside the other."""
    paths = [mount(resource) for resource in resources if resource["type"] == "github_repository"]
    for number, path in enumerate(paths):
        for other in paths[:number]:
            if path == other or path.startswith(other + "/") or other.startswith(path + "/"):
                text = Saying("`mount_path` overlaps another resource", other, path)
                yield Problem("session_creation_rejected_error", text, 400, text)


# What the filters of lists mean


def _archived_shown(thing: Any, query: Json) -> bool:
    return query.get("include_archived", False) or thing.archived_at is None


def _time(thing: Any, name: str, query: Json) -> bool:
    at, bound = thing.created_at, instant(query[name])
    senses = {
        "created_at[gt]": at > bound,
        "created_at[gte]": at >= bound,
        "created_at[lt]": at < bound,
        "created_at[lte]": at <= bound,
    }
    return senses[name]


def _agents(agent: Any, name: str, query: Json) -> bool:
    return _archived_shown(agent, query) if name == "include_archived" else _time(agent, name, query)


def _deployments(deployment: Any, name: str, query: Json) -> bool:
    match name:
        case "include_archived":
            return _archived_shown(deployment, query)
        case "agent_id":
            return str(deployment.pin.agent.id) == query[name]
        case "status":
            return ("paused" if deployment.paused else "active") == query[name]
        case _:
            return _time(deployment, name, query)


def _runs(run: Any, name: str, query: Json) -> bool:
    match name:
        case "deployment_id":
            return str(run.deployment.id) == query[name]
        case "has_error":
            return (run.error is not None) == query[name]
        case "trigger_type":
            return query[name] == "manual"
        case _:
            return _time(run, name, query)


def _sessions(session: Any, name: str, query: Json) -> bool:
    match name:
        case "include_archived":
            return _archived_shown(session, query)
        case "agent_id":
            return str(session.pin.agent.id) == query[name]
        case "deployment_id":
            return session.deployment is not None and str(session.deployment.id) == query[name]
        case "statuses[]":
            return session.status in query[name]
        case _:
            return _time(session, name, query)


FILTERS: dict[str, Callable[[Any, str, Json], bool]] = {
    "agents": _agents,
    "environments": _agents,
    "deployments": _deployments,
    "runs": _runs,
    "sessions": _sessions,
}


def names(kind: str, query: Json) -> list[str]:
    """The filters that a query sets; archived things are hidden also where it says nothing of them."""
    given = [name for name in query if name not in ("limit", "order")]
    hides = kind != "runs" and "include_archived" not in given
    return [*given, "include_archived"] if hides else given
