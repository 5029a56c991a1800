"""What was worked out before is remembered within bounds."""

from rota.base.recall import Recall


def test_what_was_kept_is_found_and_the_rest_is_not() -> None:
    recall: Recall[str, int] = Recall(10)
    recall.keep("a", 1, 1)
    recall.keep("b", 2, 1)
    assert recall.find(["a", "c", "b"]) == {"a": 1, "b": 2}


def test_what_was_asked_for_longest_ago_goes_first() -> None:
    recall: Recall[str, int] = Recall(3)
    for number, key in enumerate("abc"):
        recall.keep(key, number, 1)
    recall.find(["a"])
    recall.keep("d", 3, 1)
    assert recall.find("abcd") == {"a": 0, "c": 2, "d": 3}


def test_weights_count_and_a_value_that_is_kept_anew_counts_once() -> None:
    recall: Recall[str, int] = Recall(10)
    recall.keep("a", 1, 6)
    recall.keep("a", 2, 6)
    recall.keep("b", 3, 4)
    assert recall.find("ab") == {"a": 2, "b": 3}
    recall.keep("c", 4, 9)
    assert recall.find("abc") == {"c": 4}
    recall.keep("d", 5, 11)
    assert recall.find("abcd") == {}
