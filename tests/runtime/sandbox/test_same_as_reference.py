"""The six tools answer what the public SDK's reference toolset answers, in every letter.

Each case runs twice over the same folder, made anew: once by the SDK's toolset on this machine, once by the tool host in a box.
"""

import asyncio
import os
import shutil
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from anthropic.lib.tools import ToolError
from anthropic.lib.tools.agent_toolset import AgentToolContext, beta_agent_toolset_20260401

from rota.runtime.sandbox import Mount, Spec
from rota.runtime.sandboxes import ground
from tests.runtime.sandbox.boxes import driver

PNG = bytes.fromhex("89504e470d0a1a0a0000000d4948445200000001000000010806000000")


class Case(NamedTuple):
    name: str
    calls: list[tuple[str, dict[str, Any]]]


def one(name: str, tool: str, **given: Any) -> Case:
    return Case(name, [(tool, given)])


def run(*commands: str) -> list[tuple[str, dict[str, Any]]]:
    return [("bash", {"command": command}) for command in commands]


CASES = [
    # bash
    Case("a command's output", run("echo hello")),
    Case("both streams", run("echo out; echo err >&2")),
    Case("no output", run("true")),
    Case("a failure", run("echo gone; exit_code() { return 3; }; exit_code")),
    Case("a failure without words", run("false")),
    Case("an unknown program", run("no-such-program --help")),
    Case("folders, variables and functions stay", run("cd sub; X=7; f() { echo f$X; }", "pwd; f", "cd ..; pwd")),
    Case("standard input is empty", run("cat; echo after", "read x; echo \"<$x>\"")),
    Case("colours are taken out", run("printf '\\033[31mred\\033[0m \\033[1;32mbold\\033[m\\n'")),
    Case("blank lines", run("printf '\\n\\n a \\n\\n'", "echo; echo b; echo")),
    Case("bytes that are no text", run("printf 'a\\377b\\n'")),
    Case("no newline at the end", run("printf abc")),
    Case("much output", run("seq 1 40000")),
    Case("much output and a failure", run("seq 1 40000; false")),
    Case("one long line", run("head -c 300000 /dev/zero | tr '\\0' x")),
    Case("output of exactly the limit", run("head -c 102400 /dev/zero | tr '\\0' y")),
    Case("several lines", run("for i in 1 2 3\ndo\n  echo $i\ndone")),
    Case("a here document", run("cat <<'EOF'\n$HOME is not read\nEOF")),
    Case("a comment at the end", run("echo a # b")),
    Case("quotes", run("echo 'it'\"'\"'s' \"quoted\"")),
    Case("a job in the background", run("sleep 0.01 & wait; echo done")),
    Case("too long", [("bash", {"command": "echo started; sleep 5", "timeout_ms": 200})]),
    Case("too long, in seconds with a fraction", [("bash", {"command": "sleep 5", "timeout_ms": 1250})]),
    Case("restart", [("bash", {"command": "X=1"}), ("bash", {"restart": True}), ("bash", {"command": "echo <$X>; echo \"[$X]\""})]),
    Case("nothing to run", [("bash", {}), ("bash", {"command": ""})]),
    Case("exit", run("echo last; exit 5")),
    Case("exit without words", run("exit")),
    Case("the shell is killed", run("echo before; kill -9 $$")),
    Case("an unbalanced bracket", run("echo a }", "echo b")),
    Case("the shell's own prompt and terminal", run("echo \"[$PS1][$TERM]\"")),
    # read
    one("a file", "read", file_path="a.txt"),
    one("a file by its whole path", "read", file_path="{root}/a.txt"),
    one("an empty file", "read", file_path="empty"),
    one("lines", "read", file_path="lines.txt", view_range=[2, 3]),
    one("lines to the end", "read", file_path="lines.txt", view_range=[3, -1]),
    one("lines beyond the end", "read", file_path="lines.txt", view_range=[4, 99]),
    one("lines backwards", "read", file_path="lines.txt", view_range=[3, 1]),
    one("lines from zero", "read", file_path="lines.txt", view_range=[0, 1]),
    one("one number too few", "read", file_path="lines.txt", view_range=[1]),
    one("no lines at all", "read", file_path="lines.txt", view_range=[]),
    one("Windows line ends", "read", file_path="crlf.txt"),
    one("a file that is not there", "read", file_path="none.txt"),
    one("a folder", "read", file_path="sub"),
    one("a file in a file", "read", file_path="a.txt/b"),
    one("a pipe", "read", file_path="pipe"),
    one("binary", "read", file_path="binary"),
    one("a picture", "read", file_path="p.png"),
    one("a picture in capitals", "read", file_path="P.JPG"),
    one("lines of a picture", "read", file_path="p.png", view_range=[1, 2]),
    one("a PDF", "read", file_path="d.pdf"),
    one("a picture that is too large", "read", file_path="huge.gif"),
    one("a long file", "read", file_path="long.txt"),
    one("lines of a long file", "read", file_path="long.txt", view_range=[2, 4]),
    one("the first line of a long file", "read", file_path="long.txt", view_range=[1, 1]),
    one("the end of a long file", "read", file_path="long.txt", view_range=[5998, -1]),
    one("beyond the end of a long file", "read", file_path="long.txt", view_range=[7000, 7001]),
    one("no lines of a long file", "read", file_path="long.txt", view_range=[5, 4]),
    one("too many lines of a long file", "read", file_path="long.txt", view_range=[1, -1]),
    one("a line that is too long", "read", file_path="wide.txt", view_range=[1, 1]),
    one("a short line after one that is too long", "read", file_path="wide.txt", view_range=[2, 2]),
    one("lines of a long binary", "read", file_path="longbinary", view_range=[1, 2]),
    one("outside", "read", file_path="/etc/hostname"),
    one("outside by dots", "read", file_path="../../../../../../../etc/hostname"),
    one("dots that stay inside", "read", file_path="sub/../a.txt"),
    one("a link that stays inside", "read", file_path="link"),
    one("a link to the outside", "read", file_path="out"),
    one("a file behind a link to the outside", "read", file_path="outdir/hostname"),
    one("a link to nothing", "read", file_path="dangling"),
    one("a loop of links", "read", file_path="loop1"),
    one("below a loop of links", "read", file_path="loop1/x"),
    one("the root", "read", file_path="/"),
    one("nothing", "read", file_path=""),
    # write
    Case("a new file", [("write", {"file_path": "n.txt", "content": "new\n"}), ("read", {"file_path": "n.txt"})]),
    Case("in new folders", [("write", {"file_path": "x/y/z.txt", "content": "é"}), ("read", {"file_path": "x/y/z.txt"})]),
    Case("over an old one", [("write", {"file_path": "a.txt", "content": "b"}), ("read", {"file_path": "a.txt"})]),
    Case("nothing into a file", [("write", {"file_path": "a.txt", "content": ""}), ("read", {"file_path": "a.txt"})]),
    Case("Windows line ends into a file", [("write", {"file_path": "w", "content": "a\r\nb"}), ("bash", {"command": "od -c w"})]),
    one("into a folder", "write", file_path="sub", content="x"),
    one("below a file", "write", file_path="a.txt/b", content="x"),
    one("to the outside", "write", file_path="/var/x", content="x"),
    one("through a link to the outside", "write", file_path="out", content="x"),
    one("through a link to nothing outside", "write", file_path="dangling_out", content="x"),
    Case("through a link to nothing inside", [("write", {"file_path": "dangling", "content": "x"}), ("bash", {"command": "cat nowhere"})]),
    one("into a read-only folder", "write", file_path="{root}/../ro/new.txt", content="x"),
    one("over a read-only file", "write", file_path="{root}/../ro/fixed.txt", content="x"),
    # edit
    Case("one place", [("edit", {"file_path": "a.txt", "old_string": "one", "new_string": "1"}), ("read", {"file_path": "a.txt"})]),
    Case("every place", [("edit", {"file_path": "a.txt", "old_string": "o", "new_string": "0", "replace_all": True}), ("read", {"file_path": "a.txt"})]),
    one("not there", "edit", file_path="a.txt", old_string="zebra", new_string="x"),
    one("there twice", "edit", file_path="a.txt", old_string="o", new_string="x"),
    one("nothing is there often", "edit", file_path="a.txt", old_string="", new_string="x"),
    one("a file that is not there to edit", "edit", file_path="none", old_string="a", new_string="b"),
    one("a folder to edit", "edit", file_path="sub", old_string="a", new_string="b"),
    one("binary to edit", "edit", file_path="binary", old_string="a", new_string="b"),
    one("a long file to edit", "edit", file_path="long.txt", old_string="a", new_string="b"),
    one("read-only to edit", "edit", file_path="{root}/../ro/fixed.txt", old_string="fixed", new_string="b"),
    one("a pipe to edit", "edit", file_path="pipe", old_string="a", new_string="b"),
    one("the outside to edit", "edit", file_path="/etc/hostname", old_string="a", new_string="b"),
    # glob
    one("every text", "glob", pattern="*.txt"),
    one("everything below", "glob", pattern="**/*.py"),
    one("in a folder", "glob", pattern="*", path="sub"),
    one("classes", "glob", pattern="[ab]*.txt"),
    one("hidden", "glob", pattern=".*"),
    one("none", "glob", pattern="*.none"),
    one("many", "glob", pattern="many/*"),
    one("a whole path", "glob", pattern="/etc/*"),
    one("dots in the pattern", "glob", pattern="../*"),
    one("an empty pattern", "glob", pattern=""),
    one("the outside to list", "glob", pattern="*", path="/etc"),
    one("through a link to the outside to list", "glob", pattern="outdir/*"),
    one("a loop to list", "glob", pattern="loop*"),
    one("another root to list", "glob", pattern="*", path="{root}/../ro"),
    one("two stars in a name", "glob", pattern="a**"),
    # grep
    one("a word", "grep", pattern="one"),
    one("an expression", "grep", pattern=r"^l\w+ [23]$"),
    one("in a folder only", "grep", pattern="def", path="sub"),
    one("in a file only", "grep", pattern="line", path="lines.txt"),
    one("nowhere", "grep", pattern="zebra"),
    one("no expression", "grep", pattern="("),
    one("the outside to search", "grep", pattern="x", path="/etc"),
    one("very much", "grep", pattern="."),
    one("nothing at all", "grep", pattern=""),
    one("what is not there to search", "grep", pattern="x", path="none"),
]  # fmt: skip


