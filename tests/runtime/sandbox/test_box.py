"""What a box promises to those who use it."""

import asyncio
import os
from pathlib import Path

import pytest

from rota.runtime.sandbox import Limits, Mount, Network, SandboxFailure, Spec
from rota.runtime.sandboxes import ground
from tests.runtime.sandbox.boxes import bash, driver, folders, opened


async def test_files_stay_and_shells_do_not(place: Path) -> None:
    sandbox = driver()
    async with opened(place, sandbox=sandbox) as box:
        await bash(box, "X=1; mkdir deep; cd deep; echo kept > file; (sleep 100 &)")
    async with opened(place, sandbox=sandbox) as box:
        assert await bash(box, 'pwd; cat deep/file; echo "[$X]"; pgrep sleep') == "/workspace\nkept\n[]"
    await sandbox.close()


async def test_a_box_sees_its_mounts(place: Path) -> None:
    async with opened(place, environment={"GREETING": "hello"}) as box:
        assert await bash(box, "cat /mnt/session/uploads/given.txt; echo $GREETING") == "given\nhello"
        assert (await box.call("read", {"file_path": "/mnt/session/uploads/given.txt"})).content[0]["text"] == "given\n"
        refused = await box.call("write", {"file_path": "/mnt/session/uploads/new", "content": "x"})
        assert refused.content[0]["text"] == (
            "write: /mnt/session/uploads/new is inside read-only directory /mnt/session/uploads"
        )
        await bash(box, "echo out > /mnt/session/outputs/report.txt")
    assert (place / "outputs" / "report.txt").read_text() == "out\n"


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give sessions users of their own")
async def test_each_session_has_a_user_of_its_own_and_keeps_it(place: Path) -> None:
    sandbox = driver()
    owners: list[int] = []
    for name in ("one", "two", "one"):
        (place / name).mkdir(exist_ok=True)
        async with opened(place / name, sandbox=sandbox, name=name) as box:
            await bash(box, "echo x > mine")
        owners.append((place / name / "workspace" / "mine").stat().st_uid)
    await sandbox.close()
    assert owners[0] == owners[2] != owners[1]
    assert set(owners) <= set(ground.uids(None))


async def test_a_call_that_takes_too_long_is_stopped(place: Path) -> None:
    async with opened(place) as box:
        done = await box.call("bash", {"command": "sleep 60"}, seconds=0.2)
        assert done.is_error
        assert done.content == [{"type": "text", "text": "tool 'bash' timed out"}]
        assert await bash(box, "pgrep sleep; echo free") == "free"


async def test_cancelling_a_call_stops_the_tool(place: Path) -> None:
    async with opened(place) as box:
        await bash(box, "mkfifo go")
        calling = asyncio.create_task(box.call("bash", {"command": "echo on > go; sleep 61"}))
        assert "on" in await asyncio.wait_for(_other(box, "head -1 go"), 30)
        calling.cancel()
        with pytest.raises(asyncio.CancelledError):
            await calling
        assert await bash(box, "pgrep -f 'sleep 61'; echo free") == "free"


async def _other(box: object, command: str) -> str:
    """Beside the shell, which is busy."""
    return (await box.run(["sh", "-c", command], seconds=30))[1]  # type: ignore[attr-defined]


async def test_calls_beside_each_other_have_their_own_results(place: Path) -> None:
    async with opened(place) as box:
        for number in range(10):
            await box.call("write", {"file_path": f"f{number}", "content": str(number)})
        reads = [box.call("read", {"file_path": f"f{number}"}) for number in range(10)]
        shells = [box.call("bash", {"command": f"echo {number}"}) for number in range(10)]
        done = await asyncio.gather(*reads, *shells)
        assert [each.content[0]["text"] for each in done] == [str(number) for number in range(10)] * 2


async def test_a_closed_box_takes_no_calls_and_leaves_no_process(place: Path) -> None:
    sandbox = driver()
    async with opened(place, sandbox=sandbox) as box:
        await bash(box, "(setsid sleep 86399 &)")
        assert _running("86399")
        await box.close()
        assert not _running("86399")
        with pytest.raises(SandboxFailure, match="sesn_test has ended"):
            await box.call("bash", {"command": "true"})
    await sandbox.close()


def _running(word: str) -> bool:
    found: list[str] = []
    for each in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            found.append(each.read_text(errors="replace"))
        except OSError:
            continue
    return any(f"sleep\0{word}" in line for line in found)


async def test_closing_the_driver_closes_its_boxes(place: Path) -> None:
    sandbox = driver()
    box = await sandbox.open(Spec(name="sesn_a", mounts=folders(place)))
    await sandbox.close()
    with pytest.raises(SandboxFailure):
        await box.call("read", {"file_path": "x"})


async def test_a_box_that_holds_too_much_is_ended_and_says_so(place: Path) -> None:
    sandbox = driver()
    limits = Limits(disk=8 << 20)
    async with opened(place, sandbox=sandbox, limits=limits) as box:
        done = await box.call("bash", {"command": "for i in 1 2 3; do head -c 6M /dev/urandom > f$i; done; sleep 60"})
        assert done.is_error
        assert "of 8 that a session may keep" in done.content[0]["text"]
        with pytest.raises(SandboxFailure, match="ROTA_SANDBOX_DISK_MB"):
            await box.call("bash", {"command": "true"})
    async with opened(place, sandbox=sandbox, limits=limits) as box:  # and can be tidied up
        await bash(box, "rm f1 f2")
        assert await bash(box, "sleep 2.5; ls") == "f3"
    await sandbox.close()


