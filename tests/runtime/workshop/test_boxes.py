"""How long boxes live, what a model hears when one dies, and what goes with a session."""

import asyncio
from pathlib import Path
from typing import Any

import pytest

from rota.base.clock import HandClock
from rota.runtime.bench import CLEANINGS
from rota.runtime.sandbox import SandboxFailure
from rota.runtime.sandboxes.unsafe_local import UnsafeLocal
from tests.api import Api
from tests.files import upload
from tests.runtime.workshop.scene import Scene


@pytest.fixture
def opened(tmp_path: Path, clock: HandClock) -> Any:
    """A scene with settings of one's own."""
    scenes: list[tuple[Api, Scene]] = []

    def open_scene(**settings: Any) -> Scene:
        api = Api(f"sqlite:///{tmp_path / 'rota.db'}", tmp_path, clock, **settings).__enter__()
        try:
            scene = Scene(api)
        except SandboxFailure as exc:
            pytest.skip(str(exc))
        scenes.append((api, scene))
        return scene

    yield open_scene
    for api, scene in scenes:
        scene.close()
        api.__exit__()


def said(outcome: Any) -> str:
    assert outcome.is_error, outcome
    return outcome.content[0]["text"]


def folders(root: Path) -> list[str]:
    """The folders that are there, but for what the server keeps for itself."""
    return sorted(path.name for path in root.iterdir() if path.name != ".database")


def test_a_shell_lives_from_turn_to_turn(sqlite_scene: Scene) -> None:
    scene = sqlite_scene
    session = scene.session()
    scene.bash(session, "cd /tmp; export KEPT=yes; sleep 300 & echo $! > /workspace/pid")
    scene.end_turn(session)
    scene.api.run(scene.workshop.tidy())
    assert scene.bash(session, "pwd; echo $KEPT; kill -0 $(cat /workspace/pid) && echo alive") == "/tmp\nyes\nalive"


def test_an_idle_box_is_closed_and_a_used_one_is_not(opened: Any) -> None:
    scene = opened(sandbox_idle_seconds=0)
    idle, used = scene.session(), scene.session()
    for session in (idle, used):
        scene.bash(session, "cd /tmp; echo kept > /workspace/file")
    scene.end_turn(idle)
    scene.api.run(scene.workshop.tidy())
    assert scene.bash(used, "pwd") == "/tmp"
    assert scene.bash(idle, "pwd; cat file") == "/workspace\nkept"


def test_of_too_many_idle_boxes_the_longest_idle_go(opened: Any) -> None:
    scene = opened(max_idle_sandboxes=1)
    first, second = scene.session(), scene.session()
    for session in (first, second):
        scene.bash(session, "cd /tmp")
        scene.end_turn(session)
    scene.api.run(scene.workshop.tidy())
    assert (scene.bash(first, "pwd"), scene.bash(second, "pwd")) == ("/workspace", "/tmp")
    assert dict(next(scene.workshop.counts()).numbers) == {("used",): 2, ("idle",): 0}


def test_a_box_that_dies_under_a_call_is_replaced_and_the_model_hears_of_it(sqlite_scene: Scene) -> None:
    scene = sqlite_scene
    session = scene.session()
    scene.bash(session, "cd /tmp; echo kept > /workspace/file")
    box = scene.workshop._benches[session.id]._box

    async def work() -> Any:
        toolbox = await scene.workshop.open(session)
        call = asyncio.create_task(toolbox.call("bash", {"command": "touch /workspace/begun; sleep 1000"}))
        begun = scene.stock.folders.place(session.id).workspace / "begun"
        while not begun.exists():
            await asyncio.sleep(0.01)
        await box.close()
        return await call

    text = said(scene.api.run(work()))
    assert "The sandbox ended while this was running; it may have taken effect." in text
    assert "a new shell" in text
    assert scene.bash(session, "pwd; cat file") == "/workspace\nkept"


def test_a_box_that_died_between_two_calls_is_replaced_and_nothing_is_lost_but_the_shell(sqlite_scene: Scene) -> None:
    scene = sqlite_scene
    session = scene.session()
    scene.bash(session, "cd /tmp; echo kept > /workspace/file")
    scene.api.run(scene.workshop._benches[session.id]._box.close())
    outcome = scene.call(session, "bash", command="pwd; cat file")
    assert not outcome.is_error
    assert outcome.content[0]["text"] == "/workspace\nkept"
    assert "in a new shell" in outcome.content[1]["text"]


def test_a_call_that_is_given_up_stops(sqlite_scene: Scene) -> None:
    scene = sqlite_scene
    session = scene.session()
    scene.bash(session, "true")

    async def work() -> None:
        toolbox = await scene.workshop.open(session)
        call = asyncio.create_task(toolbox.call("bash", {"command": "touch begun; exec sleep 1000"}))
        begun = scene.stock.folders.place(session.id).workspace / "begun"
        while not begun.exists():
            await asyncio.sleep(0.01)
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call
        await toolbox.close()

    scene.api.run(work())
    assert scene.bash(session, "ls; pgrep -c sleep || true") == "begun\n0"


