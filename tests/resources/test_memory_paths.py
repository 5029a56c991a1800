"""Paths of memories: what may be one, and that none leads anywhere but to one file below the mount (contract, memory stores)."""

import os.path
import posixpath
import unicodedata
from pathlib import Path, PurePosixPath

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from rota.base.errors import InvalidRequest
from rota.resources.memory_stores import paths
from tests.api import Api

SLASHES = "path: must start with /"
EMPTY = "path: must not have an empty segment (two slashes in a row, or one at the end)"
DOTS = "path: must not have a segment that is . or .."
UNSEEN = "path: must not have control or format characters or line or paragraph separators"
NFC = "path: must be in Unicode Normalization Form C"
LONG = "path: must be 2 to 1024 bytes long"
MANY = "path: must have at most 20 segments"

REFUSED = [
    ("", LONG), ("/", LONG), ("a", LONG), ("/" + "a" * 1024, LONG), ("/" + "é" * 512, LONG), ("/" + "日" * 342, LONG),
    ("ab", SLASHES), ("a/b", SLASHES), ("\\a", SLASHES), (" /a", SLASHES), ("~/a", SLASHES), ("./a", SLASHES),
    ("../a", SLASHES), ("C:/a", SLASHES), ("／a", SLASHES), ("file:///a", SLASHES), ("%2fa", SLASHES),
    ("//", EMPTY), ("/a/", EMPTY), ("/a//b", EMPTY), ("//a", EMPTY), ("/a//", EMPTY), ("//server/share", EMPTY),
    ("/.", DOTS), ("/..", DOTS), ("/./a", DOTS), ("/../a", DOTS), ("/a/..", DOTS), ("/a/.", DOTS), ("/a/../b", DOTS),
    ("/a/./b", DOTS), ("/../../etc/passwd", DOTS), ("/a/../../b", DOTS),
    ("/a\x01", UNSEEN), ("/a\nb", UNSEEN), ("/a\r", UNSEEN), ("/\t", UNSEEN), ("/a\x1b[2J", UNSEEN), ("/a\x7f", UNSEEN),
    ("/a\x85b", UNSEEN), ("/a\x9f", UNSEEN), ("/a\u00adb", UNSEEN), ("/a\u200bb", UNSEEN), ("/a\u200d", UNSEEN),
    ("/\u202ea", UNSEEN), ("/a\u2066b", UNSEEN), ("/\ufeffa", UNSEEN), ("/a\u2028b", UNSEEN), ("/a\u2029b", UNSEEN),
    ("/a\U000e0041", UNSEEN), ("/.\u200d./a", UNSEEN), ("/\x01..", UNSEEN),
    ("/e\u0301", NFC), ("/A\u030a", NFC), ("/\u212b", NFC), ("/\u1100\u1161", NFC), ("/\u2126/a", NFC), ("/a/\u0344", NFC),
    ("/a" * 21, MANY),
]  # fmt: skip
ACCEPTED = [
    "/a", "/a.md", "/a/b/c", "/.hidden", "/...", "/..a", "/a..", "/.a/..b/c..", "/a b", "/ ", "/ a ", "/-rf", "/~",
    "/a" * 20, "/" + "a" * 1023, "/" + "日" * 341, "/" + "a" * 255, "/é/日誌", "/😀", "/\u00a0", "/\u3000", "/a\\b", "/..\\a",
    "/\\..\\a", "/%2e%2e/a", "/%2e%2e%2fa", "/%00", "/a%0ab", "/&#46;&#46;", "/‥", "/․․", "/。。/a", "/．．/a", "/a／..／b",
    "/a∕b", "/a⁄b", "/CON", "/NUL.txt", "/aux", "/COM1", "/a:b", "/a:$DATA", "/a?", "/a*", '/"', "/<a>", "/a|b", "/$HOME",
    "/`id`", "/a;b", "/.git/config", "/.anthropic-memory-store", "/etc/passwd", "/proc/self/root", "/аdmin", "/admin",
    "/ADMIN", "/a\u0600".replace("\u0600", "\u0660"), "/\ue000", "/\u0378",
]  # fmt: skip


@pytest.mark.parametrize(("path", "message"), REFUSED, ids=[repr(path[:20]) for path, _ in REFUSED])
def test_a_path_that_breaks_a_rule_is_refused_by_its_name(still_api: Api, path: str, message: str) -> None:
    store = still_api.memory_store()["id"]
    body = {"path": path, "content": ""}
    assert still_api.post(f"/v1/memory_stores/{store}/memories", body).refused(400) == message
    memory = still_api.memory({"id": store}, "/there")
    where = f"/v1/memory_stores/{store}/memories/{memory['id']}"
    assert still_api.post(where, {"path": path}).refused(400) == message
    assert still_api.get(where).ok() == memory


def test_a_path_with_a_nul_or_half_a_character_is_refused(still_api: Api) -> None:
    store = still_api.memory_store()["id"]
    for text in (rb'"/a\u0000"', b'"/a\x00"', rb'"/\ud800"', rb'"/\udfff\ud800"', b'"/\xff"', b'"/\xc0\xae\xc0\xae/a"'):
        raw = b'{"content": "", "path": ' + text + b"}"
        still_api.post(f"/v1/memory_stores/{store}/memories", raw=raw).refused(400)
    assert still_api.get(f"/v1/memory_stores/{store}/memories").ok()["data"] == []


