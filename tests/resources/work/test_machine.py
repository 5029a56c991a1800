"""Whatever clients, engine, workers and operators do, and whenever workers die, no work is lost and none is done by two."""

from tests.api import Api
from tests.resources.work.machine import play


def test_no_work_is_lost_and_none_is_in_two_hands(lasting_api: Api) -> None:
    play(lasting_api, examples=8 if lasting_api.house.db.name == "sqlite" else 3, steps=25)
