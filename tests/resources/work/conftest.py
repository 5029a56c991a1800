"""Offices: self-hosted environments with a key."""

import pytest

from tests.api import Api
from tests.resources.work.office import Office


@pytest.fixture
def office(api: Api) -> Office:
    """One on each kind of database."""
    return Office(api)


@pytest.fixture
def sqlite_office(sqlite_api: Api) -> Office:
    """One on SQLite only."""
    return Office(sqlite_api)
