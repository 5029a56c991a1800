"""Requests of the vendor's suites that a server which keeps to the contract must refuse, and what is wrong with each.

The suites are generated for a mock that reads no values: they send ``limit=0``, a cursor called ``page``, a region called
``inference_geo``. Here each such value is named, with the refusal that it must meet and a cure. The plug-in sends the
request as it is written, insists on that refusal, cures that one value, and sends it again, until every step is done; then
the test must pass. So an exception that is no longer needed is found out, and everything else in the request is proven.
A step without a cure is about the answer: the test must fail as it says.

Below: what cures do, what they take from the seed, the steps, and which tests take which, all of it family by family.

Used by the plug-in too, so it needs nothing but the standard library.
"""

import hashlib
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple, TypeAlias


@dataclass
class Request:
    """What of a request a cure may change. ``path`` begins with ``/v1``; ``body`` and ``files`` are empty where none are sent."""

    path: str
    query: dict[str, Any]
    body: dict[str, Any]
    files: list[Any]


Cure: TypeAlias = Callable[[Request], None]
"""Changes a request in place."""


class Step(NamedTuple):
    """One value that must be refused: why, in which words, and what to send instead."""

    reason: str
    refusal: str
    """A regular expression, to be found in the text of the client's error, or of the one that ends the test."""
    cure: Cure | None


class Case(NamedTuple):
    """The steps of some tests: those whose path and function end in what ``tests`` matches, in the versions that match."""

    tests: str
    steps: tuple[Step, ...]
    versions: str = r".*"


def _without(name: str) -> Cure:
    def cure(request: Request) -> None:
        request.query.pop(name, None)
        request.body.pop(name, None)

    return cure


def _in_query(**values: Any) -> Cure:
    return lambda request: request.query.update(values)


def _in_body(**values: Any) -> Cure:
    return lambda request: request.body.update(values)


def _in_path(old: str, new: str) -> Cure:
    def cure(request: Request) -> None:
        request.path = re.sub(rf"/{old}(?=[/?]|$)", f"/{new}", request.path)

    return cure


def _real_version(request: Request) -> None:
    request.body["agent"] = {**request.body["agent"], "version": 1}


def _with_a_skill(request: Request) -> None:
    path, text = SKILL
    request.files[:] = [("files[]", (path, text.encode(), "text/markdown"))]


def _use_every_server(request: Request) -> None:
    servers = [server["name"] for server in request.body["mcp_servers"]]
    tools = [{"type": "mcp_toolset", "mcp_server_name": name} for name in servers]
    request.body["tools"] = [*request.body["tools"], *tools]


def _with_few_packages(request: Request) -> None:
    packages = {**request.body["config"]["packages"], "apt": [], "cargo": [], "gem": [], "go": []}
    request.body["config"] = {**request.body["config"], "packages": packages}


def _in_time(request: Request) -> None:
    request.body["auth"] = {**request.body["auth"], "expires_at": "2119-12-27T18:11:19.117Z"}


def _real_region(request: Request) -> None:
    request.body["model"] = {**request.body["model"], "inference_geo": "us"}


CONTENT = "It is here."
"""Of the seed's memory."""
DIGEST = hashlib.sha256(CONTENT.encode()).hexdigest()
REMOVABLE = "sesrsc_removable"
"""A resource of the seed's session that, unlike the repository that the suites know, may be taken away."""
SKILL = ("greeting/SKILL.md", "---\nname: greeting\ndescription: Greets whoever asks.\n---\nSay hello.\n")
"""A file that a skill can consist of: its path and its text."""
EMPTY_SKILL = "skill_empty"
"""A skill of the seed without versions: older clients may not delete any other."""
VERSION_NUMBER = 1759178010641129
"""What older clients call the seed's version of a skill."""

# Of lists, whatever they list
_NO_LIMIT = Step("a limit of 0", r"limit: must be greater than or equal to 1", _without("limit"))
_NO_CURSOR = Step("a cursor called `page`", r"invalid page cursor|page is not a valid page token", _without("page"))
_ONE_WAY = Step("a list walked both ways at once", r"give after_id or before_id, not both", _without("before_id"))
_NO_NEIGHBOUR = Step("a neighbour called `after_id`", r"after_id: .*not found", _without("after_id"))

# Agents, deployments, environments
_NO_VERSION = Step("version 0 of an agent", r"version: must be greater than or equal to 1", _without("version"))
_USED_SERVERS = Step("an MCP server that no tool uses", r"is not referenced by any mcp_toolset", _use_every_server)
_REAL_REGION = Step("a region called `inference_geo`", r'"inference_geo" is not a valid value', _real_region)
_REAL_VERSION = Step("version 0 of an agent", r"agent.version: must be greater than or equal to 1", _real_version)
_ARCHIVED_ALONE = Step(
    "a status together with archived ones",
    r"include_archived: cannot be set together with status",
    _without("include_archived"),
)
_NO_SUCH_PACKAGES = Step(
    "packages of managers that this server does not have",
    r"config\.packages\.apt: not supported by this server",
    _with_few_packages,
)
_NULL_DESCRIPTION = Step(
    "an environment's description, which is null since",
    r"isinstance\(None, str\)|Data returned by API invalid for expected schema",
    None,
)

