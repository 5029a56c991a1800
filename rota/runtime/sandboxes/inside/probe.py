"""An attempt to get out: everything that a box must not be able to do, tried from inside. Prints what succeeded, as JSON.

    python -m rota.runtime.sandboxes.inside.probe '{"paths": […], "hosts": […], "port": 1234, "pid": 1, "memory": …, "processes": …}'

Nothing is harmed by a success: a setting of the kernel is opened and not written, a process is sent no signal but the null one.
"""

from __future__ import annotations

import ctypes
import json
import os
import signal
import socket
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import Any

_LIBC = ctypes.CDLL(None, use_errno=True)
_X86 = os.uname().machine == "x86_64"
_CALLS = {
    "trace a process": (101 if _X86 else 117, 16, 1, 0, 0),
    "read another process's memory": (310 if _X86 else 270, 1, 0, 0, 0, 0, 0),
    "make a user namespace": (272 if _X86 else 97, 0x10000000),
    "enter a namespace": (308 if _X86 else 268, -1, 0),
    "mount": (165 if _X86 else 40, b"none", b"/tmp", b"tmpfs", 0, None),
    "load a BPF program": (321 if _X86 else 280, 0, 0, 0),
    "watch the processor's counters": (298 if _X86 else 241, 0, 0, -1, -1, 0),
    "use the kernel's keyring": (250 if _X86 else 219, 0, -3, 1),
    "use io_uring": (425, 0, 0),
    "handle page faults": (323 if _X86 else 282, 0),
    "open files by handle": (304 if _X86 else 265, -1, 0, 0),
}
_FORBIDDEN_ERRORS = (1, 38)  # EPERM, ENOSYS: the filter said no, before any argument was looked at


def attempts(given: dict[str, Any]) -> Iterator[tuple[str, Callable[[], bool]]]:
    """Each with what a success is called."""
    yield "open a setting of the kernel for writing", lambda: _opens("/proc/sys/kernel/core_pattern", os.O_WRONLY)
    yield "write where the kernel's settings are mounted", lambda: not _read_only("/proc/sys")
    yield "restart the machine", lambda: _opens("/proc/sysrq-trigger", os.O_WRONLY)
    for path in given["paths"]:
        for root in ("", "/proc/self/root", "/proc/1/root", "/proc/1/cwd"):
            yield f"look at {root}{path}", lambda path=root + path: os.path.exists(path)
    yield "see processes outside", lambda: os.path.exists(f"/proc/{given['pid']}") or len(_processes()) > 6
    yield (
        "signal processes outside",
        lambda: given["pid"] not in _processes() and _fine(lambda: os.kill(given["pid"], 0)),
    )
    yield "read the environment of the first process", lambda: _opens("/proc/1/environ", os.O_RDONLY)
    yield "write into the memory of the tool host", lambda: _opens("/proc/1/mem", os.O_RDWR)
    yield "list the descriptors of the tool host", lambda: _fine(lambda: os.listdir("/proc/1/fd"))
    yield "inherit a descriptor", lambda: len(os.listdir("/proc/self/fd")) > 4
    yield "see the machine's network", lambda: [name for _, name in socket.if_nameindex()] != ["lo"]
    for host in given["hosts"]:
        port = 80 if host not in ("127.0.0.1", "::1") else given["port"]
        yield f"connect to {host}", lambda host=host, port=port: _connects(host, port)
        yield f"be connected to {host} by the proxy", lambda host=host, port=port: _tunnels(host, port)
    for name, numbers in _CALLS.items():
        yield name, lambda numbers=numbers: _call(*numbers)
    yield "open a raw socket", lambda: _fine(lambda: socket.socket(socket.AF_INET, socket.SOCK_RAW, 1))
    yield "listen to packets", lambda: _fine(lambda: socket.socket(17, socket.SOCK_RAW, 0))
    yield "talk to the hypervisor", lambda: _fine(lambda: socket.socket(40, socket.SOCK_STREAM))
    yield "run without the filter of system calls", lambda: _status("Seccomp") != "2"
    yield "gain privileges", lambda: _status("NoNewPrivs") != "1" or int(_status("CapBnd"), 16) != 0
    yield "hold capabilities", lambda: int(_status("CapEff"), 16) != 0
    yield "share the machine's name", lambda: os.uname().nodename != "sandbox"
    for folder in ("/", "/dev", "/usr", "/etc", "/run"):
        yield f"write into {folder}", lambda folder=folder: _opens(f"{folder}/probe", os.O_CREAT | os.O_WRONLY)
    yield "make a device", lambda: _fine(lambda: os.mknod("/workspace/device", 0o20600, os.makedev(1, 1)))
    yield "have more processes than allowed", lambda: _forks(given["processes"])
    yield "use more memory than allowed", lambda: _holds(given["memory"])


def _fine(attempt: Callable[[], object]) -> bool:
    try:
        attempt()
    except (OSError, ValueError):
        return False
    return True


def _opens(path: str, flags: int) -> bool:
    return _fine(lambda: os.close(os.open(path, flags)))


def _read_only(path: str) -> bool:
    return bool(os.statvfs(path).f_flag & os.ST_RDONLY)


def _processes() -> list[int]:
    return [int(name) for name in os.listdir("/proc") if name.isdigit()]


def _status(name: str) -> str:
    with open("/proc/self/status") as file:
        return next((line.split()[1] for line in file if line.startswith(name + ":")), "0")


def _connects(host: str, port: int) -> bool:
    def attempt() -> None:
        with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as trial:
            trial.settimeout(1)
            trial.connect((host, port))

    return _fine(attempt)


def _tunnels(host: str, port: int) -> bool:
    shown = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    try:
        with socket.create_connection(("127.0.0.1", 3128), 5) as trial:
            trial.sendall(f"CONNECT {shown} HTTP/1.1\r\nHost: {shown}\r\n\r\n".encode())
            return b" 200 " in trial.recv(200)
    except OSError:
        return False


def _call(*numbers: Any) -> bool:
    """Whether a system call got past the filter."""
    ctypes.set_errno(0)
    if _LIBC.syscall(*numbers) != -1:
        return True
    return ctypes.get_errno() not in _FORBIDDEN_ERRORS


def _forks(most: int) -> bool:
    children: list[int] = []
    try:
        for _ in range(most + 16):
            pid = os.fork()
            if not pid:
                signal.pause()
                os._exit(0)
            children.append(pid)
        return True
    except OSError:
        return False
    finally:
        for pid in children:
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)


def _holds(most: int) -> bool:
    pid = os.fork()
    if not pid:
        try:
            with open("/proc/self/oom_score_adj", "w") as file:
                file.write("1000")
            held = bytearray(most + most // 2)
            held[::4096] = b"x" * len(held[::4096])
            signal.sigtimedwait([], 1)  # long enough for whoever watches
            os._exit(0)
        finally:
            os._exit(1)
    return os.waitpid(pid, 0)[1] == 0


def main() -> None:
    """Try everything."""
    succeeded: list[str] = []
    for name, attempt in attempts(json.loads(sys.argv[1])):
        try:
            if attempt():
                succeeded.append(name)
        except Exception as exc:
            succeeded.append(f"{name} (it is not known whether that worked: {exc!r})")
    print(json.dumps(succeeded))


if __name__ == "__main__":
    main()
