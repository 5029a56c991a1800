"""Every response against the client's own types; and that this judgement does find what is wrong."""

import json
import re
from collections.abc import Iterator
from copy import deepcopy
from typing import Any

import pytest

from rota import api
from tests.acceptance.conftest import Story
from tests.acceptance.schemas import DOWNLOADS, NEVER_ANSWERED, OPERATIONS, STREAMS, Judge

KNOWN_PROBLEMS = {
    "0.121.0": {
        r".* /v1/environments.* 200: (data\.\d+\.)?description: Input should be a valid string": "null when it is not "
        "set: later versions of the type say so, this one has no null yet and its client reads one all the same",
    },
    "1.17.0": {},
    "2.12.0": {},
}
"""What a version's types object to, and why it is right nevertheless. Anything else fails."""

_DETAILS = "errors that the contract gives details; every version's client keeps the whole body"
_PREFIXES = "recorded in every page of memories, and always empty"
KNOWN_KEYS = {
    "0.121.0": {
        "SyncPageCursor.prefixes": _PREFIXES,
        "BetaInvalidRequestError.details": _DETAILS,
        "BetaManagedAgentsAgent.execution_identity": "younger than this client",
        "BetaManagedAgentsSessionAgent.execution_identity": "younger than this client",
        "BetaManagedAgentsSessionThreadAgent.execution_identity": "younger than this client",
        "BetaManagedAgentsAgentToolConfig.type": "younger than this client",
        "BetaManagedAgentsAgentToolUseEvent.evaluation": "younger than this client",
        "SyncPageCursor.has_more": "in the old shape of lists of skills (contract); the client's pages go by next_page",
        "FileMetadata.expires_at": "younger than this client",
    },
    "1.17.0": {
        "SyncPageCursor.prefixes": _PREFIXES,
        "BetaInvalidRequestError.details": _DETAILS,
        "Workspace.user_profile_id": "younger than this client",
    },
    "2.12.0": {"SyncPageCursor.prefixes": _PREFIXES, "BetaInvalidRequestErrorObject.details": _DETAILS},
}
"""Keys that we send and a version's types do not have, and why. Neither more nor fewer."""


@pytest.fixture(scope="module")
def judge() -> Iterator[Judge]:
    """The types of the client that is installed beside the server."""
    found = Judge()
    yield found
    found.close()


# What the journeys met


def test_every_route_has_a_type_to_be_judged_by() -> None:
    published = [route for route in api.ROUTES if not route.path.startswith("/rota/")]  # what is ours, no client knows
    older = ("GET", "/v1/sessions/{session_id}/stream")  # which no client at hand calls any more
    assert {(route.method, route.path) for route in published} - {older} == set(OPERATIONS)


def test_every_response_fits_the_clients_types(story: Story) -> None:
    known = KNOWN_PROBLEMS[story.version]
    unexplained = [
        problem for problem in story.problems if not any(re.fullmatch(pattern, problem) for pattern in known)
    ]
    assert unexplained == []
    assert sum(story.checked.values()) == len(story.requests)


def test_every_known_problem_is_still_one(story: Story) -> None:
    for pattern in KNOWN_PROBLEMS[story.version]:
        assert any(re.fullmatch(pattern, problem) for problem in story.problems)


def test_every_key_that_a_client_does_not_know_is_justified(story: Story) -> None:
    assert set(story.unknown) == set(KNOWN_KEYS[story.version])


def test_every_route_that_a_version_can_call_has_answered(story: Story) -> None:
    assert (set(story.members) - NEVER_ANSWERED) | {"error", "memory error"} == set(story.checked)
    younger = ("organization.", "beta.organization.") if story.version == "0.121.0" else ()
    assert set(story.members) == {member for member in OPERATIONS.values() if not member.startswith(younger)}


# That the judgement can fail


def places(value: Any, where: tuple[str | int, ...] = ()) -> Iterator[tuple[str | int, ...]]:
    """The path of every key in a body, all the way down, except in maps whose keys are the user's."""
    if isinstance(value, dict):
        for key, item in value.items():
            yield (*where, key)
            if key not in ("metadata", "input_schema", "tags"):
                yield from places(item, (*where, key))
    elif isinstance(value, list):
        for index, item in enumerate(value[:3]):
            yield from places(item, (*where, index))