# Files, skills
_NO_SCOPE = Step("a scope that is no session", r"scope_id: must be the id of a session", _without("scope_id"))
_IDS_ALONE = Step("ids beside a page", r"ids\[\]: cannot be used together", _without("ids"))
_A_SKILL = Step(
    "a file that is no skill", r"must be inside the top-level folder|each file needs a file name", _with_a_skill
)
_SKILL_LIMIT = Step("a limit of 0", r"limit must be between 1 and 1000", _without("limit"))
_SOURCE = Step("a source called `source`", r"source must be one of", _in_query(source="custom"))
_VERSION_BY_NUMBER = Step(
    "a version called `version`", r"Invalid version format", _in_path("version", str(VERSION_NUMBER))
)
_NO_VERSIONS = Step(
    "an old client's deletion of a skill with versions",
    r"Cannot delete skill with existing versions",
    _in_path("skill_id", EMPTY_SKILL),
)

# Memory stores
_CHANGED_STORE = Step(
    "a change of a store that changes nothing",
    r"at least one of name, description, or metadata must be provided",
    _in_body(name="x"),
)
_CHANGED_MEMORY = Step(
    "a change of a memory that changes nothing",
    r"at least one of content or path must be provided",
    _in_body(content="content"),
)
_ABSOLUTE_PATH = Step("a memory's path without a `/`", r"path: must start with /", _in_body(path="/P"))
_FOLDER = Step(
    "a path prefix that is no folder", r"path_prefix must be segment-aligned", _in_query(path_prefix="/orders/")
)
_DEPTH = Step("a depth of 0 below a prefix", r"depth must be", _in_query(depth=1))
_PRECONDITION = {"type": "content_sha256", "content_sha256": DIGEST}
_DIGEST = Step(
    "a digest called `content_sha256`", r"content_sha256: must be 64 characters", _in_body(precondition=_PRECONDITION)
)
_RIGHT_DIGEST = Step(
    "a digest of another content", r"precondition content_sha256 failed", _in_body(precondition=_PRECONDITION)
)
_EXPECTED_DIGEST = Step(
    "a digest called `expected_content_sha256`",
    r"expected_content_sha256: must be 64 characters",
    _in_query(expected_content_sha256=DIGEST),
)

# Work
_RIGHT_HEARTBEAT = Step(
    "a heartbeat called `expected_last_heartbeat`", r"is not the expected one", _without("expected_last_heartbeat")
)

# Organizations, webhooks
_NO_MODEL = Step("the limits of a model called `model`", r"The model model has no rate limits", _without("model"))
_NO_OUTSIDE_KEY = Step(
    "a key that is held elsewhere", r"external_key_id: keys held outside are not supported", _without("external_key_id")
)
_NO_PROFILE = Step("a user profile", r"user_profile_id: user profiles are not supported", _without("user_profile_id"))
_NO_PRIVACY = Step(
    "a field that the contract does not know yet",
    r"inference_data_privacy: Extra inputs are not permitted",
    _without("inference_data_privacy"),
)
_REAL_URL = Step("a URL called `x`", r"url: this is not a URL", _in_body(url="https://example.com/webhooks"))

# Sessions
_NO_AGENT_VERSION = Step(
    "version 0 of an agent", r"agent_version: must be greater than or equal to 1", _without("agent_version")
)
_NO_NEW_VAULTS = Step(
    "vaults for a session that exists already", r"vault_ids: cannot be changed", _without("vault_ids")
)
_NO_TYPES = Step("an event type called `string`", r'types\[0\]: "string" is not a valid value', _without("types"))
_ANOTHER_RESOURCE = Step(
    "a repository, which stays as long as its session",
    r"`github_repository` resources cannot be removed",
    _in_path("sesrsc_011CZkZBJq5dWxk9fVLNcPht", REMOVABLE),
)

# Vaults
_IN_TIME = Step("a token that expired in 2019", r"auth.expires_at must be in the future", _in_time)

_LIST = "::test_method_list_with_all_params"
_OLDEST, _OLDER, _KEYED, _NEWEST = r"0\..*", r"[01]\..*", r"1\..*", r"2\.1[4-9]\..*"

