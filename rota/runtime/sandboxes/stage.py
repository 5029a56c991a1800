"""Between a server and its boxes: a process that starts every box, and for each makes its folders reachable and then is root no more.

    python stage.py FD        FD is a socket to the server

An order is JSON. To ``start`` a box is to become ``command``, with the descriptors that came along: the first as its standard error, the
others from 3 on in their order; the answer is the process's id. To ``end`` one is to kill it, if it lives, and to bury it; the answer
is empty. When the server is gone so is this process, and with it, bubblewrap sees to that, all that it has started.

Bubblewrap that is started by root would map the box's user to root outside, whose files in ``/proc/sys`` could then be written from
inside. So it is started by an ordinary user, one for each box. That user cannot look into the folders of root, where the
server's data usually is; here, in a mount namespace of its own, a fresh ``/tmp`` is given those folders that the box shall see, and
nothing else of what surrounds them. Standard library only; imports nothing of the server, and knows none of its secrets.
"""

import ctypes
import fcntl
import json
import os
import signal
import socket
import sys
from typing import Any

FIRST = 3
"""The number of a command's first descriptor, behind the standard ones."""
_LONGEST = 1 << 20
_MOST = 253
"""Descriptors that may come along with a message."""

_NEW_MOUNTS = 0x0002_0000  # CLONE_NEWNS
_BIND = 0x1000
_RECURSIVE = 0x4000
_SLAVE = 0x8_0000
_NOSUID = 0x2
_NODEV = 0x4
_LIBC = ctypes.CDLL(None, use_errno=True)


def main() -> None:
    """Do what the server says, until it says no more."""
    server = socket.socket(fileno=int(sys.argv[1]))
    server.set_inheritable(False)
    started: set[int] = set()
    while True:
        order, fds, _, _ = socket.recv_fds(server, _LONGEST, _MOST, socket.MSG_CMSG_CLOEXEC)
        if not order:
            return
        told: dict[str, Any] = json.loads(order)
        if "end" in told:
            if told["end"] in started:  # nobody else has its number, as long as it is not buried
                os.kill(told["end"], signal.SIGKILL)
                os.waitpid(told["end"], 0)
                started.remove(told["end"])
            server.send(b"-")
            continue
        pid = os.fork()
        if not pid:
            _become(told, fds)
        for fd in fds:
            os.close(fd)
        started.add(pid)
        server.send(str(pid).encode())


def _become(told: dict[str, Any], fds: list[int]) -> None:
    """Mount, change the user, become the command."""
    try:
        above = [fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, FIRST + len(fds)) for fd in fds]
        for number, fd in enumerate(above, FIRST - 1):
            os.dup2(fd, number)
        if told["folders"]:
            _mount(told["place"], told["folders"], told["user"])
        if (user := told["user"]) is not None:
            os.setgroups([])
            os.setresgid(user, user, user)
            os.setresuid(user, user, user)
        os.execve(told["command"][0], told["command"], {})  # noqa: S606 - no shell is the point
    except OSError as exc:
        os.write(2, f"stage: {exc.strerror}: {exc.filename}\n".encode())
    finally:
        os._exit(1)


def _mount(place: str, folders: dict[str, str], uid: int) -> None:
    try:
        _checked(_LIBC.unshare(_NEW_MOUNTS))
        _checked(_LIBC.mount(b"none", b"/", None, _RECURSIVE | _SLAVE, None))
        opened = {name: os.open(source, os.O_PATH | os.O_CLOEXEC) for name, source in folders.items()}
        room = f"size=1m,mode=0700,uid={uid}".encode()
        _checked(_LIBC.mount(b"rota", place.encode(), b"tmpfs", _NOSUID | _NODEV, room))
        for name, fd in opened.items():
            target = os.path.join(place, name)
            if os.path.isdir(f"/proc/self/fd/{fd}"):
                os.mkdir(target)
            else:
                os.close(os.open(target, os.O_CREAT | os.O_WRONLY, 0o600))
            _checked(_LIBC.mount(f"/proc/self/fd/{fd}".encode(), target.encode(), None, _BIND | _RECURSIVE, None))
            os.close(fd)
    except OSError as exc:
        said = (
            f"stage: the folders cannot be shown to the box's user: {exc.strerror}. The server is root, but may not mount; give "
            "it CAP_SYS_ADMIN, or run it as an ordinary user."
        )
        os.write(2, said.encode())
        os._exit(1)


def _checked(done: int) -> None:
    if done:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))


if __name__ == "__main__":
    main()
