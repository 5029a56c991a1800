"""Every attempt in a real box, with something to be reached outside: ``python -m tests.runtime.sandbox.escapes`` prints the table."""

import asyncio
import ctypes
import json
import os
import secrets
import shutil
import socket
import sys
import tempfile
from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from string import Template
from typing import Any

from rota.runtime.sandbox import Limits, Network, SandboxFailure
from tests.runtime.sandbox.attempts import ATTEMPTS, PRELUDE
from tests.runtime.sandbox.boxes import bash, driver, opened

CANARY = "canary" + secrets.token_hex(8)
GREETING = "greeting" + secrets.token_hex(8)
RUNNER = r"""
import os
FDS = sorted(os.listdir("/proc/self/fd"))
import json, signal, sys
prelude, attempts = json.load(open(sys.argv[1]))
for name, code in attempts.items():
    r, w = os.pipe()
    pid = os.fork()
    if not pid:
        os.dup2(w, 1); os.close(r); os.close(w)
        os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
        signal.alarm(20)
        space = {'FDS': FDS}
        exec(prelude, space)
        try: exec(code, space)
        except (OSError, ValueError, TypeError) as exc: print("no:", exc)
        except BaseException as exc: print("BROKEN", repr(exc))
        sys.stdout.flush(); os._exit(0)
    os.close(w)
    said = b""
    while piece := os.read(r, 65536): said += piece
    os.close(r)
    os.waitpid(pid, 0)
    print(json.dumps([name, said.decode(errors="replace")[-300:]]), flush=True)
"""


class Reached(list[str]):
    """What was connected to, by whom it should not have been."""


