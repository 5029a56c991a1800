"""A session's folders: what is in them, what survives what, and when they go."""

from tests.files import upload
from tests.runtime.workshop.scene import Scene


def test_files_outlive_turns_and_servers(scene: Scene) -> None:
    session = scene.session()
    scene.bash(session, "pwd > where; export LOST=1")
    assert scene.call(session, "read", file_path="/workspace/where").content[0]["text"].strip() == "/workspace"
    scene.end_turn(session)
    scene.restart()
    assert scene.bash(session, "cat where; echo ${LOST:-none}") == "/workspace\nnone"
    assert scene.call(session, "read", file_path="/workspace/where").content[0]["text"].strip() == "/workspace"


def test_outputs_become_files(scene: Scene) -> None:
    session = scene.session()
    scene.bash(
        session,
        "mkdir -p /mnt/session/outputs/deep; cd /mnt/session/outputs; printf one > a.txt; printf '{}' > deep/b.json",
    )
    outputs = scene.settle(session)
    assert sorted(outputs) == ["a.txt", "deep/b.json"]
    file = outputs["deep/b.json"]
    assert (file["mime_type"], file["size_bytes"], file["downloadable"]) == ("application/json", 2, True)
    assert file["scope"] == {"type": "session", "id": session.id}
    assert scene.content(outputs["a.txt"]) == b"one"
    assert scene.api.get("/v1/files").ok()["data"] == []


def test_uploads_are_there(scene: Scene) -> None:
    file = upload(scene.api, b"given\n", "data.csv")
    session = scene.session(resources=[{"type": "file", "file_id": file["id"], "mount_path": "/in/data.csv"}])
    assert scene.bash(session, "cat /mnt/session/uploads/in/data.csv") == "given"
