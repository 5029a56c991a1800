"""What the official client saw of the organization's webhook endpoints."""

from tests.acceptance.conftest import Story


def test_an_endpoint_lives_its_life(story: Story) -> None:
    seen = story.seen["webhooks"]
    if story.version == "0.121.0":
        assert seen == {}
        return
    assert seen["made"]["signing_secret"].startswith("whsec_")
    assert seen["read"] == {name: value for name, value in seen["made"].items() if name != "signing_secret"}
    assert seen["changed"]["state"] == "disabled"
    assert seen["made"]["id"] in seen["listed"]
    assert seen["new secret"]["signing_secret"] != seen["made"]["signing_secret"]
    assert seen["gone"] == {"id": seen["made"]["id"], "type": "webhook_endpoint_deleted"}
