"""What the official client saw of streams, which it opened before it listed and sent."""

from tests.acceptance.conftest import Story
from tests.acceptance.test_journey import bad_request, not_found


def test_a_stream_shows_what_happens_from_its_opening_to_the_end(story: Story) -> None:
    seen = story.seen["streams"]
    kinds = ["user.interrupt", "session.updated", "session.status_terminated"]
    assert [event["type"] for event in seen["followed"]] == kinds
    assert len(seen["listed"]) == 1
    assert seen["followed"][0] == seen["sent"]["data"][0]
    assert seen["followed"][1]["title"] == "Seen"
    assert seen["followed"][2]["processed_at"] == seen["archived"]["archived_at"]
    assert seen["listed"] + seen["followed"][:2] == seen["listed in the end"]
    assert seen["followed when it was over"] == []


def test_a_threads_stream_shows_what_is_its_own(story: Story) -> None:
    seen = story.seen["streams"]
    assert [event["type"] for event in seen["thread"]] == ["user.interrupt", "session.deleted"]
    assert seen["thread"][0] == seen["sent to a thread"]["data"][0]
    not_found(seen["followed when it was gone"], "not found")


def test_a_primary_thread_is_not_archived(story: Story) -> None:
    bad_request(
        story.seen["streams"]["archived primary"],
        "The primary thread cannot be archived; archive the session instead.",
    )
