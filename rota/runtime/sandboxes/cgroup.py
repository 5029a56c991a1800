"""Control groups: memory and processes of a whole box, where this server may make groups. Both hierarchies, old and new.

Where it may not, the tool host lowers what each process may take, and looks after their sum itself; that is said by ``why_none``.
"""

import contextlib
import itertools
import os
import threading
from pathlib import Path
from typing import Final

from rota.runtime.sandbox import Limits, SandboxFailure

OVERHEAD: Final = 32 << 20
"""What the tool host and bubblewrap need themselves."""
_WANTED: Final = ("memory", "pids")
_numbers = itertools.count()
_made = set[str]()
"""The names that this process has given."""


class Cage:
    """The groups of one box."""

    def __init__(self, folders: list[Path]) -> None:
        self.folders = folders
        self._lock = threading.Lock()

    def admit(self, pid: int, *, least: int = 1) -> None:
        """Put a process and all that it has started into the groups, as far as they are not; what they start later is in them by itself.
        The kernel takes 10 ms and more for the first, so this is begun while a box starts, and made sure of when it has. SandboxFailure
        if it cannot be, or if there are fewer processes than have to be.
        """
        try:
            with self._lock:
                found = min(_bring(folder, pid) for folder in self.folders)
        except OSError as exc:
            raise SandboxFailure(f"the box cannot be put into its control groups: {exc.strerror}") from None
        if found < least:
            raise SandboxFailure("the box cannot be put into its control groups: its processes are not there")

    def open(self) -> None:
        """Take the groups away, when nobody is in them any more."""
        with self._lock:
            for folder in self.folders:
                with contextlib.suppress(OSError):
                    folder.rmdir()


def _bring(folder: Path, pid: int) -> int:
    """Put a process and what it has started into one group: how many they are."""
    inside, waiting, found = (folder / "cgroup.procs").read_text().split(), [pid], 0
    while waiting:
        each = waiting.pop()
        with contextlib.suppress(ProcessLookupError, FileNotFoundError):  # it has ended meanwhile
            if str(each) not in inside:
                (folder / "cgroup.procs").write_text(str(each))
            # Looked for only now, so that none is missed: whoever is started by one that is inside is so too.
            waiting += map(int, Path(f"/proc/{each}/task/{each}/children").read_text().split())
            found += 1
    return found


class Cages:
    """Where groups are made. Nothing of it works is an ordinary state of affairs: then there are no cages."""

    def __init__(self, proc: Path = Path("/proc/self"), *, root: Path = Path("/")) -> None:
        self._old: dict[str, Path] = {}
        self._new: Path | None = None
        self.why_none: str | None = None
        try:
            self._find(proc, root)
            if not self._new and set(self._old) != set(_WANTED):
                raise FileNotFoundError("there are no memory and pids controllers")
            self._sweep(proc.parent)
            trial = self.make(Limits())
            if trial is None:
                raise PermissionError("they may not be written")
            trial.open()
        except (OSError, ValueError, IndexError) as exc:
            self.why_none = f"control groups cannot be made: {exc.strerror or exc if isinstance(exc, OSError) else exc}"
            self._old, self._new = {}, None

    def make(self, limits: Limits) -> Cage | None:
        """The groups for a box; None if this server cannot have any."""
        name = f"rota-{os.getpid()}-{next(_numbers)}"
        _made.add(name)
        memory, most = str(limits.memory + OVERHEAD), str(limits.processes + 4)
        if self._new is not None:
            wanted = {self._new: {"memory.max": memory, "memory.swap.max": "0", "pids.max": most}}
        elif self._old:
            wanted = {
                self._old["memory"]: {"memory.limit_in_bytes": memory, "memory.memsw.limit_in_bytes": memory},
                self._old["pids"]: {"pids.max": most},
            }
        else:
            return None
        made: list[Path] = []
        try:
            for parent, values in wanted.items():
                folder = parent / name
                folder.mkdir()
                made.append(folder)
                for file, value in values.items():
                    if (folder / file).exists() or "sw" not in file:  # not every kernel accounts for swap
                        (folder / file).write_text(value)
        except OSError:
            Cage(made).open()
            return None
        return Cage(made)

    def _sweep(self, proc: Path) -> None:
        """Take away what servers left that were killed; one of them may have had this process's number, and so its names."""
        for parent in (self._new, *self._old.values()):
            for folder in parent.glob("rota-*-*") if parent is not None else ():
                pid = folder.name.split("-")[1]
                killed = folder.name not in _made if pid == str(os.getpid()) else not (proc / pid).exists()
                if killed:
                    with contextlib.suppress(OSError):  # somebody is still in it
                        folder.rmdir()

    def _find(self, proc: Path, root: Path) -> None:
        own = {line.split(":")[1]: line.split(":", 2)[2] for line in (proc / "cgroup").read_text().splitlines()}
        for line in (proc / "mountinfo").read_text().splitlines():
            before, _, after = line.partition(" - ")
            kind, _, options = after.split(" ")[:3]
            mounted, point = before.split(" ")[3:5]
            if kind == "cgroup":
                for controller in set(options.split(",")) & set(_WANTED):
                    names = next((names for names in own if controller in names.split(",")), None)
                    if names is not None:
                        self._old[controller] = _place(root / point.lstrip("/"), mounted, own[names])
            elif kind == "cgroup2" and "" in own:
                place = _place(root / point.lstrip("/"), mounted, own[""])
                if self._prepare(place):
                    self._new = place

    def _prepare(self, place: Path) -> bool:
        """Whether groups below have the controllers. A group with processes of its own can hand none on: this server moves into one
        below, if it is alone.
        """
        if not set(_WANTED) <= set((place / "cgroup.controllers").read_text().split()):
            return False
        if set(_WANTED) <= set((place / "cgroup.subtree_control").read_text().split()):
            return True
        if (place / "cgroup.procs").read_text().split() != [str(os.getpid())]:
            return False
        (place / "rota-server").mkdir(exist_ok=True)
        (place / "rota-server" / "cgroup.procs").write_text(str(os.getpid()))
        (place / "cgroup.subtree_control").write_text(" ".join(f"+{name}" for name in _WANTED))
        return True


def _place(point: Path, mounted: str, own: str) -> Path:
    """Where this process's group is, seen from here; in a container its name may be one from outside."""
    inner = own.removeprefix(mounted.rstrip("/"))
    found = point / inner.strip("/")
    return found if found.is_dir() else point