@asynccontextmanager
async def outside(place: Path) -> AsyncGenerator[tuple[dict[str, str], Reached]]:
    """A server's files, another session's folder, ports and sockets; and what reached them."""
    reached = Reached()

    async def greet(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        reached.append("a port of the machine")
        writer.write(f"HTTP/1.1 200 OK\r\ncontent-length: {len(GREETING)}\r\n\r\n{GREETING}".encode())
        writer.close()

    async def public(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        where = f"http://inside.test:{values['PORT']}/"
        if b"/redirect" in head:
            writer.write(f"HTTP/1.1 302 Found\r\nlocation: {where}\r\ncontent-length: 0\r\n\r\n".encode())
        else:
            writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok")
        writer.close()

    for name in ("server", "other"):
        (place / name).mkdir()
    (place / "server" / "rota.db").write_text(CANARY)
    (place / "other" / "secret.txt").write_text(CANARY)
    shm = f"rota-{secrets.token_hex(6)}"
    left = [folder / shm for folder in (Path("/dev/shm"), Path("/tmp")) if os.access(folder, os.W_OK)]
    for path in left:
        path.write_text(CANARY)
    key = secrets.randbits(30)
    segment = ctypes.CDLL(None).shmget(key, 4096, 0o1666)
    os.environ["ROTA_CANARY"] = CANARY
    unix = Path(tempfile.mkdtemp(prefix="rt")) / "s"
    async with AsyncExitStack() as stack:
        first = await asyncio.start_server(greet, "127.0.0.1", 0)
        port = first.sockets[0].getsockname()[1]
        servers: list[Any] = [first, await asyncio.start_unix_server(greet, unix)]
        if socket.has_ipv6:
            servers.append(await asyncio.start_server(greet, "::1", port))
        servers.append(await asyncio.start_unix_server(greet, "\0" + shm))
        open_ = await asyncio.start_server(public, "127.0.0.1", 0)
        for server in [*servers, open_]:
            stack.callback(server.close)
        unix.chmod(0o777)
        values = {
            "CANARY": CANARY, "GREETING": GREETING, "SERVER": str(place / "server"), "DATABASE": str(place / "server" / "rota.db"),
            "OTHER": str(place / "other"), "SHM": shm, "SHMKEY": str(key), "PID": str(os.getpid()), "PORT": str(port),
            "UNIX": str(unix), "ABSTRACT": shm, "OPEN": str(open_.sockets[0].getsockname()[1]),
        }  # fmt: skip
        try:
            yield values, reached
        finally:
            ctypes.CDLL(None).shmctl(segment, 0, None)
            for path in left:
                path.unlink()
            shutil.rmtree(unix.parent)
            del os.environ["ROTA_CANARY"]


def names() -> Any:
    """What names lead to, for the proxy: one of them somewhere else at each look."""
    looks = iter(range(1000))

    async def resolve(host: str, port: int) -> list[str]:
        if host == "turning.test":
            return ["127.0.0.1"] if next(looks) % 2 else ["192.0.2.1"]
        found = {
            "open.test": ["127.0.0.1"], "inside.test": ["127.0.0.1"], "both.test": ["192.0.2.1", "127.0.0.1"],
            "metadata.test": ["169.254.169.254"], "localhost": ["127.0.0.1"],
        }  # fmt: skip
        return found.get(host, ["192.0.2.1"])

    return resolve


async def in_the_table(place: Path) -> dict[str, str]:
    """The attempts of the table: what each printed."""
    async with outside(place) as (values, reached):
        sandbox = driver(allow=f"open.test:{values['OPEN']}", resolve=names())
        box_place = place / "session"
        box_place.mkdir()
        async with opened(
            box_place, sandbox=sandbox, network=Network(kind="unrestricted"), limits=Limits(processes=100)
        ) as box:
            attempts = {name: Template(code).safe_substitute(values) for name, code in ATTEMPTS.items()}
            given = [Template(PRELUDE).safe_substitute(values), attempts]
            await box.call("write", {"file_path": "attempts.json", "content": json.dumps(given)})
            await box.call("write", {"file_path": "keep", "content": "x"})
            await box.call("write", {"file_path": "runner.py", "content": RUNNER})
            said = await bash(
                box, "python3 runner.py attempts.json > results 2>&1; wc -l < results", timeout_ms=140_000
            )
            lines = ""
            while not lines.endswith("(no output)"):
                start = lines.count("\n") + 1
                piece = await bash(box, f"sed -n '{start},{start + 99}p' results")
                lines += piece + ("\n" if piece != "(no output)" else "")
            found = dict(json.loads(line) for line in lines.splitlines() if line.startswith("["))
        await sandbox.close()
        for name in ATTEMPTS.keys() - found.keys():
            found[name] = f"BROKEN: it was not tried ({said})"
        if reached:
            found["reach anything outside"] = f"ESCAPED: {reached}"
        return found


async def by_the_tools(place: Path) -> dict[str, str]:
    """Attempts that take more than a program inside: what the tools can be brought to do."""
    found: dict[str, str] = {}
    (place / "secret").mkdir()
    (place / "secret" / "secret.txt").write_text(CANARY)
    async with opened(place) as box:

        async def attempt(name: str, escaped: bool, said: str = "") -> None:
            found[name] = f"ESCAPED {said[:200]}" if escaped else "held"

        for tool, path in (
            ("read", f"{place}/secret/secret.txt"),
            ("read", "../../secret/secret.txt"),
            ("grep", str(place)),
            ("glob", str(place)),
        ):
            given = (
                {"file_path": path} if tool == "read" else {"pattern": ".*" if tool == "grep" else "*", "path": path}
            )
            done = await box.call(tool, given)
            await attempt(
                f"{tool} outside, {path.count('..')} dots",
                "secret.txt" in done.content[0]["text"] and not done.is_error,
            )
        race = f"import os\nwhile 1:\n for t in ('{place}/secret','real'):\n  os.symlink(t,'/workspace/n'); os.replace('/workspace/n','/workspace/r')"
        await bash(
            box,
            f'mkdir -p real; echo mine > real/secret.txt; ln -s real r; (timeout 20 python3 -c "{race}" &>/dev/null &)',
        )
        seen = [str((await box.call("read", {"file_path": "r/secret.txt"})).content) for _ in range(100)]
        await attempt("read through a link that turns", any(CANARY in each for each in seen))
        for _ in range(50):
            await box.call("write", {"file_path": "r/secret.txt", "content": "overwritten"})
        await attempt("write through a link that turns", (place / "secret" / "secret.txt").read_text() != CANARY)
        await bash(box, "pkill -f while; true")

        await bash(box, "kill -9 1; kill -9 -1; pkill -9 python3; true")
        await attempt("kill the tool host by every means", await bash(box, "echo alive") != "alive")
        flood = await box.call("bash", {"command": "head -c 300M /dev/zero | tr '\\0' x"})
        await attempt("flood the server", len(flood.content[0]["text"]) > 120_000)
        forged = await bash(
            box,
            "(sleep 0.1; for p in /proc/[0-9]*; do for f in $p/fd/*; do printf '\\0\\0\\0\\2{}' > $f; done; done) 2>/dev/null & sleep 0.3; echo own",
        )
        await attempt("forge an answer", not forged.endswith("own"), forged)
    limits = Limits(memory=128 << 20, disk=24 << 20, processes=40)
    async with opened(place, limits=limits) as box:
        await bash(box, ":(){ :|:& };: ", timeout_ms=1500)
        after = await asyncio.wait_for(box.call("bash", {"command": "echo alive", "timeout_ms": 20_000}), 60)
        await attempt("fork for ever", "ended" in str(after.content))
    async with opened(place, limits=limits) as box:
        said = await bash(
            box,
            "for i in 1 2 3; do python3 -c \"x=b'x'*(90<<20);import time;time.sleep(2);print('held')\" & done; wait",
        )
        await attempt("hold too much memory", said.count("held\n") + said.endswith("held") > 1, said)
    async with opened(place, limits=limits) as box:
        try:
            for number in range(40):
                await bash(box, f"head -c 4M /dev/urandom > f{number}; mkdir -p d{number}; sleep 0.3")
            await attempt("fill the disk", True)
        except SandboxFailure:
            await attempt("fill the disk", False)
    return found


async def everything(place: Path) -> dict[str, str]:
    """All attempts: what came of each."""
    (place / "a").mkdir()
    (place / "b").mkdir()
    return await in_the_table(place / "a") | await by_the_tools(place / "b")


def succeeded(found: dict[str, str]) -> dict[str, str]:
    return {name: said for name, said in found.items() if "ESCAPED" in said or "BROKEN" in said}


def main() -> int:
    """Print the table; 1 if anything succeeded."""
    place = Path(tempfile.mkdtemp(prefix="rota-escapes-"))
    place.chmod(0o755)
    try:
        found = asyncio.run(everything(place))
    finally:
        shutil.rmtree(place, ignore_errors=True)
    bad = succeeded(found)
    for name, said in found.items():
        print(f"{'ESCAPED' if name in bad else 'held':8} {name}: {' '.join(said.split())[:160]}")
    print(json.dumps({"user": os.geteuid(), "attempts": len(found), "succeeded": len(bad)}))
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
