"""What becomes of what a session leaves under its outputs folder. The folder is written to directly; no box is needed."""

import asyncio
import os
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from rota.base.clock import HandClock
from rota.queue import objects
from rota.queue.chore import Tools
from rota.resources.files import content
from rota.resources.files import outputs as files
from rota.resources.sessions.turns import TurnSession
from rota.runtime.outputs import harvest
from rota.runtime.sandboxes.unsafe_local import UnsafeLocal
from tests.api import Api
from tests.conftest import START
from tests.runtime.workshop.scene import Scene


@pytest.fixture
def scene(api: Api) -> Iterator[Scene]:
    made = Scene(api, UnsafeLocal())
    yield made
    made.close()


def folder(scene: Scene, session: TurnSession) -> Path:
    """The session's outputs folder."""
    return scene.stock.folders.make(session.id).outputs


def stored(scene: Scene) -> int:
    """How many objects are kept, once what is buried has been removed."""
    api = scene.api

    async def look() -> int:
        await objects.clear(Tools(db=api.house.db, blobs=api.house.blobs, policy=api.house.app.policy))
        return len([each async for each in api.house.blobs.orphans(content.PREFIX, older_than=START * 2)])

    return api.run(look())


def test_what_is_rewritten_takes_the_place_of_the_old(scene: Scene) -> None:
    session = scene.session()
    path = folder(scene, session) / "report.md"
    path.write_text("first")
    first = scene.settle(session)["report.md"]
    path.write_text("second")
    second = scene.settle(session)["report.md"]
    assert first["id"] != second["id"]
    assert scene.content(second) == b"second"
    scene.api.get(f"/v1/files/{first['id']}").refused(404, "not_found_error")
    assert stored(scene) == 1


def test_what_has_not_changed_stays_what_it_is(scene: Scene) -> None:
    session = scene.session()
    path = folder(scene, session) / "report.md"
    path.write_text("same")
    first = scene.settle(session)
    assert scene.settle(session) == first
    os.utime(path, ns=(1, 1))
    assert scene.settle(session) == first
    path.unlink()
    path.write_text("same")
    assert scene.settle(session) == first
    scene.restart()
    assert scene.settle(session) == first
    assert stored(scene) == 1


def test_what_is_deleted_in_the_sandbox_stays_published(scene: Scene) -> None:
    session = scene.session()
    path = folder(scene, session) / "report.md"
    path.write_text("the result")
    first = scene.settle(session)
    path.unlink()
    assert scene.settle(session) == first
    assert scene.content(first["report.md"]) == b"the result"


def test_what_a_user_deleted_does_not_come_back_by_itself(scene: Scene) -> None:
    session = scene.session()
    path = folder(scene, session) / "report.md"
    path.write_text("unwanted")
    file = scene.settle(session)["report.md"]
    scene.api.delete(f"/v1/files/{file['id']}").ok()
    assert scene.settle(session) == {}
    scene.restart()
    assert scene.settle(session) == {}
    path.write_text("new")
    assert scene.content(scene.settle(session)["report.md"]) == b"new"


def test_many_files_and_the_same_bytes(scene: Scene) -> None:
    session = scene.session()
    place = folder(scene, session)
    for number in range(70):
        (place / f"{number:02}").write_text(str(number // 2))
    outputs = scene.settle(session)
    assert sorted(outputs) == [f"{number:02}" for number in range(70)]
    assert scene.content(outputs["07"]) == scene.content(outputs["06"]) == b"3"
    assert stored(scene) == 35
    assert scene.settle(session) == outputs


def test_outputs_go_with_their_session(scene: Scene) -> None:
    session = scene.session()
    (folder(scene, session) / "a").write_text("a")
    scene.settle(session)
    scene.api.delete(f"/v1/sessions/{session.id}").ok()
    assert scene.settle(session) == {}  # a turn that has not heard of it yet
    assert scene.api.read(files.published, session.id) == {}
    assert stored(scene) == 0


def test_who_was_fenced_off_publishes_nothing(scene: Scene) -> None:
    session = scene.session()
    (folder(scene, session) / "a").write_text("a")
    assert scene.settle(msgspec.structs.replace(session, epoch=7)) == {}
    assert stored(scene) == 0
    assert list(scene.settle(session)) == ["a"]


def test_two_at_once_publish_once(scene: Scene) -> None:
    """As when a server that was thought dead goes on: both look at the same folder at the same time."""
    session = scene.session()
    for number in range(5):
        (folder(scene, session) / f"{number}").write_text(f"{number}")
    house = scene.api.house

    async def work() -> None:
        await asyncio.gather(
            *(
                harvest(session, folder(scene, session), house.db, house.blobs, house.app.policy, 1 << 30)
                for _ in range(4)
            )
        )

    scene.api.run(work())
    assert sorted(scene.outputs(session)) == ["0", "1", "2", "3", "4"]
    assert stored(scene) == 5


def small(url: str, tmp_path: Path, clock: HandClock, **settings: int) -> Api:
    return Api(url, tmp_path, clock, **settings)


def test_what_the_workspace_may_not_keep_is_named(database_url: str, tmp_path: Path, clock: HandClock) -> None:
    with small(database_url, tmp_path, clock, max_workspace_storage_mb=1) as api:
        scene = Scene(api, UnsafeLocal())
        session = scene.session()
        place = folder(scene, session)
        (place / "a").write_bytes(b"a" * 700_000)
        (place / "b").write_bytes(b"b" * 700_000)
        troubles = api.run(harvest(session, place, api.house.db, api.house.blobs, api.house.app.policy, 1 << 30))
        assert list(troubles) == ['"b"']
        assert troubles['"b"'].startswith("the workspace's files may have 1 MB together")
        assert list(scene.outputs(session)) == ["a"]
        assert stored(scene) == 1
        scene.close()


def test_there_is_room_for_so_many_bytes_and_leftovers_make_way(
    database_url: str, tmp_path: Path, clock: HandClock
) -> None:
    with small(database_url, tmp_path, clock, sandbox_disk_mb=1) as api:
        scene = Scene(api, UnsafeLocal())
        session = scene.session()
        place = folder(scene, session)
        (place / "a").write_bytes(b"a" * 700_000)
        assert list(scene.settle(session)) == ["a"]
        (place / "b").write_bytes(b"b" * 700_000)
        assert list(scene.settle(session)) == ["a"]
        (place / "a").unlink()
        assert list(scene.settle(session)) == ["b"]
        assert stored(scene) == 1
        scene.close()
