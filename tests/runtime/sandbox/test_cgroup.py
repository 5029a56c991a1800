"""Control groups, over trees of files as kernels show them. What the kernel then does is in ``test_box`` and ``escapes``."""

import os
from pathlib import Path

from rota.runtime.sandbox import Limits
from rota.runtime.sandboxes.cgroup import OVERHEAD, Cages

LIMITS = Limits(memory=100 << 20, processes=10)


def machine(place: Path, own: str, mounts: str) -> tuple[Path, Path]:
    proc = place / "proc"
    proc.mkdir()
    (proc / "cgroup").write_text(own)
    (proc / "mountinfo").write_text(mounts)
    return proc, place


def unified(place: Path, *, own: str = "/rota.service", subtree: str = "", procs: str = "") -> tuple[Path, Path]:
    made = machine(place, f"0::{own}\n", "30 23 0:26 / /sys/fs/cgroup rw,nosuid - cgroup2 cgroup2 rw\n")
    group = place / "sys/fs/cgroup" / own.strip("/")
    group.mkdir(parents=True)
    (group / "cgroup.controllers").write_text("cpu memory pids\n")
    (group / "cgroup.subtree_control").write_text(subtree)
    (group / "cgroup.procs").write_text(procs)
    return made


def test_a_group_that_hands_its_controllers_on_is_used(tmp_path: Path) -> None:
    proc, root = unified(tmp_path, subtree="cpu memory pids\n")
    cages = Cages(proc, root=root)
    cage = cages.make(LIMITS)
    assert cages.why_none is None
    assert cage is not None
    (folder,) = cage.folders
    assert folder.parent == tmp_path / "sys/fs/cgroup/rota.service"
    assert (folder / "memory.max").read_text() == str(LIMITS.memory + OVERHEAD)
    assert (folder / "pids.max").read_text() == "14"


def test_a_server_alone_in_a_delegated_group_makes_room(tmp_path: Path) -> None:
    """As under systemd with ``Delegate=yes``: the server moves one below, since a group with processes hands nothing on."""
    proc, root = unified(tmp_path, procs=f"{os.getpid()}\n")
    cages = Cages(proc, root=root)
    group = tmp_path / "sys/fs/cgroup/rota.service"
    assert cages.why_none is None
    assert (group / "rota-server" / "cgroup.procs").read_text() == str(os.getpid())
    assert (group / "cgroup.subtree_control").read_text() == "+memory +pids"


def test_a_group_with_others_in_it_is_left_alone(tmp_path: Path) -> None:
    proc, root = unified(tmp_path, procs=f"{os.getpid()}\n1\n")
    cages = Cages(proc, root=root)
    assert cages.why_none is not None
    assert "control groups cannot be made" in cages.why_none
    assert cages.make(LIMITS) is None


def test_the_old_hierarchy_has_a_group_for_each_controller(tmp_path: Path) -> None:
    proc, root = machine(
        tmp_path,
        "4:memory:/docker/abc\n8:pids:/docker/abc\n1:cpu:/\n0::/\n",
        "31 30 0:27 /docker/abc /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n"
        "32 30 0:28 / /sys/fs/cgroup/pids rw - cgroup cgroup rw,pids\n",
    )
    (tmp_path / "sys/fs/cgroup/memory").mkdir(parents=True)
    (tmp_path / "sys/fs/cgroup/pids/docker/abc").mkdir(parents=True)
    cage = Cages(proc, root=root).make(LIMITS)
    assert cage is not None
    memory, pids = cage.folders
    assert memory.parent == tmp_path / "sys/fs/cgroup/memory"
    assert pids.parent == tmp_path / "sys/fs/cgroup/pids/docker/abc"
    assert (memory / "memory.limit_in_bytes").read_text() == str(LIMITS.memory + OVERHEAD)
    assert (pids / "pids.max").read_text() == "14"


def test_groups_of_servers_that_were_killed_are_taken_away(tmp_path: Path) -> None:
    proc, root = unified(tmp_path, subtree="memory pids\n")
    group = tmp_path / "sys/fs/cgroup/rota.service"
    (tmp_path / "77").mkdir()  # it lives
    names = ("rota-76-0", "rota-77-0", f"rota-{os.getpid()}-x", "rota-server", "other-76-0", "rota-78-3")
    for name in names:
        (group / name).mkdir()
    (group / "rota-78-3" / "held").touch()  # a group cannot be taken away while anybody is in it
    assert Cages(proc, root=root).why_none is None
    assert [name for name in names if (group / name).exists()] == [
        "rota-77-0",
        "rota-server",
        "other-76-0",
        "rota-78-3",
    ]


def test_groups_that_this_process_has_just_made_are_left(tmp_path: Path) -> None:
    proc, root = unified(tmp_path, subtree="memory pids\n")
    cage = Cages(proc, root=root).make(LIMITS)
    assert cage is not None
    (folder,) = cage.folders
    for file in folder.iterdir():  # the kernel's own files do not keep a group
        file.unlink()
    Cages(proc, root=root)
    assert folder.exists()


def test_without_any_there_are_none(tmp_path: Path) -> None:
    proc, root = machine(tmp_path, "0::/\n", "")
    assert Cages(proc, root=root).why_none == "control groups cannot be made: there are no memory and pids controllers"
    assert Cages(tmp_path / "absent", root=root).why_none is not None
