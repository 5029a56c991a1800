"""The place for bytes: one suite over a folder and over S3, and what only a folder promises."""

import asyncio
import fcntl
import os
import stat
from collections.abc import AsyncIterator, Awaitable, Iterator
from hashlib import sha256
from pathlib import Path
from typing import TypeVar

import pytest

from rota.base.clock import DAY, HandClock
from rota.base.errors import DiskFull, Unavailable, Unusable
from rota.store.blob import Blobs, Written
from rota.store.blobs import directory
from rota.store.blobs.directory import DirectoryBlobs
from rota.store.place import folder_of, open_blobs
from tests.conftest import START

R = TypeVar("R")
SIZES = [0, 1, 4096, (1 << 20) - 1, 1 << 20, (1 << 20) + 1, 5_000_000]


class Place:
    """A place and the loop that it is used on."""

    def __init__(self, url: str, **access: str) -> None:
        self.url = url
        self.access = access
        self.clock = HandClock(START)
        self.runner = asyncio.Runner()
        self.blobs: Blobs = open_blobs(url, self.clock, **access)

    def run(self, work: Awaitable[R]) -> R:
        async def wait() -> R:
            return await work

        return self.runner.run(wait())

    def keep(self, *chunks: bytes, prefix: str = "files") -> Written:
        """Write an object."""

        async def work() -> Written:
            async with self.blobs.write(prefix) as writer:
                for chunk in chunks:
                    await writer.write(chunk)
                return await writer.finish()

        return self.run(work())

    def get(self, location: str, start: int = 0) -> bytes:
        """Read an object."""

        async def work() -> bytes:
            return b"".join([chunk async for chunk in self.blobs.read(location, start=start)])

        return self.run(work())

    def orphans(self, prefix: str = "files", *, older_than: int | None = None) -> list[str]:
        """Everything that is older."""

        async def work() -> list[str]:
            older = self.clock.now() if older_than is None else older_than
            return [each async for each in self.blobs.orphans(prefix, older_than=older)]

        return self.run(work())

    def close(self) -> None:
        self.run(self.blobs.close())
        self.runner.close()


@pytest.fixture(params=["folder"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Place]:
    """A fresh place of each kind in turn."""
    made = Place((tmp_path / "blobs").as_uri())
    yield made
    made.close()


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Place]:
    """A folder."""
    made = Place((tmp_path / "blobs").as_uri())
    yield made
    made.close()


# Every place


@pytest.mark.parametrize("size", SIZES)
def test_what_was_written_is_read_with_its_size_and_digest(place: Place, size: int) -> None:
    content = os.urandom(size)
    written = place.keep(*(content[at : at + 300_000] for at in range(0, size, 300_000)))
    assert (written.size, written.digest) == (size, sha256(content).hexdigest())
    assert place.get(written.location) == content


@pytest.mark.parametrize("start", [0, 1, 4095, 1 << 20, (1 << 20) + 17, 3_000_000])
def test_reading_begins_anywhere(place: Place, start: int) -> None:
    content = os.urandom(3_000_000)
    assert place.get(place.keep(content).location, start) == content[start:]


def test_the_same_bytes_twice_are_two_objects(place: Place) -> None:
    assert place.keep(b"x").location != place.keep(b"x").location


def test_an_object_that_is_gone_cannot_be_read_and_can_be_removed_again(place: Place) -> None:
    location = place.keep(b"x").location
    for _ in range(2):
        place.run(place.blobs.remove(location))
        with pytest.raises(Unavailable):
            place.get(location)


@pytest.mark.parametrize(
    "location", ["", "x", "../../etc/passwd", "files/../../x", "/etc/passwd", "files/2026-03-02/x"]
)
def test_what_is_no_location_is_not_looked_for(place: Place, location: str) -> None:
    with pytest.raises(Unavailable):
        place.get(location)
    with pytest.raises(Unavailable):
        place.run(place.blobs.remove(location))


@pytest.mark.parametrize("size", [0, 10, 3_000_000])
def test_what_is_not_finished_leaves_nothing(place: Place, size: int, tmp_path: Path) -> None:
    async def work() -> None:
        async with place.blobs.write("files") as writer:
            await writer.write(b"x" * size)
            raise KeyError("changed my mind")

    with pytest.raises(KeyError):
        place.run(work())
    place.clock.advance(seconds=9e6)
    assert place.orphans() == []
    assert [each for each in (tmp_path / "blobs").rglob("*") if each.is_file()] == []


def test_a_writer_that_is_cancelled_leaves_nothing(place: Place, tmp_path: Path) -> None:
    async def write(begun: asyncio.Event) -> None:
        async with place.blobs.write("files") as writer:
            while True:
                await writer.write(b"x" * 3_000_000)
                begun.set()

    async def work() -> None:
        begun = asyncio.Event()
        task = asyncio.create_task(write(begun))
        await begun.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    place.run(work())
    place.clock.advance(seconds=9e6)
    assert place.orphans() == []
    assert [each for each in (tmp_path / "blobs").rglob("*") if each.is_file()] == []


def test_objects_are_told_by_age_and_prefix_oldest_first(place: Place) -> None:
    first = place.keep(b"1").location
    place.clock.advance(seconds=60)
    second = place.keep(b"2").location
    place.clock.set(place.clock.now() + 3 * DAY)
    third = place.keep(b"3").location
    place.keep(b"other", prefix="skills")
    assert place.orphans() == [first, second]
    assert place.orphans(older_than=START) == []
    assert place.orphans(older_than=START + 1) == [first]
    assert place.orphans(older_than=place.clock.now() + 1) == [first, second, third]
    assert place.orphans("nothing") == []
    place.run(place.blobs.remove(first))
    place.run(place.blobs.remove(second))
    assert place.orphans(older_than=place.clock.now() + 1) == [third]


