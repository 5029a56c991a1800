"""Between a server and a box: a process that makes the box's folders reachable, and then is root no more.

    python stage.py FD        FD holds what to do: user, place, folders by their new names, command, between zero bytes

Bubblewrap that is started by root would map the box's user to root outside, whose files in ``/proc/sys`` could then be written from
inside. So it is started by an ordinary user, one for each box. That user cannot look into the folders of root, where the
server's data usually is; here, in a mount namespace of its own, a fresh ``/tmp`` is given those folders that the box shall see, and
nothing else of what surrounds them. Standard library only; imports nothing of the server.
"""

import ctypes
import os
import sys

_NEW_MOUNTS = 0x0002_0000  # CLONE_NEWNS
_BIND = 0x1000
_RECURSIVE = 0x4000
_SLAVE = 0x8_0000
_NOSUID = 0x2
_NODEV = 0x4


def main() -> None:
    """Mount, change the user, become the command."""
    order = os.read(int(sys.argv[1]), 1 << 20).decode("utf-8", "surrogateescape").split("\0")
    os.close(int(sys.argv[1]))
    user, place, count = int(order[0]), order[1], int(order[2])
    folders = dict(zip(order[3 : 3 + 2 * count : 2], order[4 : 3 + 2 * count : 2], strict=True))
    command = order[3 + 2 * count :]
    try:
        _mount(place, folders, user)
    except OSError as exc:
        sys.exit(
            f"stage: the folders cannot be shown to the box's user: {exc.strerror}. The server is root, but may not mount; give "
            "it CAP_SYS_ADMIN, or run it as an ordinary user."
        )
    os.setgroups([])
    os.setresgid(user, user, user)
    os.setresuid(user, user, user)
    os.chdir("/")
    os.execve(command[0], command, {})  # noqa: S606 - no shell is the point


def _mount(place: str, folders: dict[str, str], uid: int) -> None:
    libc = ctypes.CDLL(None, use_errno=True)

    def call(done: int) -> None:
        if done:
            raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))

    call(libc.unshare(_NEW_MOUNTS))
    call(libc.mount(b"none", b"/", None, _RECURSIVE | _SLAVE, None))
    opened = {name: os.open(source, os.O_PATH | os.O_CLOEXEC) for name, source in folders.items()}
    call(libc.mount(b"rota", place.encode(), b"tmpfs", _NOSUID | _NODEV, f"size=1m,mode=0700,uid={uid}".encode()))
    for name, fd in opened.items():
        target = os.path.join(place, name)
        if os.path.isdir(f"/proc/self/fd/{fd}"):
            os.mkdir(target)
        else:
            os.close(os.open(target, os.O_CREAT | os.O_WRONLY, 0o600))
        call(libc.mount(f"/proc/self/fd/{fd}".encode(), target.encode(), None, _BIND | _RECURSIVE, None))
        os.close(fd)


if __name__ == "__main__":
    main()