LASTING = {"many", "huge.gif", "long.txt", "longbinary", "wide.txt"}
"""What takes long to make, and no case changes."""


def furnish(root: Path) -> None:
    """The folder that every case begins with."""
    readonly = root.parent / "ro"
    for folder in (root, readonly):
        for each in folder.iterdir():
            if each.name in LASTING:
                continue
            shutil.rmtree(each) if each.is_dir() and not each.is_symlink() else each.unlink()
    texts: dict[str, bytes] = {
        "a.txt": b"one\ntwo\n",
        "empty": b"",
        "lines.txt": b"line 1\nline 2\nline 3\nline 4\n",
        "crlf.txt": b"a\r\nb\r\n",
        "binary": b"\0\1\2\xff\xfe",
        "p.png": PNG,
        "P.JPG": PNG,
        "d.pdf": b"%PDF-1.4\n",
        "huge.gif": b"GIF89a" + bytes(4 * 1024 * 1024),
        "long.txt": b"".join(b"line %d of a long file, with some more text to fill it\n" % i for i in range(1, 6001)),
        "wide.txt": b"w" * 300_000 + b"\nshort\n",
        "longbinary": b"\xff\n" * 200_000,
        ".hidden": b"hidden\n",
        "sub/m.py": b"def main():\n    pass\n",
        "sub/deep/n.py": b"def other(): ...\n",
        "node_modules/skip.py": b"def one(): ...\n",
    }
    texts |= {f"many/{number:03}": b"" for number in range(230)}
    for number, (name, content) in enumerate(texts.items()):
        path = root / name
        if name.split("/")[0] in LASTING and path.exists():
            continue
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        os.utime(path, (1_700_000_000 + number, 1_700_000_000 + number))
    for number, name in enumerate(["sub", "sub/deep", "many", "node_modules"]):
        os.utime(root / name, (1_600_000_000 + number, 1_600_000_000 + number))
    os.mkfifo(root / "pipe")
    os.utime(root / "pipe", (1_500_000_000, 1_500_000_000))
    for name, target in {
        "link": "a.txt", "out": "/etc/hostname", "outdir": "/etc", "dangling": "nowhere", "dangling_out": "/var/nowhere",
        "loop1": "loop2", "loop2": "loop1",
    }.items():  # fmt: skip
        (root / name).symlink_to(target)
    (readonly / "fixed.txt").write_bytes(b"fixed\n")
    ground.give(root, root.stat().st_uid)  # of a box, once there is one
    os.utime(readonly / "fixed.txt", (1_700_000_000, 1_700_000_000))


