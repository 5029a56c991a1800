"""The house rules that a machine can check: floors, files, words."""

import ast
import re
import socket
import subprocess
import sys
from pathlib import Path
from statistics import median, quantiles

import grimp
import pytest

ROOT = Path(__file__).parents[2]
MODULES = sorted((ROOT / "rota").rglob("*.py"))
FILES = [path for path in MODULES if path.name != "__init__.py"]
SIGNS = [path for path in MODULES if path.name == "__init__.py"]


def named(path: Path) -> str:
    return str(path.relative_to(ROOT))


def test_imports_go_down_and_the_rooms_keep_their_order() -> None:
    command = [str(Path(sys.executable).with_name("lint-imports")), "--no-cache"]
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stdout + result.stderr


def test_no_imports_go_in_a_circle() -> None:
    graph = grimp.build_graph("rota", exclude_type_checking_imports=True, cache_dir=None)
    seen: dict[str, int] = {}

    def visit(module: str, trail: tuple[str, ...]) -> None:
        if module in trail:
            pytest.fail(" -> ".join((*trail[trail.index(module) :], module)))
        if module in seen:
            return
        for below in sorted(graph.find_modules_directly_imported_by(module)):
            visit(below, (*trail, module))
        seen[module] = 1

    for module in sorted(graph.modules):
        visit(module, ())


def test_only_the_store_touches_database_libraries() -> None:
    for path in FILES:
        imports = re.findall(r"^\s*(?:import|from) (sqlite3|psycopg)\b", path.read_text(), re.MULTILINE)
        assert not imports or "store" in path.parts or path.name == "doctor.py", named(path)


def test_files_are_short() -> None:
    lengths = [len(path.read_text().splitlines()) for path in FILES]
    assert median(lengths) <= 160
    assert quantiles(lengths, n=10)[-1] <= 350
    longest = max(FILES, key=lambda path: len(path.read_text().splitlines()))
    assert len(longest.read_text().splitlines()) <= 600, named(longest)


@pytest.mark.parametrize("path", MODULES, ids=named)
def test_a_module_says_what_it_is(path: Path) -> None:
    assert ast.get_docstring(ast.parse(path.read_text())), named(path)


@pytest.mark.parametrize("path", SIGNS, ids=named)
def test_a_folder_has_a_sign_on_its_door_and_nothing_else(path: Path) -> None:
    assert len(ast.parse(path.read_text()).body) == 1, f"{named(path)} holds more than its docstring"


@pytest.mark.parametrize("path", FILES, ids=named)
def test_sql_lives_in_the_store_and_in_sql_files(path: Path) -> None:
    if path.name == "sql.py" or "store" in path.parts or path.name == "doctor.py":
        return
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            assert not re.match(r"\s*(SELECT .* FROM|INSERT INTO|UPDATE \w+ SET|DELETE FROM)\b", node.value), node.value


@pytest.mark.parametrize("path", FILES, ids=named)
def test_a_silenced_check_gives_its_reason(path: Path) -> None:
    for number, line in enumerate(path.read_text().splitlines(), 1):
        if match := re.search(r"#\s*(?:noqa|type: ignore|pyright: ignore)\S*(.*)", line):
            assert re.search(r"- \w+", match[1]), f"{named(path)}:{number} {line.strip()}"


@pytest.mark.parametrize("path", FILES, ids=named)
def test_names_are_not_empty_words(path: Path) -> None:
    assert not re.search(r"manager|helper|util|common|misc", path.stem), named(path)


def test_tests_reach_no_other_machine() -> None:
    with socket.socket() as stray, pytest.raises(PermissionError):
        stray.connect(("192.0.2.1", 9))  # an address reserved for documentation


def test_time_comes_from_one_clock() -> None:
    allowed = {"clock.py", "ids.py"}
    for path in FILES:
        if path.name not in allowed and "cli" not in path.parts:
            assert not re.search(r"time\.time(_ns)?\(|datetime\.now\(|utcnow\(", path.read_text()), named(path)


NETWORK = {
    "anthropic",
    "httpx",
    "httpx2",
    "httpcore",
    "httpcore2",
    "aiohttp",
    "requests",
    "urllib3",
    "h11",
    "anyio",
    "socket",
    "ssl",
    "smtplib",
    "ftplib",
}
CONNECTS = {
    "open_connection",
    "open_unix_connection",
    "create_connection",
    "create_unix_connection",
    "sock_connect",
    "connect_ex",
    "urlopen",
}


@pytest.mark.parametrize("path", FILES, ids=named)
def test_only_the_door_connects_to_other_hosts(path: Path) -> None:
    """Commands are clients of the server, the store has its drivers, and models are asked through the vendor's SDK (decision
    38); every other request goes through ``outgoing``.

    What runs inside boxes has no network but that box's own, and ``link`` and ``starter`` each hold a pair of sockets with nobody else at its
    ends but a tool host and a stage.
    """
    pairs = [("sandboxes", name) for name in ("link.py", "starter.py", "stage.py")]
    if {"outgoing", "cli", "providers", "inside"} & set(path.parts) or path.parts[-2:] in pairs:
        return
    for node in ast.walk(ast.parse(path.read_text())):
        names = [each.name for each in node.names] if isinstance(node, ast.Import) else []
        names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
        for name in names:
            assert name.split(".")[0] not in NETWORK, f"{named(path)} imports {name}"
            assert name not in ("http.client", "urllib.request"), f"{named(path)} imports {name}"
        called = node.attr if isinstance(node, ast.Attribute) else node.id if isinstance(node, ast.Name) else ""
        assert called not in CONNECTS, f"{named(path)} calls {called}"
