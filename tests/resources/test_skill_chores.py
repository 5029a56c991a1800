"""Archives that no row names are collected, and no others."""

from typing import Any

from rota.api import CHORES
from rota.queue.chore import Tools
from rota.resources.skills import chores
from rota.resources.skills.uploads import PREFIX
from tests.api import Api
from tests.conftest import START
from tests.resources.skills import skill, version


def collect(api: Api) -> int:
    """Do the chore once."""
    return api.run(chores.collect(Tools(db=api.house.db, blobs=api.house.blobs, policy=api.house.app.policy)))


def lose(api: Api, prefix: str = PREFIX) -> str:
    """Write an archive and no row, as a crash would leave it."""

    async def write() -> str:
        async with api.house.blobs.write(prefix) as writer:
            await writer.write(b"lost")
            return (await writer.finish()).location

    return api.run(write())


def kept(api: Api, prefix: str = PREFIX) -> set[str]:
    """All archives that are there."""

    async def look() -> set[str]:
        return {each async for each in api.house.blobs.orphans(prefix, older_than=START * 2)}

    return api.run(look())


def test_the_chore_is_on_the_list() -> None:
    assert chores.COLLECT in CHORES


def test_an_archive_without_a_row_goes_when_it_is_old_enough(api: Api) -> None:
    made = skill(api)
    version(api, made)
    named = kept(api)
    lost = {lose(api), lose(api)}
    elsewhere = lose(api, "files")
    api.clock.advance(seconds=3600)
    assert collect(api) == 0
    assert kept(api) == named | lost
    api.clock.advance(seconds=1)
    assert collect(api) == 2
    assert kept(api) == named
    assert kept(api, "files") == {elsewhere}
    assert collect(api) == 0
    assert api.get(f"/v1/skills/{made['id']}/versions/{made['latest_version_id']}/content").status == 200


def test_more_than_one_look_into_the_table_takes(api: Api, monkeypatch: Any) -> None:
    monkeypatch.setattr(chores, "_AT_ONCE", 2)
    for _ in range(2):
        skill(api)
    named = kept(api)
    for _ in range(5):
        lose(api)
    api.clock.advance(seconds=4000)
    assert collect(api) == 5
    assert kept(api) == named


def test_what_could_not_be_removed_with_its_row_is_collected(api: Api, monkeypatch: Any) -> None:
    from rota.base.errors import Unavailable

    made = skill(api)
    real = api.house.blobs.remove

    async def away(_: str) -> None:
        raise Unavailable("the place is away")

    monkeypatch.setattr(api.house.blobs, "remove", away)
    api.delete(f"/v1/skills/{made['id']}").ok()
    assert len(kept(api)) == 1
    monkeypatch.setattr(api.house.blobs, "remove", real)
    api.clock.advance(seconds=4000)
    assert collect(api) == 1
    assert kept(api) == set()
