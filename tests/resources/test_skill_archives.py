"""What becomes of an archive that is sent as a skill: accepted whole and as it is, or refused for one named reason."""

import io
import zipfile
from pathlib import Path

import pytest

from rota.base.errors import Refusal
from rota.resources.skills.bundle import Bundle, Sent, pack
from tests.resources.archives import CASES, GOOD, MAIN, Case, standard, streamed
from tests.resources.zips import EXECUTABLE, Item, manifest, skill


def packed(raw: bytes, filename: str = "upload.zip") -> Bundle:
    """The bundle of one uploaded file."""
    return pack(io.BytesIO(raw), [Sent(filename, 0, len(raw))])


def whole(bundle: Bundle) -> bytes:
    """The archive that is kept."""
    bundle.file.seek(0)
    return bundle.file.read()


def refusal(raw: bytes, filename: str = "upload.zip") -> str:
    """What is said of one uploaded file."""
    with pytest.raises(Refusal) as caught:
        packed(raw, filename)
    return caught.value.message


def kept(bundle: Bundle) -> dict[str, bytes]:
    """The files in what is kept, read by the standard library."""
    with bundle.file, zipfile.ZipFile(io.BytesIO(whole(bundle))) as archive:
        assert archive.testzip() is None
        return {name: archive.read(name) for name in archive.namelist()}


def named(info: zipfile.ZipInfo) -> str:
    """A name as UTF-8, which the standard library takes for another code where it is not marked."""
    return info.filename if info.flag_bits & 0x800 else info.filename.encode("cp437").decode()


def test_the_corpus_is_large_and_each_case_is_one_of_its_kind() -> None:
    assert len(CASES) >= 80
    assert len({case.name for case in CASES}) == len(CASES)
    assert len({case.raw for case in CASES}) == len(CASES)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_an_archive_is_taken_or_refused_for_its_reason(case: Case) -> None:
    if case.said is not None:
        assert case.said in refusal(case.raw)
        return
    files = kept(packed(case.raw))
    assert files[MAIN] == manifest()
    with zipfile.ZipFile(io.BytesIO(case.raw)) as sent:
        assert files == {named(each): sent.read(each) for each in sent.infolist() if not each.is_dir()}


def test_what_is_kept_does_not_depend_on_who_packed_it() -> None:
    files = [(MAIN, manifest()), ("my-skill/b.txt", b"b" * 500), ("my-skill/a/c.txt", b"c")]
    ways = [standard(*files), standard(*reversed(files), comment=b"x"), streamed(*files), standard(*files, method=0)]
    bundles = [packed(way) for way in ways]
    assert len({bundle.digest for bundle in bundles}) == 1
    assert len({whole(bundle) for bundle in bundles}) == 1
    for bundle in bundles:
        bundle.file.close()


def test_an_archive_and_loose_files_come_to_the_same() -> None:
    files = [(MAIN, manifest()), ("my-skill/b.txt", b"b" * 500)]
    whole = b"".join(data for _, data in files)
    sent = [Sent(files[0][0], 0, len(files[0][1])), Sent(files[1][0], len(files[0][1]), 500)]
    with pack(io.BytesIO(whole), sent).file as loose, packed(standard(*files)).file as archive:
        loose.seek(0)
        archive.seek(0)
        assert loose.read() == archive.read()


def test_what_is_kept_is_plain() -> None:
    bundle = packed(skill(Item("my-skill/run.sh", b"#!/bin/sh\n", mode=EXECUTABLE | 0o6022), comment=b"made by hand"))
    with bundle.file, zipfile.ZipFile(bundle.file) as archive:
        assert archive.comment == b""
        assert [(each.filename, each.external_attr >> 16, each.create_system) for each in archive.infolist()] == [
            ("my-skill/SKILL.md", 0o100644, 3),
            ("my-skill/run.sh", 0o100755, 3),
        ]
        assert {each.date_time for each in archive.infolist()} == {(1980, 1, 1, 0, 0, 0)}
        assert not any(each.extra or each.comment for each in archive.infolist())


def test_the_index_says_what_is_in_it() -> None:
    bundle = packed(skill(Item("my-skill/bin/run.sh", b"#!/bin/sh\n", mode=EXECUTABLE)))
    bundle.file.close()
    assert [(each.path, each.size, each.executable) for each in bundle.files] == [
        ("SKILL.md", len(manifest()), False),
        ("bin/run.sh", 10, True),
    ]


def test_the_digest_sees_every_byte_path_and_mode() -> None:
    ways = [
        skill(Item("my-skill/a", b"1")),
        skill(Item("my-skill/a", b"2")),
        skill(Item("my-skill/b", b"1")),
        skill(Item("my-skill/a", b"1", mode=EXECUTABLE)),
    ]
    bundles = [packed(way) for way in ways]
    for bundle in bundles:
        bundle.file.close()
    assert len({bundle.digest for bundle in bundles}) == len(ways)


def test_the_folder_in_what_is_kept_has_the_skills_name() -> None:
    bundle = packed(standard(("My_Skill/SKILL.md", manifest())))
    assert (bundle.name, bundle.directory) == ("my-skill", "My_Skill")
    assert set(kept(bundle)) == {"my-skill/SKILL.md"}


@pytest.mark.parametrize("filename", ["a.zip", "a.skill", "A.ZIP", "folder/a.Skill", ".zip"])
def test_the_ending_says_that_a_file_is_an_archive(filename: str) -> None:
    packed(GOOD, filename).file.close()
    assert "the archive cannot be read" in refusal(manifest(), filename)


@pytest.mark.parametrize("filename", ["my-skill/SKILL.md.gz", "my-skill/a.tar", "my-skill/zip", "my-skill/a.zip.txt"])
def test_another_ending_does_not_although_the_bytes_are_one(filename: str) -> None:
    assert refusal(GOOD, filename) == "SKILL.md file must be exactly in the top-level folder."


def test_an_archive_beside_other_files_is_a_file() -> None:
    whole = manifest() + GOOD
    sent = [Sent(MAIN, 0, len(manifest())), Sent("my-skill/a.zip", len(manifest()), len(GOOD))]
    assert kept(pack(io.BytesIO(whole), sent)) == {MAIN: manifest(), "my-skill/a.zip": GOOD}


@pytest.mark.parametrize("size", [1, 65_535, 65_536, 65_537, 131_072, 200_001])
def test_files_of_every_size_come_through(size: int) -> None:
    noise = b"".join(n.to_bytes(4, "big") for n in range(size // 4 + 1))[:size]
    assert kept(packed(standard((MAIN, manifest()), ("my-skill/a", noise))))["my-skill/a"] == noise


def test_nothing_is_left_in_the_temporary_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    packed(GOOD).file.close()
    refusal(skill(Item("my-skill/a", b"abc", local={"crc": 1}, central={"crc": 1})))
    assert list(tmp_path.iterdir()) == []
