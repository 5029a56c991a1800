"""What holds of every upload, however odd: it is refused, or everything in it stays below one folder and comes back as it was."""

import io
import posixpath
import unicodedata
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rota.base.errors import Refusal
from rota.resources.skills import manifest as manifests
from rota.resources.skills.bundle import Sent, pack
from rota.resources.skills.paths import Tree, check
from tests.resources import prove_archives
from tests.resources.archives import CASES
from tests.resources.zips import EXECUTABLE, FOLDER, LINK, REGULAR, Item, archive, manifest

PIECES = [
    "my-skill", "SKILL.md", "a", "A", "ä", "a\u0308", "Ä", "ß", "ss", "\ufb01", "fi", ".", "..", "...", "a.", " ", "C:", "c:x", "\\", "\x00",
    "\x1f", "\u200d", "a\u200d", "\u202e", "CON", "a" * 256, "~", "$HOME", "%2e%2e", "．．", "／", "a/../b", "",
]  # fmt: skip
names = st.one_of(st.sampled_from(PIECES), st.text(st.characters(exclude_categories=["Cs"]), max_size=8))
paths = st.one_of(
    st.lists(names, min_size=1, max_size=6).map("/".join),
    st.lists(names, min_size=1, max_size=3).map(lambda parts: "/".join(["my-skill", *parts])),
)
items = st.builds(
    Item,
    name=paths,
    data=st.one_of(st.binary(max_size=64), st.integers(0, 300).map(lambda n: b"ab" * n)),
    method=st.sampled_from([0, 8]),
    mode=st.sampled_from([0, REGULAR, REGULAR, EXECUTABLE, FOLDER, LINK]),
    descriptor=st.sampled_from([None, None, 12, 16, 20, 24]),
)


@given(path=paths)
def test_a_path_that_is_accepted_stays_below_where_it_is_unpacked(path: str) -> None:
    try:
        found = check(path)
    except Refusal:
        return
    assert "/".join(found) == path
    assert posixpath.normpath(posixpath.join("/root", path)) == f"/root/{path}"
    assert not any(unicodedata.category(c) == "Cc" or c in "\\:" for c in path)


@given(several=st.lists(paths, max_size=8))
def test_what_stands_together_stands_apart_on_every_file_system(several: list[str]) -> None:
    tree, kept = Tree(), list[str]()
    for path in several:
        try:
            tree.add(path)
        except Refusal:
            continue
        kept.append(path)
    for fold in (
        str,
        str.lower,
        str.casefold,
        lambda p: unicodedata.normalize("NFD", p),
        lambda p: unicodedata.normalize("NFKC", p),
    ):
        places = {fold(path) for path in kept}
        assert len(places) == len(kept)
        assert not any(place.startswith(other + "/") for place in places for other in places)


@settings(deadline=None)
@given(several=st.lists(items, max_size=5), stays=st.booleans())
def test_an_archive_is_refused_or_kept_as_it_is(several: list[Item], stays: bool) -> None:
    toll = prove_archives.Toll()
    prove_archives.attempt(
        archive([*([Item("my-skill/SKILL.md", manifest())] if stays else []), *several]), toll, "example"
    )
    assert toll.findings == []


@settings(deadline=None)
@given(several=st.lists(st.tuples(paths, st.binary(max_size=64)), max_size=5))
def test_loose_files_are_refused_or_kept_as_they_are(several: list[tuple[str, bytes]]) -> None:
    files = [("my-skill/SKILL.md", manifest()), *several]
    sent: list[Sent] = []
    for path, data in files:
        sent.append(Sent(path, sum(each.size for each in sent), len(data)))
    try:
        bundle = pack(io.BytesIO(b"".join(data for _, data in files)), sent)
    except Refusal:
        return
    with bundle.file:
        assert prove_archives.wrong_with(bundle) == []
        assert {each.path: each.size for each in bundle.files} == {
            path.partition("/")[2]: len(data) for path, data in files
        }


@settings(deadline=None)
@given(st.data())
def test_a_broken_archive_is_refused_or_kept_as_it_is(data: Any) -> None:
    chance = data.draw(st.randoms(use_true_random=False))
    toll, others = prove_archives.Toll(), prove_archives.starts()
    prove_archives.attempt(prove_archives.broken(chance.choice(others), others, chance), toll, "example")
    assert toll.findings == []


@settings(deadline=None)
@given(text=st.one_of(
    st.text(max_size=200),
    st.lists(st.sampled_from(["name", "description", ": ", "\n", "- ", "[", "{", "&a ", "*a", "!!str ", "!!python/object:os.system ", "|", ">",
                              '"', "'", "my-skill", "\\ud800", "\\0", "<<", "---", "#", "\t", "%TAG", "? ", "\x00", "ü"]), max_size=20).map("".join),
))  # fmt: skip
def test_front_matter_is_refused_or_gives_two_plain_texts(text: str) -> None:
    raw = f"---\nname: my-skill\ndescription: Does things.\n{text}\n---\n".encode("utf-8", "surrogatepass")
    for head in (raw, f"---\n{text}\n---\n".encode("utf-8", "surrogatepass")):
        try:
            said = manifests.read(head, "my-skill")
        except Refusal:
            continue
        assert said.name == "my-skill"
        assert 1 <= len(said.description) <= 1024
        said.description.encode()


@pytest.mark.parametrize("case", [case for case in CASES if case.said is None], ids=lambda case: case.name)
def test_the_good_archives_of_the_corpus_keep_every_promise(case: Any) -> None:
    toll = prove_archives.Toll()
    prove_archives.attempt(case.raw, toll, case.name)
    assert (toll.accepted, toll.findings) == (1, [])
