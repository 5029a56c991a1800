"""A real courier in a real house, and endpoints on loopback that behave well, badly, or not at all."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from anthropic import Anthropic
from standardwebhooks import Webhook, WebhookVerificationError

from rota.base.clock import HandClock
from rota.resources.webhooks import deliveries
from rota.store.tx import Tx
from tests.api import Api
from tests.courier.receiver import Receiver, receiving

FIFTY = 50


class Desk:
    """A house whose courier is at work while something is awaited, and the endpoints that it tells."""

    def __init__(self, api: Api, receiver: Receiver) -> None:
        self.api = api
        self.receiver = receiver

    def endpoint(self, path: str, **fields: Any) -> dict[str, Any]:
        body = {"url": self.receiver.url(path), "enabled_events": ["agent.created"], **fields}
        return self.api.post("/rota/v1/webhooks", body).ok()

    def got(self, path: str, count: int) -> list[Any]:
        return self.api.run(self.receiver.got(path, count))

    def deliveries(self, made: dict[str, Any]) -> list[dict[str, Any]]:
        return self.api.get(f"/rota/v1/webhooks/{made['id']}/deliveries").ok()["data"]

    def settled(self, made: dict[str, Any], wanted: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
        """The newest delivery once it is as wanted. The courier writes at its own pace; a read lets it go on."""
        for _ in range(50_000):
            newest = next(iter(self.deliveries(made)), None)
            if newest is not None and wanted(newest):
                return newest
        raise AssertionError(newest)

    def advance(self, seconds: float) -> None:
        """Turn the clock, and ring the bell that a turned clock rings."""
        clock = self.api.clock
        assert isinstance(clock, HandClock)
        clock.advance(seconds=seconds)
        self.api.write(ring)


def ring(tx: Tx) -> None:
    tx.wake(deliveries.TOPIC)


@pytest.fixture
def desk(database_url: str, tmp_path: Path, clock: HandClock) -> Iterator[Desk]:
    with Api(database_url, tmp_path, clock, only="api,courier", allow_private_hosts="127.0.0.1") as api:
        holder = receiving()
        receiver = api.run(holder.__aenter__())
        api.run(started(api))
        yield Desk(api, receiver)
        api.run(holder.__aexit__(None, None, None))


async def started(api: Api) -> None:
    api.house.start()


def delivered(delivery: dict[str, Any]) -> bool:
    return delivery["state"] == "delivered"


def attempted(times: int) -> Callable[[dict[str, Any]], bool]:
    """Whether the newest delivery was tried so often, and in vain."""
    return lambda delivery: delivery["attempts"] == times and delivery["state"] != "delivered"


def test_the_official_client_unwraps_what_is_sent(desk: Desk) -> None:
    made = desk.endpoint("/ok")
    agent = desk.api.agent()
    [told] = desk.got("/ok", 1)
    event = Anthropic(api_key="x").beta.webhooks.unwrap(told.body, headers=told.headers, key=made["signing_secret"])
    assert event.type == "event"
    assert event.data.type == "agent.created"
    assert event.data.id == agent["id"]
    assert event.id == told.headers["webhook-id"]
    with pytest.raises(WebhookVerificationError):
        Webhook(made["signing_secret"]).verify(told.body.replace(agent["id"], "agent_x"), told.headers)
    done = desk.settled(made, delivered)
    assert done["last_attempt"]["status"] == 204
    assert done["event"]["id"] == event.id


def test_both_secrets_verify_while_one_takes_over_from_the_other(desk: Desk) -> None:
    made = desk.endpoint("/ok")
    new = desk.api.post(f"/rota/v1/webhooks/{made['id']}/regenerate_signing_secret").ok()["signing_secret"]
    desk.api.agent()
    [told] = desk.got("/ok", 1)
    for secret in (made["signing_secret"], new):
        Webhook(secret).verify(told.body, told.headers)


@pytest.mark.parametrize(
    ("path", "said"),
    [
        ("/500", "the endpoint answered 500"),
        ("/404", "the endpoint answered 404"),
        ("/slams", "127.0.0.1"),
        ("/lies", "127.0.0.1"),
    ],
)
def test_three_attempts_under_one_id_and_then_no_more(desk: Desk, path: str, said: str) -> None:
    made = desk.endpoint(path)
    desk.api.agent()
    for number in (1, 2, 3):
        delivery = desk.settled(made, attempted(number))
        assert said in delivery["last_attempt"]["error"]
        if number < 3:
            assert delivery["state"] == "pending"
            desk.advance(120)
    assert delivery["state"] == "failed"
    assert delivery["next_attempt_at"] is None
    desk.advance(3600)
    told = desk.got(path, 3)
    assert len(told) == 3
    assert {each.headers["webhook-id"] for each in told} == {delivery["event"]["id"]}
    assert desk.api.get(f"/rota/v1/webhooks/{made['id']}").ok()["state"] == "enabled"


def test_the_pauses_between_attempts_grow_and_stay_within_five_and_a_hundred_and_twenty_seconds() -> None:
    first = [deliveries.back_off(1) / 1e6 for _ in range(500)]
    second = [deliveries.back_off(2) / 1e6 for _ in range(500)]
    assert min(first) >= 5
    assert max(second) <= 120
    assert max(first) < min(second)
    assert len(set(first)) > 400


def test_what_failed_can_be_sent_again_under_the_same_id(desk: Desk) -> None:
    made = desk.endpoint("/500")
    desk.api.agent()
    for number in (1, 2, 3):
        delivery = desk.settled(made, attempted(number))
        desk.advance(120)
    desk.receiver.answers["/500"] = "ok"
    desk.api.post(f"/rota/v1/webhooks/{made['id']}/deliveries/{delivery['id']}/resend").ok()
    again = desk.settled(made, delivered)
    assert again["attempts"] == 1
    assert again["id"] == delivery["id"]
    assert {told.headers["webhook-id"] for told in desk.got("/500", 4)} == {delivery["event"]["id"]}


def test_a_redirect_is_not_followed_and_disables_at_once(desk: Desk) -> None:
    made = desk.endpoint("/redirect")
    desk.api.agent()
    desk.settled(made, attempted(1))
    seen = desk.api.get(f"/rota/v1/webhooks/{made['id']}").ok()
    assert (seen["state"], seen["disabled_reason"]) == (
        "disabled",
        "auto-disabled: endpoint URL returned a redirect (3xx)",
    )
    assert desk.deliveries(made)[0]["state"] == "dropped"
    assert "/ok/elsewhere" not in desk.receiver.told
    enabled = desk.api.post(f"/rota/v1/webhooks/{made['id']}", {"state": "enabled"}).ok()
    assert enabled["disabled_reason"] == ""


def test_an_address_that_is_not_public_disables_at_once(desk: Desk) -> None:
    made = desk.endpoint("/ok")
    desk.api.house.app.policy.allow_private_hosts = ""  # the operator thought better of it
    desk.api.agent()
    desk.settled(made, attempted(1))
    seen = desk.api.get(f"/rota/v1/webhooks/{made['id']}").ok()
    assert seen["disabled_reason"] == "auto-disabled: endpoint URL resolved to an invalid address"
    assert desk.receiver.told == {}


def test_an_endpoint_that_fails_for_long_is_given_up_and_one_success_forgives(desk: Desk) -> None:
    made = desk.endpoint("/500")
    path = f"/rota/v1/webhooks/{made['id']}"

    def fail(events: int) -> None:
        for _ in range(events):
            desk.api.agent()
            for number in (1, 2, 3):
                if desk.api.get(path).ok()["state"] == "disabled":
                    return
                desk.settled(made, attempted(number))
                desk.advance(300)

    fail(6)  # 18 failures in a row
    assert desk.api.get(path).ok()["state"] == "enabled"
    desk.receiver.answers["/500"] = "ok"
    desk.api.agent()
    desk.settled(made, delivered)
    desk.receiver.answers["/500"] = "500"
    fail(6)
    assert desk.api.get(path).ok()["state"] == "enabled"
    fail(1)
    seen = desk.api.get(path).ok()
    assert (seen["state"], seen["disabled_reason"]) == ("disabled", "auto-disabled after sustained delivery failures")


def test_the_dead_delay_nobody_but_themselves(desk: Desk) -> None:
    """Dead endpoints of every kind get the same events, and more of them, while a healthy one is told at once."""
    for number in range(FIFTY // 2):
        desk.endpoint(f"/{('hang', 'drip', 'slams', '500', 'lies')[number % 5]}/{number}")
    made = desk.endpoint("/ok")
    for number in range(20):
        desk.api.agent(name=f"Clerk {number}")
    told = desk.got("/ok", 20)
    assert len({each.headers["webhook-id"] for each in told}) == 20
    desk.settled(made, delivered)
    assert len(desk.receiver.told) > 20


def test_a_courier_that_died_with_a_delivery_in_its_hands_loses_nothing(desk: Desk) -> None:
    made = desk.endpoint("/ok")
    api = desk.api
    api.run(stopped(api))
    api.agent()
    api.write(deliveries.share_out, api.house.app.policy)
    [taken] = api.write(deliveries.claim, api.house.app.policy, made["id"], 10)  # and then no more was heard of it
    assert api.write(deliveries.claim, api.house.app.policy, made["id"], 10) == []
    desk.advance(61)
    [again] = api.write(deliveries.claim, api.house.app.policy, made["id"], 10)
    assert again.id == taken.id
    assert again.attempts == 0
    late = deliveries.Attempt(delivery=taken, status=500, error="too late", seconds=1.0)
    api.write(deliveries.settle, [late])
    assert desk.deliveries(made)[0]["attempts"] == 0
    api.write(deliveries.settle, [deliveries.Attempt(delivery=again, status=200, error=None, seconds=1.0)])
    assert desk.deliveries(made)[0]["state"] == "delivered"


async def stopped(api: Api) -> None:
    for engine in api.house.engines:
        await engine.stop()


def test_old_deliveries_are_forgotten_and_those_on_their_way_are_not(desk: Desk) -> None:
    made = desk.endpoint("/ok")
    desk.api.agent()
    desk.settled(made, delivered)
    desk.api.run(stopped(desk.api))
    api = desk.api
    assert isinstance(api.clock, HandClock)
    api.clock.advance(seconds=8 * 86400)
    api.agent()
    api.write(deliveries.share_out, api.house.app.policy)
    assert len(desk.deliveries(made)) == 2
    assert api.write(deliveries._forget) == 1
    assert [each["state"] for each in desk.deliveries(made)] == ["pending"]
