"""The sealing key is made once, and nobody ever sees half of it."""

import threading
from pathlib import Path

from rota.base import key_file
from rota.base.seal import Place


def test_all_that_need_the_key_first_get_the_same_whole_one(tmp_path: Path) -> None:
    for number in range(50):
        file = tmp_path / str(number) / "seal.key"
        together = threading.Barrier(4)
        opened: list[str] = []

        def ask(file: Path = file, together: threading.Barrier = together, opened: list[str] = opened) -> None:
            together.wait(10)
            opened.append(key_file.load(None, file).seal("secret", Place("place")).hex()[:28])

        threads = [threading.Thread(target=ask) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(10)
        assert len(opened) == 4, "somebody found a key file without a key in it"
        assert len(set(opened)) == 1, "two keys were made"
        assert [path.name for path in file.parent.iterdir()] == ["seal.key"]
        assert file.stat().st_mode & 0o777 == 0o600
