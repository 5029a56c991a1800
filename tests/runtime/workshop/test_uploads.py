"""Files that users have given a session: where they are, when, and that nobody in a box can change them."""

from pathlib import Path
from typing import Any

from rota.base.clock import HandClock
from rota.runtime.sandboxes.unsafe_local import UnsafeLocal
from tests.api import Api
from tests.files import upload
from tests.runtime.workshop.scene import Scene

UPLOADS = "/mnt/session/uploads"


def resource(file: dict[str, Any], mount_path: str | None = None) -> dict[str, Any]:
    """A file as it is attached."""
    return {"type": "file", "file_id": file["id"], **({"mount_path": mount_path} if mount_path else {})}


def test_files_come_and_go_between_two_calls(scene: Scene) -> None:
    one, two = upload(scene.api, b"one"), upload(scene.api, b"two")
    session = scene.session(resources=[resource(one), resource(one, "/in/a b/copy.csv")])
    assert scene.bash(session, f"cat {UPLOADS}/{one['id']} '{UPLOADS}/in/a b/copy.csv'") == "oneone"
    path = f"/v1/sessions/{session.id}/resources"
    added = scene.api.post(path, resource(two, "/later.txt")).ok()
    assert scene.bash(session, f"cat {UPLOADS}/later.txt") == "two"
    scene.api.delete(f"{path}/{added['id']}").ok()
    assert scene.bash(session, f"cd {UPLOADS}; find . -type f | sort") == f"./{one['id']}\n./in/a b/copy.csv"
    scene.api.delete(f"/v1/files/{one['id']}").ok()  # the session has a copy of its own
    scene.end_turn(session)
    scene.restart()
    assert scene.bash(session, f"cat {UPLOADS}/{one['id']}") == "one"


def test_nobody_in_a_box_changes_them(sqlite_scene: Scene) -> None:
    scene = sqlite_scene
    file = upload(scene.api, b"as it was")
    session = scene.session(resources=[resource(file, "/x")])
    other = scene.session(resources=[resource(file, "/x")])
    tries = (
        f"echo changed > {UPLOADS}/x; echo changed >> {UPLOADS}/x; rm -f {UPLOADS}/x; mv {UPLOADS}/x {UPLOADS}/y; touch {UPLOADS}/new;"
        f"chmod 777 {UPLOADS}/x; ln {UPLOADS}/x /workspace/linked && echo changed > /workspace/linked; truncate -s 0 {UPLOADS}/x; true"
    )
    scene.bash(session, tries)
    assert scene.call(session, "write", file_path=f"{UPLOADS}/x", content="changed").is_error
    assert scene.bash(session, f"cat {UPLOADS}/x; ls {UPLOADS} /workspace") == f"as it was{UPLOADS}:\nx\n\n/workspace:"
    assert scene.bash(other, f"cat {UPLOADS}/x") == "as it was"


def test_the_bytes_are_on_this_machine_once(sqlite_scene: Scene, clock: HandClock) -> None:
    scene = sqlite_scene
    file = upload(scene.api, b"shared")
    sessions = [scene.session(resources=[resource(file, "/x"), resource(file, "/y")]) for _ in range(3)]
    for session in sessions:
        scene.bash(session, "true")
    kept = list((scene.folder / "uploads").iterdir())
    assert [path.stat().st_nlink for path in kept] == [1 + 6]
    for session in sessions:
        scene.end_turn(session)
        scene.api.delete(f"/v1/sessions/{session.id}").ok()
    scene.api.run(scene.workshop.sweep())
    clock.advance(seconds=1800)
    assert scene.stock.uploads.clear(clock.now()) == 0
    clock.advance(seconds=3600)
    assert scene.stock.uploads.clear(clock.now()) == 1
    assert list((scene.folder / "uploads").iterdir()) == []


def test_a_place_that_no_file_system_has_is_told(sqlite_scene: Scene) -> None:
    scene = sqlite_scene
    file = upload(scene.api, b"x")
    session = scene.session(resources=[resource(file, "/" + "n" * 300), resource(file, "/good")])
    outcome = scene.call(session, "bash", command=f"cat {UPLOADS}/good")
    texts = [block["text"] for block in outcome.content]
    assert texts[0] == "x"
    assert texts[1] == f"{UPLOADS}/{'n' * 300} is not there: File name too long."


def test_a_large_file_is_streamed(tmp_path: Path, clock: HandClock) -> None:
    """The arranging holds a few pieces in memory at a time: measured by what the process may grow."""
    import resource as limits

    size = 96 << 20
    with Api(f"sqlite:///{tmp_path / 'rota.db'}", tmp_path, clock) as api:
        scene = Scene(api, UnsafeLocal())
        file = api.post("/v1/files", form=[_zeros(size)]).ok()
        session = scene.session(resources=[resource(file, "/x")])
        before = limits.getrusage(limits.RUSAGE_SELF).ru_maxrss
        scene.bash(session, "true")
        grown = limits.getrusage(limits.RUSAGE_SELF).ru_maxrss - before
        assert (scene.folder / "sessions" / session.id / "uploads" / "x").stat().st_size == size
        assert grown < 48 << 10, f"{grown >> 10} MB"
        scene.close()


def _zeros(size: int) -> Any:
    from tests.forms import file

    return file(bytes(size), "zeros.bin")