def test_a_reader_may_stop_early(place: Place) -> None:
    location = place.keep(b"x" * 5_000_000).location

    async def work() -> int:
        chunks: AsyncIterator[bytes] = place.blobs.read(location)
        async for chunk in chunks:
            await chunks.aclose()  # type: ignore[attr-defined]
            return len(chunk)
        return 0

    assert 0 < place.run(work()) < 5_000_000


def test_many_write_and_read_at_once(place: Place) -> None:
    async def one(number: int) -> bool:
        content = bytes([number]) * 400_000
        async with place.blobs.write("files") as writer:
            for at in range(0, len(content), 70_000):
                await writer.write(content[at : at + 70_000])
            written = await writer.finish()
        return b"".join([chunk async for chunk in place.blobs.read(written.location)]) == content

    async def work() -> list[bool]:
        return await asyncio.gather(*(one(number) for number in range(30)))

    assert all(place.run(work()))


# A folder


def files(place: Place) -> list[Path]:
    root = folder_of(place.url)
    assert root is not None
    return sorted(each for each in root.rglob("*") if each.is_file())


def test_files_and_folders_are_their_owners_alone(folder: Place) -> None:
    folder.keep(b"x")
    [path] = files(folder)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    for above in list(path.parents)[:3]:
        assert stat.S_IMODE(above.stat().st_mode) == 0o700


def test_bytes_names_and_folders_are_flushed_before_the_answer(folder: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    flushed: list[str] = []
    fsync = os.fsync

    def note(file: int) -> None:
        flushed.append(str(Path(f"/proc/self/fd/{file}").readlink()))
        fsync(file)

    monkeypatch.setattr(os, "fsync", note)
    folder.keep(b"x")
    [path] = files(folder)
    assert flushed[-2].endswith(".part"), "the bytes, under the name that they had"
    assert flushed[-1] == str(path.parent), "the name that they have"
    assert set(map(str, list(path.parents)[1:4])) <= set(flushed), "each new folder's name"


def test_a_writer_that_lives_is_left_alone_and_a_dead_one_is_cleared_away(folder: Place) -> None:
    async def work() -> None:
        async with folder.blobs.write("files") as writer:
            await writer.write(b"x" * 2_000_000)
            await writer.write(b"x" * 2_000_000)  # the first has reached the disk
            folder.clock.advance(seconds=9e6)
            assert [each async for each in folder.blobs.orphans("files", older_than=folder.clock.now())] == []
            written = await writer.finish()
        assert written.size == 4_000_000
        assert [chunk async for chunk in folder.blobs.read(written.location)]

    folder.run(work())
    [path] = files(folder)
    dead = path.with_name(path.name + ".part")
    path.rename(dead)
    assert folder.orphans() == []
    assert dead.exists(), "not yet old enough"
    folder.clock.advance(seconds=1)
    assert folder.orphans() == []
    assert not dead.exists()


def test_what_is_not_ours_is_left_alone(folder: Place) -> None:
    location = folder.keep(b"x").location
    [path] = files(folder)
    for name in ("notes.txt", "notes.part", ".hidden"):
        path.with_name(name).write_text("mine")
    folder.clock.advance(seconds=9e6)
    assert folder.orphans() == [location]
    assert len(files(folder)) == 4


def test_empty_days_are_tidied_away_and_come_again(folder: Place) -> None:
    folder.run(folder.blobs.remove(folder.keep(b"x").location))
    [day] = (folder_of(folder.url) or Path()).glob("files/*")
    folder.clock.set(START + 2 * DAY)
    assert folder.orphans() == []
    assert not day.exists()
    folder.clock.set(START)
    assert folder.get(folder.keep(b"again").location) == b"again"


@pytest.mark.parametrize(("number", "kind"), [(28, DiskFull), (122, DiskFull), (5, Unavailable), (13, Unavailable)])
def test_what_the_disk_says_is_told_as_a_fault(
    folder: Place, monkeypatch: pytest.MonkeyPatch, number: int, kind: type[Exception]
) -> None:
    def refuse(_file: int, _chunk: bytes) -> None:
        raise OSError(number, "no")

    monkeypatch.setattr(directory, "_write", refuse)
    with pytest.raises(kind):
        folder.keep(b"x" * 3_000_000)
    assert files(folder) == []


def test_the_lock_of_a_writer_dies_with_its_process(folder: Place) -> None:
    made, location = folder.blobs.begin("files")  # type: ignore[attr-defined]
    part = (folder_of(folder.url) or Path()) / (location + ".part")
    with part.open("r+b") as other:
        with pytest.raises(BlockingIOError):
            fcntl.flock(other, fcntl.LOCK_EX | fcntl.LOCK_NB)
        os.close(made)
        fcntl.flock(other, fcntl.LOCK_EX | fcntl.LOCK_NB)


def test_a_url_names_a_place_or_is_refused(tmp_path: Path) -> None:
    assert isinstance(open_blobs((tmp_path / "a b").as_uri(), HandClock(START)), DirectoryBlobs)
    assert folder_of((tmp_path / "a b").as_uri()) == tmp_path / "a b"
    for url in ("file://", "file:///", "file:relative", "file://host/path", "ftp://x", "/plain/path", "s3:bucket"):
        with pytest.raises(Unusable, match="file:///"):
            open_blobs(url, HandClock(START))
