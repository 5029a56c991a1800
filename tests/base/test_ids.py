"""Ids look like those on record, sort by time, and cannot be guessed from one another."""

import re
from threading import Thread

from rota.base import ids


def test_an_id_is_its_prefix_01_and_22_characters_of_the_recorded_alphabet() -> None:
    assert re.fullmatch(r"depl_01[0-9A-HJ-Za-z]{22}", ids.new(ids.DEPLOYMENT))


def test_later_ids_are_greater_as_bytes() -> None:
    made = [ids.new(ids.SESSION) for _ in range(20_000)]
    assert made == sorted(made, key=str.encode)
    assert len(set(made)) == len(made)


def test_ids_of_many_threads_are_distinct() -> None:
    made: list[str] = []

    def work() -> None:
        made.extend([ids.new("x_") for _ in range(5_000)])

    threads = [Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set(made)) == 40_000


def test_many_at_once_go_on_where_single_ones_end() -> None:
    made = [ids.new("x_"), *ids.many("x_", 5_000), *ids.many("x_", 0), ids.new("x_"), *ids.many("x_", 3), ids.new("x_")]
    assert all(re.fullmatch(r"x_01[0-9A-HJ-Za-z]{22}", each) for each in made)
    assert made == sorted(made, key=str.encode)
    assert len(set(made)) == len(made) == 5_006
    assert {letter for each in made for letter in each[-13:]} == set(ids.ALPHABET)


def test_the_random_part_uses_the_whole_alphabet() -> None:
    seen = {letter for _ in range(2_000) for letter in ids.new("")[-13:]}
    assert seen == set(ids.ALPHABET)
