"""The filter of system calls, run instruction by instruction: for both architectures, whatever this machine is."""

import errno
import struct

import pytest

from rota.runtime.sandboxes import seccomp

ARCHITECTURES = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}
ALLOW, KILL, EPERM, ENOSYS = 0x7FFF0000, 0x80000000, 0x50000 | errno.EPERM, 0x50000 | errno.ENOSYS


def answer(machine: str, number: int, *arguments: int, architecture: int | None = None) -> int:
    """What the filter says of a call, as the kernel would run it."""
    data = struct.pack(
        "<IIQ6Q", number, architecture or ARCHITECTURES[machine], 0, *arguments, *[0] * (6 - len(arguments))
    )
    code = seccomp.program(machine)
    lines = [struct.unpack_from("<HBBI", code, at) for at in range(0, len(code), 8)]
    at, loaded = 0, 0
    while True:
        operation, if_so, if_not, value = lines[at]
        at += 1
        if operation == 0x06:
            return value
        if operation == 0x20:
            (loaded,) = struct.unpack_from("<I", data, value)
        else:
            holds = {0x15: loaded == value, 0x35: loaded >= value, 0x45: bool(loaded & value)}[operation]
            at += if_so if holds else if_not


@pytest.mark.parametrize(("machine", "column"), [("x86_64", 0), ("aarch64", 1)])
def test_what_is_listed_is_refused_and_the_rest_is_not(machine: str, column: int) -> None:
    refused = {numbers[column]: EPERM for numbers in seccomp.FORBIDDEN.values()}
    refused |= {numbers[column]: ENOSYS for numbers in seccomp.MISSING.values()}
    looked_at = {56, 41, 16} if machine == "x86_64" else {220, 198, 29}
    for number in range(seccomp.NEWER):
        if number not in looked_at:
            assert answer(machine, number) == refused.get(number, ALLOW), number
    assert len(refused) > 55


@pytest.mark.parametrize("machine", ARCHITECTURES)
def test_other_architectures_and_newer_calls_are_none(machine: str) -> None:
    assert answer(machine, 20, architecture=0x40000003) == KILL
    assert answer(machine, 0x40000000 + 39) == ENOSYS
    assert answer(machine, seccomp.NEWER) == ENOSYS
    assert answer(machine, 0xFFFFFFFF) == ENOSYS


@pytest.mark.parametrize(("machine", "clone", "sockets", "ioctl"), [("x86_64", 56, 41, 16), ("aarch64", 220, 198, 29)])
def test_three_calls_are_judged_by_their_arguments(machine: str, clone: int, sockets: int, ioctl: int) -> None:
    threads, namespaces = 0x3D0F00, (0x20000, 0x2000000, 0x4000000, 0x8000000, 0x10000000, 0x20000000, 0x40000000)
    assert answer(machine, clone, threads) == ALLOW
    assert answer(machine, clone, 17) == ALLOW
    for flag in namespaces:
        assert answer(machine, clone, flag | 17) == EPERM
    for family in range(64):
        expected = ALLOW if family in (1, 2, 10, 16) else EPERM
        assert answer(machine, sockets, family, 1, 0) == expected, family
    assert answer(machine, sockets, 16, 3, 9) == EPERM
    assert answer(machine, ioctl, 0, 0x5413) == ALLOW
    assert answer(machine, ioctl, 0, 0x5412) == EPERM
    assert answer(machine, ioctl, 0, 0xFFFF_FFFF_0000_5412) == EPERM  # the kernel looks at the lower half only


def test_no_jump_is_too_long_for_its_field() -> None:
    for machine in ARCHITECTURES:
        assert len(seccomp.program(machine)) % 8 == 0
        assert len(seccomp.program(machine)) // 8 < 4096
    assert seccomp.known("x86_64")
    assert not seccomp.known("riscv64")