def test_a_full_disk_is_told_and_can_be_cleaned_up(opened: Any) -> None:
    scene = opened(sandbox_disk_mb=8)
    session = scene.session()
    fill = "for n in 1 2 3; do head -c 4M /dev/zero > big$n; done; sleep 60"
    outcome = scene.call(session, "bash", command=fill)
    assert outcome.is_error
    text = outcome.content[-1]["text"]
    assert "its folders hold 12 MB, and may hold 8" in text
    assert "delete what is not needed" in text
    assert scene.bash(session, "ls; rm big1 big2") == "big1\nbig2\nbig3"
    scene.restart_boxes()
    assert scene.bash(session, "ls") == "big3"


def test_a_disk_that_stays_full_is_the_end_of_it(opened: Any) -> None:
    scene = opened(sandbox_disk_mb=8)
    session = scene.session()
    workspace = scene.stock.folders.make(session.id).workspace
    (workspace / "big").write_bytes(bytes(10 << 20))
    for _ in range(CLEANINGS):
        assert scene.bash(session, "ls") == "big"
        scene.api.run(scene.workshop._benches[session.id].close())
    assert "Its sandbox stays closed" in said(scene.call(session, "bash", command="ls"))
    other = scene.session()
    (scene.stock.folders.make(other.id).workspace / "big").write_bytes(bytes(17 << 20))
    assert "Its sandbox stays closed" in said(scene.call(other, "bash", command="ls"))
    assert scene.bash(scene.session(), "echo fine") == "fine"


def test_a_folder_goes_with_its_session_at_once(sqlite_scene: Scene) -> None:
    scene = sqlite_scene
    kept, deleted = scene.session(), scene.session()
    for session in (kept, deleted):
        scene.bash(session, "mkdir closed; touch closed/x; chmod 0 closed")
        scene.end_turn(session)
    root = scene.folder / "sessions"
    assert folders(root) == sorted([kept.id, deleted.id])

    async def work() -> None:
        scene.workshop.start()
        response = await scene.api.call("DELETE", f"/v1/sessions/{deleted.id}")
        assert response.status == 200
        async with asyncio.timeout(30):
            while len(folders(root)) > 1:
                await asyncio.sleep(0.01)
        await scene.workshop.stop()

    scene.api.run(work())
    assert folders(root) == [kept.id]


def test_what_another_process_deleted_goes_with_the_housekeeping(scene: Scene) -> None:
    kept, deleted, archived = scene.session(), scene.session(), scene.session()
    for session in (kept, deleted, archived):
        scene.stock.folders.make(session.id)
    (scene.folder / "sessions" / f".gone-{kept.id}-0").mkdir()  # a removal that was killed
    scene.api.delete(f"/v1/sessions/{deleted.id}").ok()
    scene.api.post(f"/v1/sessions/{archived.id}/archive").ok()
    chore = next(each for each in scene.workshop.chores if "gone" in each.name)
    tools: Any = None
    assert scene.api.run(chore.run(tools)) == 1
    assert scene.api.run(chore.run(tools)) == 0
    assert folders(scene.folder / "sessions") == sorted([kept.id, archived.id])


def test_a_server_with_another_database_removes_nothing(tmp_path: Path, clock: HandClock) -> None:
    made: list[str] = []
    for name in ("one", "other"):
        with Api(f"sqlite:///{tmp_path / name}.db", tmp_path, clock) as api:
            scene = Scene(api, UnsafeLocal())
            session = scene.session()
            scene.stock.folders.make(session.id)
            made.append(session.id)
            assert api.run(scene.workshop.sweep()) == 0
            scene.close()
    assert folders(tmp_path / "sessions") == sorted(made)


def test_outputs_are_published_while_a_session_works_and_trouble_is_told_once(sqlite_scene: Scene) -> None:
    scene = sqlite_scene
    session = scene.session()
    outcome = scene.call(session, "bash", command="cd /mnt/session/outputs; echo 1 > a; ln -s /etc/passwd b; echo done")
    assert [block["text"] for block in outcome.content] == [
        "done",
        '/mnt/session/outputs: "b" is not handed to the user: it is a link.',
    ]
    assert list(scene.outputs(session)) == ["a"]
    again = scene.call(session, "bash", command="echo done")
    assert [block["text"] for block in again.content] == ["done"]


def test_sessions_cannot_see_each_other(sqlite_scene: Scene) -> None:
    scene = sqlite_scene
    file = upload(scene.api, b"theirs")
    one = scene.session(resources=[{"type": "file", "file_id": file["id"], "mount_path": "/x"}])
    other = scene.session()
    scene.bash(one, "echo secret > /workspace/s; echo secret > /mnt/session/outputs/s")
    told = scene.bash(
        other,
        f"find / -name s -newer /etc/hostname -type f 2>/dev/null; ls /mnt/session/uploads; ls {scene.folder} 2>&1; true",
    )
    assert "secret" not in told
    assert "No such file" in told