CASES = (
    Case(r"beta/test_agents.py::test_method_retrieve_with_all_params", (_NO_VERSION,)),
    Case(r"beta/test_agents.py::test_method_create_with_all_params", (_USED_SERVERS,)),
    Case(r"beta/test_agents.py::test_method_update_with_all_params", (_REAL_REGION, _USED_SERVERS)),
    Case(r"beta/test_deployments.py" + _LIST, (_NO_LIMIT, _NO_CURSOR, _ARCHIVED_ALONE)),
    Case(r"beta/test_deployments.py::test_method_create_with_all_params", (_REAL_VERSION,), _NEWEST),
    Case(r"beta/test_environments.py" + _LIST, (_NO_CURSOR,)),
    Case(r"beta/test_environments.py::test_method_(create|update)_with_all_params", (_NO_SUCH_PACKAGES,)),
    Case(r"beta/test_environments.py::test_(?!path)\w+_create", (_NULL_DESCRIPTION,), _OLDEST),
    Case(r"beta/test_files.py" + _LIST, (_NO_SCOPE, _ONE_WAY, _NO_NEIGHBOUR), _OLDEST),
    Case(r"beta/test_files.py" + _LIST, (_NO_SCOPE, _IDS_ALONE, _NO_CURSOR)),
    Case(r"api_resources/test_files.py" + _LIST, (_IDS_ALONE, _NO_CURSOR)),
    Case(r"beta/test_memory_stores.py::test_(?!path)\w+_update", (_CHANGED_STORE,)),
    Case(r"memory_stores/test_memories.py" + _LIST, (_NO_LIMIT, _FOLDER, _DEPTH, _NO_CURSOR)),
    Case(r"memory_stores/test_memories.py::test_(?!path)\w+_create(_with_all_params)?", (_ABSOLUTE_PATH,), _OLDER),
    Case(r"memory_stores/test_memories.py::test_(?!path)\w+_update", (_CHANGED_MEMORY,)),
    Case(r"memory_stores/test_memories.py::test_method_update_with_all_params", (_ABSOLUTE_PATH, _DIGEST), _OLDER),
    Case(r"memory_stores/test_memories.py::test_method_update_with_all_params", (_RIGHT_DIGEST,)),
    Case(r"memory_stores/test_memories.py::test_method_delete_with_all_params", (_EXPECTED_DIGEST,)),
    Case(r"organization/test_(workspaces|api_keys|webhooks).py" + _LIST, (_ONE_WAY, _NO_NEIGHBOUR)),
    Case(
        r"beta/organization/test_workspaces.py::test_method_(create|update)_with_all_params",
        (_NO_PRIVACY, _NO_OUTSIDE_KEY, _NO_PROFILE),
        _NEWEST,
    ),
    Case(r"organization/test_workspaces.py::test_method_(create|update)_with_all_params", (_NO_OUTSIDE_KEY,), _KEYED),
    Case(
        r"organization/test_workspaces.py::test_method_(create|update)_with_all_params", (_NO_OUTSIDE_KEY, _NO_PROFILE)
    ),
    Case(r"organization/test_rate_limits.py" + _LIST, (_NO_MODEL, _NO_CURSOR)),
    Case(r"workspaces/test_rate_limits.py" + _LIST, (_NO_CURSOR,)),
    Case(r"organization/test_webhooks.py::test_(?!path)\w+_create(_with_all_params)?", (_REAL_URL,), _KEYED),
    Case(r"organization/test_webhooks.py::test_method_update_with_all_params", (_REAL_URL,)),
    Case(r"environments/test_work.py" + _LIST, (_NO_CURSOR,)),
    Case(r"environments/test_work.py::test_method_heartbeat_with_all_params", (_RIGHT_HEARTBEAT,)),
    Case(r"beta/test_sessions.py" + _LIST, (_NO_AGENT_VERSION, _NO_LIMIT, _NO_CURSOR)),
    Case(r"beta/test_sessions.py::test_method_update_with_all_params", (_NO_NEW_VAULTS,)),
    Case(r"sessions/test_events.py" + _LIST, (_NO_LIMIT, _NO_TYPES, _NO_CURSOR), _OLDEST),
    Case(r"sessions/test_resources.py::test_(?!path)\w+_delete(_with_all_params)?", (_ANOTHER_RESOURCE,)),
    Case(r"test_skills.py" + _LIST, (_SKILL_LIMIT, _SOURCE, _NO_CURSOR), _OLDEST),
    Case(r"test_skills.py" + _LIST, (_SOURCE, _NO_CURSOR)),
    Case(r"test_skills.py::test_(?!path)\w+_create(_with_all_params)?", (_A_SKILL,)),
    Case(r"test_skills.py::test_(?!path)\w+_delete(_with_all_params)?", (_NO_VERSIONS,), _OLDEST),
    Case(r"skills/test_versions.py" + _LIST, (_SKILL_LIMIT, _NO_CURSOR), _OLDEST),
    Case(r"skills/test_versions.py" + _LIST, (_NO_CURSOR,)),
    Case(r"skills/test_versions.py::test_(?!path)\w+_create(_with_all_params)?", (_A_SKILL,)),
    Case(
        r"skills/test_versions.py::test_(?!path)\w+_(retrieve|delete)(_with_all_params)?",
        (_VERSION_BY_NUMBER,),
        _OLDEST,
    ),
    Case(r"vaults/test_credentials.py::test_method_update_with_all_params", (_IN_TIME,)),
    Case(r"\w+.py" + _LIST, (_NO_LIMIT, _NO_CURSOR)),
)
"""The first that matches counts."""


def steps_of(name: str, version: str) -> tuple[Step, ...]:
    """The steps of a test, by its path and function, in a version of the client; none for most."""
    for case in CASES:
        if re.search(rf"/{case.tests}$", name) and re.fullmatch(case.versions, version):
            return case.steps
    return ()