async def test_nothing_hides_in_deep_folders(place: Path) -> None:
    async with opened(place, limits=Limits(disk=8 << 20)) as box:
        done = await box.call(
            "bash",
            {"command": "for i in $(seq 250); do mkdir d; cd d; done; head -c 7M /dev/urandom > a; cp a b; sleep 60"},
        )
        assert "of 8 that a session may keep" in done.content[0]["text"]


async def test_one_file_cannot_be_larger_than_all_may_be(place: Path) -> None:
    async with opened(place, limits=Limits(disk=4 << 20)) as box:
        assert "File size limit exceeded" in await bash(box, "head -c 5M /dev/zero > x; true")


async def test_limits_hold_without_control_groups(place: Path) -> None:
    sandbox = driver()
    sandbox._cages._old, sandbox._cages._new = {}, None
    async with opened(place, sandbox=sandbox, limits=Limits(memory=96 << 20, processes=24)) as box:
        assert "MemoryError" in await bash(box, "python3 -c 'bytearray(200 << 20)'")
        hold = 'python3 -c \'x = b"x" * (60 << 20); import time; time.sleep(3); print("held")\' & ' * 3
        assert (await bash(box, f"{hold} wait")).splitlines().count("held") <= 1
        assert "Resource temporarily unavailable" in await bash(box, "for i in $(seq 40); do sleep 1 & done; wait")
    await sandbox.close()


async def test_programs_of_the_server_run_with_their_own_network(place: Path) -> None:
    async with opened(place) as box:
        code, said = await box.run(
            ["sh", "-c", "echo $https_proxy; exit 3"], seconds=20, network=Network(kind="unrestricted")
        )
        assert (code, said) == (3, "http://127.0.0.1:3128\n")
        assert (await box.run(["sh", "-c", "sleep 60"], seconds=0.2))[0] == 124
        assert (await box.run(["no-such-program"], seconds=20))[0] == 127
        assert await bash(box, 'echo "[$https_proxy]"') == "[]"
        with pytest.raises(SandboxFailure, match="only before"):
            await box.run(["true"], seconds=5, network=Network(kind="unrestricted"))


async def test_a_tool_that_is_none_and_input_that_fits_none(place: Path) -> None:
    async with opened(place) as box:
        for tool, given in (
            ("fly", {}), ("read", {}), ("read", {"file_path": 5}), ("write", {"file_path": "x"}), ("grep", {}),
            ("bash", {"command": ["ls"]}), ("bash", {"command": "ls", "timeout_ms": "soon"}), ("read", {"file_path": "a\0b"}),
            ("read", {"file_path": "x", "view_range": "all"}), ("write", {"file_path": "x", "content": "\ud800"}),
        ):  # fmt: skip
            done = await box.call(tool, given)
            assert done.is_error, (tool, given)
            assert done.content[0]["text"].startswith(tool)
        assert await bash(box, "echo alive") == "alive"


async def test_names_that_are_no_text_are_shown(place: Path) -> None:
    async with opened(place) as box:
        await bash(box, "touch $'a\\xff'")
        assert (await box.call("glob", {"pattern": "a*"})).content[0]["text"] == "/workspace/a\ufffd"


async def test_a_link_in_the_way_of_a_mount_is_taken_away(place: Path) -> None:
    """An agent leaves a link where a read-only folder is mounted next time: it does not choose where that goes."""
    (place / "w").mkdir()
    (place / "skills").mkdir()
    (place / "skills" / "s.md").write_text("skill")
    mounts = (Mount(place / "w", "/workspace", writable=True), Mount(place / "skills", "/workspace/skills"))
    (place / "w" / "skills").symlink_to("/etc")
    sandbox = driver()
    box = await sandbox.open(Spec(name="sesn_l", mounts=mounts))
    assert await bash(box, "ls -ld skills | cut -c1; cat skills/s.md") == "d\nskill"
    await sandbox.close()


async def test_a_server_that_dies_takes_its_boxes_along(place: Path) -> None:
    """By the end of the control socket; that the parent's death is heard of too is bubblewrap's."""
    sandbox = driver()
    box = await sandbox.open(Spec(name="sesn_d", mounts=folders(place)))
    await bash(box, "(setsid sleep 86398 &)")
    box._link._ours.close()
    for _ in range(100):
        if not _running("86398"):
            break
        await asyncio.sleep(0.05)
    assert not _running("86398")
    box._link._ours = box._link.theirs
    await sandbox.close()


async def test_what_cannot_be_mounted_is_said(place: Path) -> None:
    sandbox = driver()
    (place / "w").mkdir()
    mounts = (Mount(place / "w", "/workspace", writable=True), Mount(place / "absent", "/mnt/absent"))
    with pytest.raises(SandboxFailure, match="No sandbox can be made"):
        await sandbox.open(Spec(name="sesn_m", mounts=mounts))
    await sandbox.close()
