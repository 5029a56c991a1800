"""The official worker's own code, with this server as the other side: skills reach its disk, memories go to and fro."""

from pathlib import Path

import pytest

from tests.acceptance import sdks
from tests.acceptance.server import KEY, Server

GREETING = "---\nname: greeting\ndescription: Greets whoever asks.\n---\nSay {}.\n"


@pytest.mark.slow
@pytest.mark.parametrize("version", sdks.VERSIONS)
def test_a_session_is_made_ready_on_a_workers_disk(version: str, shared_server: Server, tmp_path: Path) -> None:
    given = {"url": shared_server.url, "key": KEY, "version": version, "folder": str(tmp_path)}
    told = sdks.run(version, "worker_files.py", given)
    newest, first = told["skills"]["newest"], told["skills"]["first"]
    assert newest["made"] == first["made"] == ["greeting"]
    assert newest["files"] == {"skills/greeting/SKILL.md": GREETING.format("goodbye")}
    assert first["files"] == {
        "skills/greeting/SKILL.md": GREETING.format("hello"),
        "skills/greeting/scripts/greet.sh": "#!/bin/sh\necho hello\n",
    }
    if version == sdks.VERSIONS[0]:  # it has no code for memories yet
        assert "memories" not in told
        return
    memories = told["memories"]
    assert memories["mount_path"] == "/mnt/memory/notes"
    names = ("both", "deep/er/gone", "kept", "mine", "theirs")
    assert memories["downloaded"] == {f"{name}.md": f"The first /{name}.md" for name in names}
    assert memories["here"] == {
        "both.md": "Changed there",
        "kept.md": "The first /kept.md",
        "mine.md": "Changed here",
        "new/one.md": "Made here",
        "theirs.md": "Changed there",
    }
    assert memories["there"] == {f"/{name}": text for name, text in memories["here"].items()}
