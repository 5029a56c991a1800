"""From a spec to the words that bubblewrap is told: which folders, which protections. Pure, but for looking at what this machine has.

What a box sees of the machine is its programs (``/usr`` and what belongs to it, read-only) and a handful of files in ``/etc`` that
programs need; users, hosts and the rest of ``/etc`` are made up. Writable are the mounts that the spec calls so, ``/tmp``, the home
folder and ``/dev/shm``, the latter three in memory and of a limited size. Everything else, ``/`` and ``/dev`` included, is mounted
read-only, so that nothing can be filled without being counted.
"""

from collections.abc import Callable
from pathlib import Path, PurePosixPath
from typing import Final

from msgspec import Struct

from rota.runtime.sandbox import Spec

USER: Final = 1000
HOME: Final = "/home/agent"
HOSTNAME: Final = "sandbox"
CODE: Final = "/run/rota"
"""Where the tool host's code is inside."""

PROXY: Final = "http://127.0.0.1:3128"

_SYSTEM: Final = ("/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32")
_ETC: Final = (
    "alternatives", "ca-certificates", "ca-certificates.conf", "crypto-policies", "fonts", "gitconfig", "ld.so.cache",
    "ld.so.conf", "ld.so.conf.d", "localtime", "magic", "mime.types", "pki/tls/certs", "pki/ca-trust", "ssl/certs",
    "ssl/openssl.cnf", "terminfo", "timezone",
)  # fmt: skip
_HIDDEN: Final = ("kcore", "keys", "key-users", "timer_list", "sched_debug", "latency_stats", "sysrq-trigger", "kmsg")
_PROC: Final = ("sys", "irq", "bus", "fs", "acpi", "scsi", "asound", "driver")
"""Files of the kernel that belong to root: whoever is mapped to root outside could write them."""

MADE_UP: Final = {
    "/etc/passwd": "root:x:0:0:root:/root:/bin/bash\nagent:x:1000:1000:agent:/home/agent:/bin/bash\n"
    "nobody:x:65534:65534:nobody:/nonexistent:/usr/sbin/nologin\n",
    "/etc/group": "root:x:0:\nagent:x:1000:\nnogroup:x:65534:\n",
    "/etc/hosts": f"127.0.0.1 localhost {HOSTNAME}\n::1 localhost\n",
    "/etc/nsswitch.conf": "passwd: files\ngroup: files\nhosts: files dns\n",
    "/etc/resolv.conf": "# There is no name service here; the proxy looks names up.\n",
    "/etc/hostname": f"{HOSTNAME}\n",
}


class Recipe(Struct, frozen=True, kw_only=True):
    """What bubblewrap is told. ``data`` are contents of files to be made, and where; each goes to it by a descriptor."""

    words: list[str]
    data: list[tuple[str, bytes]]


def recipe(
    spec: Spec,
    *,
    where: Callable[[Path], str],
    python: tuple[str, ...],
    code: dict[str, bytes],
    without: frozenset[str] = frozenset(),
) -> Recipe:
    """The recipe for a box. ``where`` says under which path bubblewrap finds a folder of this machine, ``python`` is what else must be
    mounted for the tool host's interpreter. ``without`` leaves protections out, so that a test can see them missed.
    """
    words: list[str] = []

    def add(protection: str, *more: str) -> None:
        if protection not in without:
            words.extend(more)

    add("namespaces", "--unshare-ipc", "--unshare-uts", "--unshare-cgroup-try", "--hostname", HOSTNAME)
    words += ["--unshare-user", "--uid", str(USER), "--gid", str(USER)]
    add("userns", "--disable-userns")
    add("pid", "--unshare-pid", "--as-pid-1")
    add("net", "--unshare-net")
    add("capabilities", "--cap-drop", "ALL")
    words += ["--die-with-parent", "--new-session", "--clearenv"]
    for path in ("/etc", "/run", "/mnt", "/home"):  # else they are made as narrow as the first file in them
        words += ["--perms", "0755", "--dir", path]
    words += _system(where)
    for path in python:
        words += ["--ro-bind", where(Path(path)), path]
    words += ["--proc", "/proc"]
    for name in _PROC:
        if Path("/proc", name).exists():
            add("proc", "--ro-bind", f"/proc/{name}", f"/proc/{name}")
    for name in _HIDDEN:
        if Path("/proc", name).exists():
            add("proc", "--ro-bind", "/dev/null", f"/proc/{name}")
    small = str(max(1 << 20, min(spec.limits.memory // 2, 512 << 20)))
    words += ["--dev", "/dev", "--size", small, "--tmpfs", "/dev/shm"]  # noqa: S108 - the box's own
    add("readonly", "--remount-ro", "/dev")
    words += ["--perms", "1777", "--size", small, "--tmpfs", "/tmp", "--size", small, "--tmpfs", HOME]  # noqa: S108 - the box's own
    data = [(path, text.encode()) for path, text in MADE_UP.items()]
    data += [(f"{CODE}/{path}", source) for path, source in code.items()]
    for mount in sorted(spec.mounts, key=lambda each: PurePosixPath(each.inside).parts):
        words += ["--bind" if mount.writable else "--ro-bind", where(mount.outside), mount.inside]
    return Recipe(words=words, data=data)


def ending(without: frozenset[str] = frozenset()) -> list[str]:
    """The last words: once everything has its place, nothing new is made in ``/``."""
    return [] if "readonly" in without else ["--remount-ro", "/"]


def environment(spec: Spec, proxy: str | None, extra_path: str = "") -> dict[str, str]:
    """What commands find in their environment: nothing of the server's, and the way out if there is one."""
    path = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin" + (f":{extra_path}" if extra_path else "")
    found = {
        "HOME": HOME,
        "LANG": "C.UTF-8",
        "LOGNAME": "agent",
        "PATH": f"{HOME}/.local/bin:{path}",
        "SHELL": "/bin/bash",
        "TMPDIR": "/tmp",  # noqa: S108 - the box's own
        "USER": "agent",
    }
    if proxy is not None:
        found |= proxy_variables(proxy)
    return found | spec.environment


def proxy_variables(proxy: str) -> dict[str, str]:
    """The way out, under every name by which programs look for it; git, pip, curl and wget read the usual ones."""
    found = {"NO_PROXY": "localhost,127.0.0.1,::1", "NODE_USE_ENV_PROXY": "1"}
    found["no_proxy"] = found["NO_PROXY"]
    for name in ("http_proxy", "https_proxy", "all_proxy", "npm_config_proxy", "npm_config_https_proxy"):
        found[name] = proxy
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "PIP_PROXY"):
        found[name] = proxy
    return found


def exposed(path: Path) -> bool:
    """Whether a path is among what every box sees of this machine."""
    real = path.resolve()
    return any(real.is_relative_to(Path(root).resolve()) for root in ("/usr", *_SYSTEM) if Path(root).exists())


def _system(where: Callable[[Path], str]) -> list[str]:
    """The machine's programs."""
    words = ["--ro-bind", where(Path("/usr")), "/usr"]
    for name in _SYSTEM:
        path = Path(name)
        if path.is_symlink():
            words += ["--symlink", str(path.readlink()), name]
        elif path.is_dir():
            words += ["--ro-bind", where(path), name]
    for name in _ETC:
        path = Path("/etc", name)
        if path.exists():
            words += ["--ro-bind", where(path), str(path)]
    return words
