"""Without isolation the tools still work, over paths that are put into this machine's; and it is only had by its name."""

from pathlib import Path

import pytest
import structlog

from rota.base.settings import Settings
from rota.runtime.sandbox import Mount, SandboxFailure, Spec
from rota.runtime.sandboxes.bubblewrap import Bubblewrap
from rota.runtime.sandboxes.open import open_sandbox
from rota.runtime.sandboxes.unsafe_local import UnsafeLocal
from tests.runtime.sandbox.boxes import bash, folders


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """Needs nothing of the machine."""
    return tmp_path


async def test_paths_of_the_box_work_as_well_as_they_can(place: Path) -> None:
    sandbox = UnsafeLocal()
    assert await sandbox.check() is None
    box = await sandbox.open(Spec(name="sesn_u", mounts=folders(place), environment={"GREETING": "hello"}))
    assert await bash(box, "pwd; echo $GREETING; ls /mnt/session/uploads") == "/workspace\nhello\ngiven.txt"
    assert await bash(box, "cat '/mnt/session/uploads/given.txt' > /workspace/copy; cat copy") == "given"
    assert (await box.call("read", {"file_path": "/mnt/session/uploads/given.txt"})).content[0]["text"] == "given\n"
    done = await box.call("write", {"file_path": "/mnt/session/outputs/r.txt", "content": "the text says /workspace"})
    assert done.content[0]["text"] == "wrote 24 bytes to /mnt/session/outputs/r.txt"
    assert (place / "outputs" / "r.txt").read_text() == "the text says /workspace"
    assert (await box.call("glob", {"pattern": "*"})).content[0]["text"] == "/workspace/copy"
    assert (await box.call("grep", {"pattern": "given"})).content[0]["text"] == "/workspace/copy:1:given"
    refused = await box.call("write", {"file_path": "/mnt/session/uploads/x", "content": ""})
    assert "read-only directory /mnt/session/uploads" in refused.content[0]["text"]
    assert (await box.call("read", {"file_path": "/etc/passwd"})).is_error
    assert await box.run(["ls", "/mnt/session/uploads"], seconds=20) == (0, "given.txt\n")
    assert box.outside("a/workspace /workspaces x=/workspace/y") == f"a/workspace /workspaces x={place}/workspace/y"
    await sandbox.close()
    with pytest.raises(SandboxFailure):
        await box.call("bash", {"command": "true"})


async def test_a_shell_needs_a_folder_to_begin_in(place: Path) -> None:
    with pytest.raises(SandboxFailure, match="nothing is mounted at /workspace"):
        await UnsafeLocal().open(Spec(name="sesn_u", mounts=(Mount(place, "/elsewhere", writable=True),)))


async def test_the_servers_environment_is_not_passed_on(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ROTA_MODEL_API_KEY", "sk-canary")
    sandbox = UnsafeLocal()
    box = await sandbox.open(Spec(name="sesn_u", mounts=folders(place)))
    assert "sk-canary" not in await bash(box, "env")
    await sandbox.close()


def test_it_is_only_had_by_its_name_and_loudly() -> None:
    with structlog.testing.capture_logs() as lines:
        assert isinstance(open_sandbox(Settings(sandbox="unsafe-local")), UnsafeLocal)
    assert [line["log_level"] for line in lines] == ["warning"]
    assert "WITHOUT any isolation" in lines[0]["sentence"]
    assert open_sandbox(Settings(sandbox="off")) is None


async def test_the_default_is_isolated(tmp_path: Path) -> None:
    try:
        sandbox = open_sandbox(Settings(data_dir=str(tmp_path)))
    except SandboxFailure as exc:
        pytest.skip(str(exc))
    assert isinstance(sandbox, Bubblewrap)
    assert "bubblewrap" in sandbox.describe()
    await sandbox.close()
