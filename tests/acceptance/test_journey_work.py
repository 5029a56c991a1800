"""What the official client saw of a self-hosted environment's work."""

from tests.acceptance.conftest import Story


def test_an_item_is_taken_up_kept_and_stopped(story: Story) -> None:
    seen = story.seen["work"]
    item = seen["polled"]
    assert (item["state"], item["data"]["type"]) == ("queued", "session")
    assert seen["secret"]
    assert seen["waiting"]["depth"] >= 1
    assert seen["taken"]["state"] == "starting"
    assert (seen["beaten"]["state"], seen["beaten"]["lease_extended"]) == ("active", True)
    assert seen["read"]["latest_heartbeat_at"] == seen["beaten"]["last_heartbeat"]
    assert seen["noted"]["metadata"] == {"by": story.style}
    assert item["id"] in seen["listed"]
    assert seen["stopped"]["state"] == "stopped"
    assert (seen["lost"]["status"], seen["lost"]["requests"]) == (412, 1)
    assert (seen["taken twice"]["status"], seen["taken twice"]["requests"]) == (409, 1)
    assert seen["forbidden"]["status"] == 403