def changes(case: Case) -> bool:
    return any(tool in ("write", "edit") for tool, _ in case.calls)


def filled(given: dict[str, Any], root: str) -> dict[str, Any]:
    return {key: value.replace("{root}", root) if isinstance(value, str) else value for key, value in given.items()}


def shown(content: Any) -> list[dict[str, Any]]:
    """A result as the SDK's session runner sends it."""
    blocks = [{"type": "text", "text": content}] if isinstance(content, str) else list(content)
    return [block | {"text": block["text"] or "(no output)"} if block["type"] == "text" else block for block in blocks]


@pytest.fixture
def roots(place: Path) -> Path:
    (place / "root").mkdir()
    (place / "ro").mkdir()
    return place / "root"


async def by_reference(case: Case, root: Path) -> list[tuple[bool, list[dict[str, Any]]]]:
    readonly = root.parent / "ro"
    context = AgentToolContext(
        workdir=root, allowed_roots=[readonly, Path("/rota-nowhere")], read_only_roots=[readonly],
        env={"PATH": "/usr/local/bin:/usr/bin:/bin", "LANG": "C.UTF-8", "HOME": "/home/agent"},
    )  # fmt: skip
    tools = {tool.name: tool for tool in beta_agent_toolset_20260401(context)}

    found: list[tuple[bool, list[dict[str, Any]]]] = []
    for tool, given in case.calls:
        try:
            content = await tools[tool].call(filled(given, str(root)))
            found.append((False, shown(content)))
        except ToolError as exc:
            found.append((True, shown(exc.content)))
    close: Any = tools["bash"].close
    if close is not None:
        await close()
    return found