def changed(body: Any, where: tuple[str | int, ...], *value: Any) -> bytes:
    """The body with the key at a place set to a value, or taken out if there is none."""
    copy = deepcopy(body)
    inner = copy
    for step in where[:-1]:
        inner = inner[step]
    if value:
        inner[where[-1]] = value[0]
    else:
        del inner[where[-1]]
    return json.dumps(copy).encode()


def test_good_bodies_pass(judge: Judge, newest_samples: dict[str, str]) -> None:
    assert set(newest_samples) == set(judge.members()) - DOWNLOADS - STREAMS - NEVER_ANSWERED | {
        "error",
        "memory error",
    }
    for operation, raw in newest_samples.items():
        assert judge.judge(operation, raw.encode()).problems == []


OPTIONAL = [
    r".*: (.+\.)?packages\.type",
    r".*: (.+\.)?configs\.(allowed_domains|blocked_domains|max_content_tokens|url_sources|user_location)",
    r".*: (.+\.)?user_location\.(city|country|region|timezone)",
    r".*: (.+\.)?resources\.checkout",
    r"beta\.sessions\.resources\.\w+: (data\.)?checkout",
    r"(beta\.sessions\.resources\.list: data|beta\.sessions\.\w+: (data\.)?resources)\.instructions",
    r"beta\.deployments\.\w+: (data\.)?budget",
    r"beta\.memory_stores\.\w+: (data\.)?archived_at",
    r"beta\.memory_stores\.memories\.list: prefixes",
    r"beta\.vaults\.credentials\.\w+: (data\.)?auth\.expires_at",
    r"beta\.environments\.work\.\w+: (data\.)?secret",
    r"beta\.environments\.work\.\w+: (data\.)?(acknowledged|latest_heartbeat|started|stop_requested|stopped)_at",
    r"beta\.environments\.work\.stats: (oldest_queued_at|workers_polling)",
]
"""Keys that the contract lets be absent where they say nothing."""


def test_an_absent_key_is_found(judge: Judge, newest_samples: dict[str, str]) -> None:
    missed = set()
    for operation, raw in newest_samples.items():
        body = json.loads(raw)
        for where in places(body):
            if not judge.judge(operation, changed(body, where)).problems:
                missed.add(f"{operation}: {'.'.join(step for step in where if isinstance(step, str))}")
    assert [each for each in missed if not any(re.fullmatch(pattern, each) for pattern in OPTIONAL)] == []
    assert [pattern for pattern in OPTIONAL if not any(re.fullmatch(pattern, each) for each in missed)] == []


def test_a_value_of_another_kind_is_found(judge: Judge, newest_samples: dict[str, str]) -> None:
    missed = set()
    for operation, raw in newest_samples.items():
        body = json.loads(raw)
        for where in places(body):
            value: Any = body
            for step in where:
                value = value[step]
            wrong = 5.5 if value is None or isinstance(value, str) else "odd"
            if not judge.judge(operation, changed(body, where, wrong)).problems:
                missed.add((operation, where[-1]))
    assert missed == {("beta.memory_stores.memories.list", "prefixes")}, "which no version of the client knows"


def test_a_word_that_is_not_in_the_list_is_found(judge: Judge, newest_samples: dict[str, str]) -> None:
    missed = set()
    for operation, raw in newest_samples.items():
        body = json.loads(raw)
        for where in places(body):
            if where[-1] in ("type", "status") and not judge.judge(operation, changed(body, where, "odd")).problems:
                missed.add(f"{operation}: {where}")
    assert missed == set()


def test_a_key_that_the_client_does_not_know_is_found(judge: Judge, newest_samples: dict[str, str]) -> None:
    for operation, raw in newest_samples.items():
        verdict = judge.judge(operation, changed(json.loads(raw), ("colour",), "red"))
        assert any(key.endswith(".colour") for key in verdict.unknown), operation
