"""How a box comes about: one program, one interpreter that loads little, and nothing left of what was not wanted (decision 48)."""

import asyncio
import json
import os
import signal
import subprocess
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from rota.runtime.sandbox import SandboxFailure, Spec
from rota.runtime.sandboxes import binary
from rota.runtime.sandboxes.bubblewrap import Bubblewrap
from rota.runtime.sandboxes.inside import words
from tests.runtime.sandbox.boxes import bash, driver, folders, opened

ROOT = Path(__file__).parents[3]
LOADED = {
    "__future__", "_collections_abc", "_json", "_ctypes", "_socket", "_stat", "errno", "genericpath", "os", "os.path", "posix",
    "posixpath", "resource", "select", "stat", "time",
    *("rota", "rota.runtime", "rota.runtime.sandboxes", "rota.runtime.sandboxes.inside"),
    *(f"rota.runtime.sandboxes.inside.{name}" for name in ("files", "host", "loop", "paths", "shell", "words")),
}  # fmt: skip
"""What every box pays for before it is ready. A name more is a millisecond, or ten."""
_LOAD = """
import sys
before = set(sys.modules)
sys.path.append(sys.argv[1])
from rota.runtime.sandboxes.inside import host
host._hide()
loaded, refused = sorted(set(sys.modules) - before), []
for text in (b"", b"{", b"[1,]", b"1 2"):
    try:
        host.loads(text)
    except ValueError:
        refused.append(text.decode())
import json
print(json.dumps([loaded, refused]))
"""


def test_the_tool_host_loads_little() -> None:
    done = subprocess.run(
        [binary.interpreter().path, "-I", "-S", "-B", "-c", _LOAD, str(ROOT)],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    loaded, refused = json.loads(done.stdout)
    found = set(loaded)
    assert refused == ["", "{", "[1,]", "1 2"]  # without the rest of ``json`` too
    assert "rota.runtime.sandboxes.inside.host" in found
    assert found <= LOADED


def started(pid: int) -> list[int]:
    """The children of a process."""
    return [int(each) for each in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def program(pid: int) -> str:
    return Path(f"/proc/{pid}/cmdline").read_text().split("\0")[0]


def stage(sandbox: Bubblewrap) -> int:
    process = sandbox._starter._stage
    assert process is not None
    return process.pid


async def test_a_box_is_one_program_and_one_interpreter(place: Path) -> None:
    sandbox = driver()
    for name in ("one", "two"):
        (place / name).mkdir()
    async with opened(place / "one", sandbox=sandbox, name="one"):
        first = stage(sandbox)
        async with opened(place / "two", sandbox=sandbox, name="two"):
            assert stage(sandbox) == first
            boxes = started(first)
            assert len(boxes) == 2
            for box in boxes:
                assert Path(program(box)).name == "bwrap"
                (host,) = started(box)
                assert program(host) == sandbox._python.path
                assert started(host) == []
    assert started(first) == []
    await sandbox.close()


async def test_all_of_a_box_is_in_its_control_groups_when_it_is_ready(place: Path) -> None:
    sandbox = driver()
    if sandbox._cages.why_none is not None:
        pytest.skip(sandbox._cages.why_none)
    before = cages(sandbox)
    async with opened(place, sandbox=sandbox):
        (box,) = started(stage(sandbox))
        made = cages(sandbox) - before
        assert made
        for folder in made:
            assert {int(each) for each in (folder / "cgroup.procs").read_text().split()} == {box, *started(box)}
    await sandbox.close()


async def test_boxes_end_with_the_stage_and_the_next_has_another(place: Path) -> None:
    sandbox = driver()
    box = await sandbox.open(Spec(name="sesn_s", mounts=folders(place)))
    first = stage(sandbox)
    os.kill(first, signal.SIGKILL)
    await asyncio.wait_for(box._link.ended.wait(), 30)
    with pytest.raises(SandboxFailure, match="sesn_s has ended"):
        await box.call("bash", {"command": "true"})
    async with opened(place, sandbox=sandbox) as another:
        assert await bash(another, "echo alive") == "alive"
        assert stage(sandbox) != first
    await sandbox.close()


async def test_nothing_is_left_of_boxes_that_were_closed_or_given_up(place: Path) -> None:
    sandbox = driver()
    spec = Spec(name="sesn_g", mounts=folders(place))
    await (await sandbox.open(spec)).close()
    before, groups = descriptors(), cages(sandbox)
    for turns in (0, 1, 2, 3, 4, 5, 6, 8, 20):  # of the event loop, before it is given up
        opening = asyncio.create_task(sandbox.open(spec))
        for _ in range(turns):
            await asyncio.sleep(0)
        opening.cancel()
        with pytest.raises(asyncio.CancelledError):
            await opening
    await (await sandbox.open(spec)).close()
    await asyncio.gather(*sandbox._undoing)
    assert started(stage(sandbox)) == []
    assert descriptors() == before
    assert cages(sandbox) == groups
    await sandbox.close()


async def test_nothing_is_left_of_boxes_that_were_given_up_on_their_way(place: Path) -> None:
    """At every stage of it: a socket that is forgotten is a warning, and a warning fails a test."""
    sandbox = driver()
    spec = Spec(name="sesn_h", mounts=folders(place))
    loop = asyncio.get_running_loop()
    await (await sandbox.open(spec)).close()
    before, began = descriptors(), loop.time()
    await (await sandbox.open(spec)).close()
    took = loop.time() - began
    for share in range(1, 41):
        with suppress(TimeoutError):
            async with asyncio.timeout(took * share / 40):
                box = await sandbox.open(spec)
            await box.close()
    await asyncio.gather(*sandbox._undoing)
    assert started(stage(sandbox)) == []
    assert descriptors() == before
    await sandbox.close()


def descriptors() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


def cages(sandbox: Bubblewrap) -> set[Path]:
    parents = [*sandbox._cages._old.values(), *([sandbox._cages._new] if sandbox._cages._new else [])]
    return {found for parent in parents for found in parent.glob(f"rota-{os.getpid()}-*")}


async def test_searching_loads_what_it_needs_once(place: Path) -> None:
    """In the host, so that not every search loads it anew: it is a child of a process that has it."""
    async with opened(place) as box:
        await bash(box, "echo a line > file")
        for _ in range(2):
            assert (await box.call("grep", {"pattern": "l.ne"})).content[0]["text"] == "/workspace/file:1:a line"
            assert (await box.call("glob", {"pattern": "*"})).content[0]["text"] == "/workspace/file"


async def test_a_shell_that_shows_its_commands_still_answers(place: Path) -> None:
    async with opened(place) as box:
        assert (await bash(box, "set -x; echo on")).startswith("+ echo on\non")
        assert "again" in await bash(box, "echo again")
        await bash(box, "set +x")
        assert await bash(box, r"printf '\033[31mred\033[0m'") == "red"


@pytest.mark.parametrize(
    "value",
    [None, True, 0, -1, 2**70, 0.5, "", "é\ud800\x1b\"\\\n\u2028", [], {}, {"a": [1, {"b": [None, False, "c"]}], "d": 1e300}],
)  # fmt: skip
def test_words_are_json(value: Any) -> None:
    assert words.dumps(value) == json.dumps(value)
    assert words.loads(json.dumps(value).encode()) == value


@pytest.mark.parametrize("text", [b"", b"{", b'{"a": 1', b"[1,]", b"nothing", b"1 2", b'"\x01"', b"\xff"])
def test_what_is_no_json_is_refused(text: bytes) -> None:
    with pytest.raises(ValueError, match=r"."):
        words.loads(text)
