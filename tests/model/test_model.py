"""Random histories of deployments, runs, sessions, agents, environments, workspaces and organizations, on both databases."""

from functools import partial
from pathlib import Path

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis.stateful import run_state_machine_as_test

from rota.base.clock import HandClock
from rota.store.db import is_sqlite
from tests.api import Api
from tests.databases import relax
from tests.model.machine import Machine

BRIEF = settings(
    max_examples=25,
    stateful_step_count=40,
    deadline=None,
    database=None,
    derandomize=True,
    print_blob=False,
    suppress_health_check=list(HealthCheck),
    phases=[Phase.generate, Phase.shrink],
)
"""The share that every test run pays for; ``python -m tests.model.prove`` goes on for as long as it is told."""


@pytest.mark.slow
def test_the_server_does_what_the_model_predicts(database_url: str, tmp_path: Path, clock: HandClock) -> None:
    if not is_sqlite(database_url):
        relax(database_url)
    with Api(database_url, tmp_path, clock, sqlite_synchronous="NORMAL") as api:
        run_state_machine_as_test(partial(Machine, api), settings=BRIEF)