async def test_every_case(roots: Path) -> None:
    """One box serves all cases, each with a new shell."""
    sandbox = driver()
    readonly = roots.parent / "ro"
    mounts = (Mount(roots, str(roots), writable=True), Mount(readonly, str(readonly)))
    differing: list[str] = []
    try:
        furnish(roots)
        box = await sandbox.open(Spec(name="sesn_same", mounts=mounts, workdir=str(roots)))
        for case in CASES:
            if changes(case):
                furnish(roots)
            wanted = await by_reference(case, roots)
            if changes(case):
                furnish(roots)
            if any(tool == "bash" for tool, _ in case.calls):
                await box.call("bash", {"restart": True})
            got: list[tuple[bool, list[dict[str, Any]]]] = []
            for tool, given in case.calls:
                done = await box.call(tool, filled(given, str(roots)))
                got.append((done.is_error, done.content))
            if got != wanted:
                differing.append(f"{case.name}\n  reference {str(wanted)[:300]}\n  ours      {str(got)[:300]}")
    finally:
        await sandbox.close()
    assert not differing, "\n".join(differing)
    assert len(CASES) > 100


async def test_a_shell_that_is_gone_is_replaced(place: Path) -> None:
    """Here we differ, on purpose: the reference asks for a restart, that not every model is offered."""
    sandbox = driver()
    (place / "w").mkdir()
    box = await sandbox.open(Spec(name="sesn_same", mounts=(Mount(place / "w", "/workspace", writable=True),)))
    for last in ({"command": "exit 1"}, {"command": "sleep 9", "timeout_ms": 50}, {"command": "kill -9 $$"}):
        assert (await box.call("bash", last)).is_error
        again = await box.call("bash", {"command": "echo here"})
        assert again.content == [{"type": "text", "text": "here"}]
        assert not again.is_error
    await sandbox.close()
    await asyncio.sleep(0)
