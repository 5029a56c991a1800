"""Things that are made once and used by many: one maker, no half-made things, nothing removed that is in use."""

import asyncio
import subprocess
import sys
from pathlib import Path

import pytest

from rota.runtime.shelf import Shelf


async def _write(folder: Path) -> None:
    (folder / "x").write_text("whole")


def names(folder: Path) -> list[str]:
    """What is in a folder."""
    return sorted(path.name for path in folder.iterdir())


def test_of_many_who_want_it_one_makes_it(tmp_path: Path) -> None:
    made: list[Path] = []

    async def make(folder: Path) -> None:
        made.append(folder)
        await asyncio.sleep(0)
        await _write(folder)

    async def work() -> None:
        shelves = [Shelf(tmp_path / "shelf") for _ in range(3)]  # as many servers
        taken = await asyncio.gather(*(shelf.take("thing", 0, make) for shelf in shelves * 3))
        assert {(held.path / "x").read_text() for held in taken} == {"whole"}
        for held in taken:
            held.release()

    asyncio.run(work())
    assert len(made) == 1


def test_a_maker_that_fails_leaves_nothing_and_the_next_one_makes_it(tmp_path: Path) -> None:
    async def fail(folder: Path) -> None:
        await _write(folder)
        raise ValueError("no")

    async def work() -> None:
        shelf = Shelf(tmp_path)
        with pytest.raises(ValueError, match="no"):
            await shelf.take("thing", 0, fail)
        assert names(tmp_path) == ["thing.lock"]
        (await shelf.take("thing", 0, _write)).release()

    asyncio.run(work())


def test_what_a_killed_maker_began_is_begun_anew(tmp_path: Path) -> None:
    script = (
        "import asyncio, os, sys\nfrom pathlib import Path\nfrom rota.runtime.shelf import Shelf\n"
        "async def make(folder):\n    (folder / 'x').write_text('half')\n    os.kill(os.getpid(), 9)\n"
        "asyncio.run(Shelf(Path(sys.argv[1])).take('thing', 0, make))\n"
    )
    killed = subprocess.run([sys.executable, "-c", script, str(tmp_path)], check=False)
    assert killed.returncode == -9
    assert (tmp_path / "thing.making" / "x").read_text() == "half"

    async def work() -> None:
        with await Shelf(tmp_path).take("thing", 0, _write) as held:
            assert (held.path / "x").read_text() == "whole"

    asyncio.run(work())


def test_only_what_nobody_uses_is_cleared(tmp_path: Path) -> None:
    async def work() -> None:
        shelf, other = Shelf(tmp_path), Shelf(tmp_path)
        held = await shelf.take("thing", 10, _write)
        (await shelf.take("young", 100, _write)).release()
        assert other.clear(50) == 0
        held.release()
        assert other.clear(10) == 0
        assert other.clear(50) == 1
        assert names(tmp_path) == ["young", "young.lock"]
        with await shelf.take("thing", 200, _write) as again:
            assert (again.path / "x").read_text() == "whole"

    asyncio.run(work())