@pytest.mark.parametrize("path", ACCEPTED, ids=repr)
def test_whatever_breaks_no_rule_is_ordinary_text(still_api: Api, path: str) -> None:
    store = still_api.memory_store()
    memory = still_api.memory(store, path)
    assert memory["path"] == path
    assert still_api.get(f"/v1/memory_stores/{store['id']}/memories/{memory['id']}").ok() == memory


def test_look_alikes_are_different_memories(api: Api) -> None:
    store = api.memory_store()
    for path in ("/admin", "/аdmin", "/Admin", "/admin ", "/%61dmin", "/ａdmin", "/adm\u0131n", "/straße", "/strasse"):
        assert api.memory(store, path)["path"] == path
    for path in ("/admin", "/straße"):
        api.post(f"/v1/memory_stores/{store['id']}/memories", {"path": path, "content": ""}).refused(
            409, "memory_path_conflict_error"
        )


# Properties

NASTY = [
    "/",
    "//",
    ".",
    "..",
    "/..",
    "../",
    "\\",
    "%2e",
    "%2f",
    "~",
    "\0",
    "\n",
    "\u202e",
    "e\u0301",
    "é",
    "a",
    " ",
    "‥",
    "．",
    "／",
]
texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=30) | st.lists(
    st.sampled_from(NASTY) | st.characters(exclude_categories=["Cs"]), max_size=30
).map("".join)
anything = texts.map(lambda text: "/" + text) | texts


def accepted(path: str) -> bool:
    try:
        return paths.check(path) == path
    except InvalidRequest:
        return False


letters = st.characters(exclude_categories=["Cs", "Cc", "Cf", "Zl", "Zp"], exclude_characters="/")
segments = st.sampled_from(["...", "..a", ".a", "%2e%2e", "‥", "．．", "\\..", "~", " ", "a／..", "é"]) | st.text(
    letters, min_size=1, max_size=10
).map(lambda text: unicodedata.normalize("NFC", text)).filter(lambda text: text not in (".", ".."))
good = st.lists(segments, min_size=1, max_size=20).map(lambda parts: "/" + "/".join(parts)).filter(accepted)


@given(path=good)
@settings(max_examples=1500, deadline=None, database=None, suppress_health_check=[HealthCheck.too_slow])
def test_an_accepted_path_stays_below_any_folder(path: str) -> None:
    for root in ("/mnt/memory/notes", "/", "/a/b/c", "/mnt/memory/notes/../notes"):
        home = posixpath.normpath(root)
        joined = posixpath.normpath(root.rstrip("/") + path)
        assert joined == home.rstrip("/") + path, "the path is where it says, letter for letter"
        assert posixpath.commonpath([home, joined]) == home
        assert joined != home
        inner = PurePosixPath(home) / path.lstrip("/")
        assert inner.is_relative_to(home)
        assert len(inner.parts) == len(PurePosixPath(home).parts) + path.count("/")
    assert os.path.normpath(path) == path
    assert not any(part in ("", ".", "..") for part in path[1:].split("/"))


@given(path=anything | good)
@settings(max_examples=1500, deadline=None, database=None, suppress_health_check=[HealthCheck.too_slow])
def test_a_path_is_accepted_exactly_if_it_keeps_every_rule(path: str) -> None:
    parts = path.split("/")
    keeps = (
        parts[0] == ""
        and 2 <= len(parts) <= 21
        and not {"", ".", ".."} & set(parts[1:])
        and 2 <= len(path.encode()) <= 1024
        and unicodedata.normalize("NFC", path) == path
        and all(unicodedata.category(letter) not in ("Cc", "Cf", "Zl", "Zp") for letter in path)
    )
    assert accepted(path) == keeps


@given(path=good, other=good)
@settings(max_examples=500, deadline=None, database=None, suppress_health_check=[HealthCheck.too_slow])
def test_two_paths_lie_to_one_another_as_files_do(path: str, other: str) -> None:
    for each in (other, path + "/x", path + "/x/y", path + "x", path[:-1]):
        if not accepted(each) or each == path:
            continue
        inside = PurePosixPath(each).is_relative_to(path)
        lower, upper = paths.below(path + "/")
        assert (path in paths.above(each)) == inside
        assert (lower.encode() <= each.encode() < upper.encode()) == inside
        assert each.encode() > path.encode() or each.encode() < paths.after(path).encode()
        assert not path.encode() < each.encode() < paths.after(path).encode()


def test_real_files_agree(tmp_path: Path) -> None:
    root = tmp_path / "mount"
    for number, path in enumerate(path for path in ACCEPTED if max(map(len, path.encode().split(b"/"))) <= 255):
        file = root / str(number) / path.lstrip("/")
        file.parent.mkdir(parents=True)
        file.write_text(path)
        assert file.resolve().is_relative_to((root / str(number)).resolve())
        assert file.read_text() == path
    assert {each.name for each in tmp_path.iterdir()} == {"mount"}
