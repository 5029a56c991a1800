"""The filter of system calls that every box has: a list of what nobody inside needs and the kernel is better not asked.

Everything else is let through, so that ordinary programs run; what guards the rest are namespaces, and that no capability is held.
The filter is put together here, instruction by instruction, since a few dozen of them need no library. Promises: what is
listed fails with EPERM, or with ENOSYS where programs then try something older; calls of another architecture end the
process; calls that are newer than this list do not exist.
"""

import errno
import platform
import struct
from functools import cache
from typing import Final

_LOAD: Final = 0x20  # BPF_LD | BPF_W | BPF_ABS
_IF_EQUAL: Final = 0x15  # BPF_JMP | BPF_JEQ | BPF_K
_IF_GREATER_OR_EQUAL: Final = 0x35
_IF_ANY_BIT: Final = 0x45  # BPF_JMP | BPF_JSET | BPF_K
_RETURN: Final = 0x06
_ALLOW: Final = 0x7FFF_0000
_KILL: Final = 0x8000_0000
_ERRNO: Final = 0x0005_0000

_NUMBER: Final = 0
_ARCHITECTURE: Final = 4
_ARGUMENTS: Final = 16
"""Offsets in what the kernel shows a filter; an argument has eight bytes, its lower half first."""

FORBIDDEN: Final = {
    # name: (x86-64, arm64); None where the architecture has no such call
    "ptrace": (101, 117), "process_vm_readv": (310, 270), "process_vm_writev": (311, 271), "kcmp": (312, 272),
    "pidfd_getfd": (438, 438),
    "mount": (165, 40), "umount2": (166, 39), "pivot_root": (155, 41), "chroot": (161, 51), "open_tree": (428, 428),
    "move_mount": (429, 429), "fsopen": (430, 430), "fsconfig": (431, 431), "fsmount": (432, 432), "fspick": (433, 433),
    "mount_setattr": (442, 442), "open_tree_attr": (467, 467),
    "setns": (308, 268), "unshare": (272, 97),
    "bpf": (321, 280), "perf_event_open": (298, 241), "userfaultfd": (323, 282),
    "add_key": (248, 217), "request_key": (249, 218), "keyctl": (250, 219),
    "kexec_load": (246, 104), "kexec_file_load": (320, 294), "init_module": (175, 105), "finit_module": (313, 273),
    "delete_module": (176, 106), "create_module": (174, None), "get_kernel_syms": (177, None), "query_module": (178, None),
    "reboot": (169, 142), "swapon": (167, 224), "swapoff": (168, 225), "acct": (163, 89), "syslog": (103, 116),
    "quotactl": (179, 60), "quotactl_fd": (443, 443), "nfsservctl": (180, 42), "lookup_dcookie": (212, 18),
    "settimeofday": (164, 170), "clock_settime": (227, 112), "clock_adjtime": (305, 266), "adjtimex": (159, 171),
    "sethostname": (170, 161), "setdomainname": (171, 162), "vhangup": (153, 58),
    "name_to_handle_at": (303, 264), "open_by_handle_at": (304, 265), "fanotify_init": (300, 262),
    "mbind": (237, 235), "set_mempolicy": (238, 237), "migrate_pages": (256, 238), "move_pages": (279, 239),
    "iopl": (172, None), "ioperm": (173, None), "modify_ldt": (154, None), "uselib": (134, None), "ustat": (136, None),
    "sysfs": (139, None), "_sysctl": (156, None),
}  # fmt: skip

MISSING: Final = {
    # clone3 passes its flags where a filter cannot look; libraries then fall back to clone.
    "clone3": (435, 435), "io_uring_setup": (425, 425), "io_uring_enter": (426, 426), "io_uring_register": (427, 427),
}  # fmt: skip
NEWER: Final = 470
"""The first number that this list does not know; numbers are the same everywhere by now."""

_CLONE: Final = (56, 220)
_NAMESPACES: Final = 0x7E02_0000
_SOCKET: Final = (41, 198)
_FAMILIES: Final = (1, 2, 10)  # AF_UNIX, AF_INET, AF_INET6
_NETLINK: Final = 16  # of which only the routing tables may be read, that getifaddrs asks for
_IOCTL: Final = (16, 29)
_TERMINAL: Final = (0x5412, 0x541C)  # TIOCSTI and TIOCLINUX put words into a terminal

_MACHINES: Final = {"x86_64": (0, 0xC000_003E), "aarch64": (1, 0xC000_00B7)}


def known(machine: str | None = None) -> bool:
    """Whether there is a filter for this architecture."""
    return (machine or platform.machine()) in _MACHINES


@cache
def program(machine: str | None = None) -> bytes:
    """The filter as the kernel reads it."""
    column, architecture = _MACHINES[machine or platform.machine()]
    lines = [_op(_LOAD, _ARCHITECTURE), *_unless(architecture, _KILL), _op(_LOAD, _NUMBER)]
    if column == 0:
        lines += _from(0x4000_0000, errno.ENOSYS)  # the x32 numbers, which mean the same calls
    lines += _from(NEWER, errno.ENOSYS)
    for names, error in ((FORBIDDEN, errno.EPERM), (MISSING, errno.ENOSYS)):
        for numbers in names.values():
            number = numbers[column]
            if number is not None:
                lines += [_op(_IF_EQUAL, number, 0, 1), _op(_RETURN, _ERRNO | error)]
    lines += _only_if(_CLONE[column], [_op(_LOAD, _argument(0)), _op(_IF_ANY_BIT, _NAMESPACES, 0, 1), _refuse()])
    lines += _only_if(_IOCTL[column], [_op(_LOAD, _argument(1)), *(_deny(command) for command in _TERMINAL)])
    lines += _only_if(_SOCKET[column], _sockets())
    lines.append(_op(_RETURN, _ALLOW))
    return b"".join(lines)


def _sockets() -> list[bytes]:
    families = [_op(_LOAD, _argument(0))]
    for family in _FAMILIES:
        families += [_op(_IF_EQUAL, family, 0, 1), _op(_RETURN, _ALLOW)]
    families += [_op(_IF_EQUAL, _NETLINK, 1, 0), _refuse()]
    return [*families, _op(_LOAD, _argument(2)), _op(_IF_EQUAL, 0, 1, 0), _refuse()]


def _op(code: int, value: int, if_so: int = 0, if_not: int = 0) -> bytes:
    return struct.pack("<HBBI", code, if_so, if_not, value)


def _argument(index: int) -> int:
    return _ARGUMENTS + 8 * index


def _refuse() -> bytes:
    return _op(_RETURN, _ERRNO | errno.EPERM)


def _deny(value: int) -> bytes:
    return _op(_IF_EQUAL, value, 0, 1) + _refuse()


def _unless(value: int, then: int) -> list[bytes]:
    return [_op(_IF_EQUAL, value, 1, 0), _op(_RETURN, then)]


def _from(value: int, error: int) -> list[bytes]:
    return [_op(_IF_GREATER_OR_EQUAL, value, 0, 1), _op(_RETURN, _ERRNO | error)]


def _only_if(number: int, block: list[bytes]) -> list[bytes]:
    """For one call, look at its arguments; afterwards the number is loaded again, for what follows."""
    body = b"".join(block)
    return [_op(_IF_EQUAL, number, 0, len(body) // 8), body, _op(_LOAD, _NUMBER)]
