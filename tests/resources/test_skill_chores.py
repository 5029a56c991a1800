"""Archives that no row names are removed, and no others."""

from rota.api import CHORES
from rota.base.errors import Unavailable
from rota.resources.skills import actions, chores
from rota.resources.skills.bundle import Bundle
from rota.resources.skills.uploads import PREFIX
from rota.store.blob import Written
from tests.api import Api
from tests.resources.skills import archives, form, skill, tools, upload, version
from tests.resources.test_skill_archives import packed
from tests.resources.zips import manifest
from tests.resources.zips import skill as archive_of


def lose(api: Api, prefix: str = PREFIX) -> Written:
    """Write an archive and no row, as a crash would leave it."""

    async def write() -> Written:
        async with api.house.blobs.write(prefix) as writer:
            await writer.write(b"lost")
            return await writer.finish()

    return api.run(write())


def collect(api: Api) -> int:
    """Do the chore once."""
    return api.run(chores.collect(tools(api)))


def test_the_chore_is_on_the_list() -> None:
    assert set(chores.CHORES) <= set(CHORES)


def test_an_archive_without_a_row_goes_when_it_is_old_enough(api: Api) -> None:
    made = skill(api)
    version(api, made)
    named = archives(api)
    lost = {lose(api).location, lose(api).location}
    elsewhere = lose(api, "files").location
    api.clock.advance(seconds=3600)
    assert collect(api) == 0
    assert archives(api) == named | lost
    api.clock.advance(seconds=1)
    assert collect(api) == 2
    assert archives(api) == named
    assert archives(api, "files") == {elsewhere}
    assert collect(api) == 0
    content = api.get(f"/v1/skills/{made['id']}/versions/{made['latest_version_id']}/content")
    assert content.status == 200


def test_a_row_that_comes_after_its_archive_was_taken_for_lost_is_refused(api: Api) -> None:
    bundle: Bundle = packed(archive_of())
    bundle.file.close()
    late = lose(api)
    api.clock.advance(seconds=4000)
    assert collect(api) == 1
    try:
        api.write(lambda tx: actions.create(tx, api.who, None, bundle, late, api.house.app.policy, dated=False))
    except Unavailable:
        pass
    else:
        raise AssertionError("a row names an archive that is about to be removed")
    assert api.get("/v1/skills").ok()["data"] == []


def test_a_replayed_upload_leaves_an_archive_that_is_collected(api: Api) -> None:
    for _ in range(2):
        api.post("/v1/skills", form=form(), headers={"idempotency-key": "once"}).ok()
    assert len(archives(api)) == 2
    api.clock.advance(seconds=4000)
    assert collect(api) == 1
    assert len(archives(api)) == 1


def test_a_refused_upload_is_removed_at_once(api: Api) -> None:
    made = skill(api)
    assert len(archives(api)) == 1
    upload(api, ("other/SKILL.md", manifest("other")), to=f"/v1/skills/{made['id']}/versions").refused(400)
    assert len(archives(api)) == 1
