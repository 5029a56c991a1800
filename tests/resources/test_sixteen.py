"""The sixteen run errors, each for real and two at a time: a healthy deployment, something broken through the API, a run.

What is walked is the table in the code: a type that nobody can break here fails the first test.
"""

from collections.abc import Iterator
from itertools import combinations
from pathlib import Path
from typing import Any, get_args

import pytest

from rota.base.clock import HandClock
from rota.resources.deployment_runs.wire import ErrorType
from rota.resources.deployments.failures import FAILURES, PRECEDENCE, to_run_error
from rota.resources.sessions import refusals
from tests.api import Api
from tests.conftest import START
from tests.resources.scenes import (
    BREAKS,
    BY_TYPE,
    NO_FAULT,
    Break,
    Scene,
    count_rows,
    run_sql,
    set_disabled,
    to_next_minute,
)

Json = dict[str, Any]
FORESEEN = [each for each in BREAKS if each.type != "unknown_error"]


def test_the_table_has_each_of_the_sixteen_and_a_way_to_break_it() -> None:
    assert set(PRECEDENCE) == set(get_args(ErrorType)) == set(BY_TYPE)
    assert len(PRECEDENCE) == 16
    reasons = [row["refusal"] if isinstance(row, dict) else row.refusal for row in FAILURES.values()]  # type: ignore[attr-defined]
    assert set(reasons) == {*get_args(refusals.SessionRefusal), None}
    assert [kind for kind, row in FAILURES.items() if not row.pauses] == [  # type: ignore[attr-defined]
        "session_rate_limited_error",
        "session_creation_rejected_error",
    ]


def test_a_reason_comes_to_the_row_that_names_its_class() -> None:
    examples = [
        refusals.OrganizationDisabled(), refusals.WorkspaceArchived(), refusals.AgentArchived("a"),
        refusals.EnvironmentNotFound("e"), refusals.EnvironmentArchived("e"),
        refusals.SelfHostedResourcesUnsupported(["file"]), refusals.VaultNotFound("v"), refusals.VaultArchived("v"),
        refusals.FileNotFound(["f"]), refusals.MemoryStoreArchived("m"), refusals.MemoryStoreNotFound("m"),
        refusals.SkillNotFound("s", None), refusals.McpEgressBlocked([("n", "h")]),
        refusals.CreationRejected("no", "tools"), refusals.SessionRateLimited(5, 7),
    ]  # fmt: skip
    assert {type(example) for example in examples} == set(get_args(refusals.SessionRefusal))
    for example in examples:
        error = to_run_error(example)
        assert FAILURES[error.type].refusal is type(example)
        assert len(error.message) > 1


@pytest.fixture
def strict_api(database_url: str, tmp_path: Path, clock: HandClock) -> Iterator[Api]:
    """A house on each kind of database in which an organization may make one session a minute."""
    with Api(database_url, tmp_path, clock, rate_limit_sessions_per_minute=1) as client:
        yield client


@pytest.mark.parametrize("broken", BREAKS, ids=lambda broken: broken.type)
def test_a_broken_thing_is_recorded_leaves_nothing_behind_and_can_be_mended(strict_api: Api, broken: Break) -> None:
    scene = Scene(strict_api)
    assert_healthy(scene)
    first = scene.fire()
    assert first["error"] is None
    assert "which is running now" in scene.explain(first)["meaning"]

    to_next_minute(strict_api)
    broken.by(scene)
    about = broken.about(scene)
    message = broken.message.format(**vars(scene))
    foreseen = scene.check()
    shown, before = scene.show(), count_rows(strict_api)
    response = scene.call("POST", f"/v1/deployments/{scene.deployment}/run")
    run = response.ok()
    assert response.status == 200
    assert run["session_id"] is None
    assert run["error"]["type"] == broken.type
    assert run["error"]["message"].startswith(message)
    assert count_rows(strict_api) == before | {"deployment_runs": before["deployment_runs"] + 1}
    assert scene.show() == shown, "a run by hand neither pauses nor touches the deployment"
    assert scene.call("GET", f"/v1/deployment_runs/{run['id']}").ok() == run

    if broken.type != "unknown_error":  # which a dry run cannot foresee
        assert foreseen["error"] == run["error"]
        [line] = [each for each in foreseen["checks"] if each["verdict"] == "broken"]
        assert (line["what"], line["id"]) == about
        assert (line["error"], line["recorded"]) == (broken.type, True)
        assert line["mend"]
    told = scene.explain(run)
    assert (told["error"], told["session_id"]) == (run["error"], None)
    assert told["meaning"]
    assert told["pauses_schedule"] == FAILURES[broken.type].pauses
    assert told["still_broken"] == (broken.type != "unknown_error")

    if broken.mend is None:
        return
    broken.mend(scene)
    to_next_minute(strict_api)
    assert_healthy(scene)
    told = scene.explain(run)
    assert (told["still_broken"], told["mend"], told["checks"]) == (False, None, [])
    good = scene.fire()
    assert good["error"] is None
    assert scene.call("GET", f"/v1/sessions/{good['session_id']}").ok()["deployment_id"] == scene.deployment


def assert_healthy(scene: Scene) -> None:
    before = count_rows(scene.api)
    check = scene.check()
    assert (check["outcome"], check["error"]) == ("session", None)
    assert {each["verdict"] for each in check["checks"]} == {"ok"}
    assert count_rows(scene.api) == before


@pytest.fixture(scope="module")
def pair_api(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Api]:
    """One such house for all the pairs."""
    folder = tmp_path_factory.mktemp("pairs")
    with Api(f"sqlite:///{folder / 'rota.db'}", folder, HandClock(START), rate_limit_sessions_per_minute=1) as client:
        yield client


PAIRS = [pair for pair in combinations(BREAKS, 2) if not pair[0].takes & pair[1].takes]


def test_nearly_all_pairs_can_be() -> None:
    assert len(PAIRS) == 120 - 4


@pytest.mark.parametrize("pair", PAIRS, ids=lambda pair: f"{pair[0].type}+{pair[1].type}")
def test_of_two_broken_things_the_one_that_ranks_first_is_recorded_and_both_are_shown(
    pair_api: Api, pair: tuple[Break, Break]
) -> None:
    scene = Scene(pair_api)
    to_next_minute(pair_api)
    try:
        for broken in sorted(pair, key=lambda broken: broken.round):
            broken.by(scene)
        check, run = scene.check(), scene.fire()
    finally:
        set_disabled(scene, False)
        if BY_TYPE["unknown_error"] in pair:
            run_sql(pair_api, NO_FAULT["sqlite"])
    assert run["error"]["type"] == min((broken.type for broken in pair), key=PRECEDENCE.index)
    assert check["error"] == run["error"]
    shown = {each["error"] for each in check["checks"] if each["verdict"] == "broken"}
    assert shown == {broken.type for broken in pair} - {"unknown_error"}
    recorded = {each["error"] for each in check["checks"] if each["recorded"]}
    assert recorded == {run["error"]["type"]}
