"""Workers, an engine, clients and an operator who do whatever they like, in any order, and die at any moment.

What must hold after every step: a session has one live item at most; what arrived and no worker was handed since has a live
item; a token works for whoever has the item, and an old one never does.
"""

from dataclasses import dataclass

import hypothesis
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    consumes,
    initialize,
    invariant,
    rule,
    run_state_machine_as_test,
)

from tests.api import Api
from tests.resources.work.office import INTERRUPT, Hold, Office

GRACE = LEASE = 300


@dataclass
class Hand:
    """A hand-out as its worker knows it."""

    hold: Hold
    number: int
    """Of all hand-outs, in their order."""
    until: float
    """When its lease ends, unless it is renewed."""
    acknowledged: bool = False
    claimed: bool = False
    lost: bool = False
    """Its item was handed out anew after a lease ended, went to whoever sent a heartbeat first, or another item of the session
    was handed out: it must never do anything again."""


def machine(api: Api) -> type[RuleBasedStateMachine]:
    """The machine for one house; each example has an environment of its own in it."""

    class Work(RuleBasedStateMachine):
        sessions = Bundle("sessions")
        hands = Bundle("hands")

        def __init__(self) -> None:
            super().__init__()
            self.office = Office(api)
            self.unmet: dict[str, bool] = {}
            self.waiting: dict[str, bool] = {}
            """Whether the session waits for results: what an interrupt looks at."""
            self.all: list[Hand] = []
            self.now = 0.0

        # Clients

        @initialize(target=sessions)
        def first(self) -> str:
            return self._session()

        @rule(target=sessions)
        def create(self) -> str:
            return self._session()

        def _session(self) -> str:
            session = self.office.session()
            self.unmet[session] = True
            return session

        @rule(session=sessions)
        def message(self, session: str) -> None:
            if session in self.unmet:
                self.office.send(session).ok()
                self.unmet[session] = True
                self.waiting[session] = False

        @rule(session=sessions)
        def interrupt(self, session: str) -> None:
            if session in self.unmet:
                self.office.send(session, INTERRUPT).ok()
                if self.waiting.get(session):
                    self.unmet[session] = True

        @rule(session=sessions)
        def archive(self, session: str) -> None:
            if session in self.unmet:
                self.office.rest(session)
                api.post(f"/v1/sessions/{session}/archive").ok()
                del self.unmet[session]

        # The engine

        @rule(session=sessions)
        def call(self, session: str) -> None:
            if session in self.unmet:
                self.office.call(session)
                self.unmet[session] = True
                self.waiting[session] = True

        @rule(session=sessions)
        def rest(self, session: str) -> None:
            if session in self.unmet:
                self.office.rest(session)
                self.unmet[session] = False
                self.waiting[session] = False

        # Workers

        @rule(target=hands, reclaim=st.sampled_from([0, 5000, 60_000]))
        def poll(self, reclaim: int) -> Hand | None:
            item = self.office.poll(query={"reclaim_older_than_ms": reclaim})
            if item is None:
                return None
            hand = Hand(Hold(self.office, item), len(self.all), self.now + LEASE)
            for other in self.all:
                if other.hold.session == hand.hold.session:
                    same_wait = other.hold.id == hand.hold.id and not other.acknowledged and self._holds(other)
                    other.lost = other.lost or not same_wait
            self.all.append(hand)
            assert item["data"]["id"] in self.unmet, "the session is over"
            self.unmet[hand.hold.session] = False
            return hand

        @rule(hand=hands)
        def acknowledge(self, hand: Hand | None) -> None:
            if hand is None:
                return
            response = self.office.ack(hand.hold.id)
            assert response.status in (200, 409)
            if response.status == 200:
                for other in self._of(hand):
                    other.acknowledged, other.until = True, self.now + LEASE

        @rule(hand=hands)
        def beat(self, hand: Hand | None) -> None:
            if hand is None:
                return
            response = hand.hold.beat()
            assert response.status in (200, 412), response.body
            if response.status == 200 and response.body["lease_extended"]:
                assert not hand.lost
                for other in self._of(hand):
                    other.lost = other.lost or other is not hand
                hand.claimed, hand.until = True, self.now + LEASE
            elif response.status == 412:
                hand.lost = hand.lost or hand.claimed

        @rule(hand=hands, force=st.booleans())
        def leave(self, hand: Hand | None, force: bool) -> None:
            if hand is None:
                return
            response = hand.hold.stop(force=force)
            assert response.status in (200, 409), response.body
            if response.status == 200 and response.body["state"] == "stopped":
                for other in self._of(hand):
                    other.until = min(other.until, self.now)

        @rule(hand=consumes(hands))
        def die(self, hand: Hand | None) -> None:
            """Nothing is heard of this worker again."""

        # The operator, and time

        @rule(force=st.booleans(), which=st.integers(0, 3))
        def stop(self, force: bool, which: int) -> None:
            live = self.office.live()
            if which < len(live):
                item = live[which]
                after = self.office.stop(item["id"], force=force, key=self.office.key).ok()
                if after["state"] == "stopped":
                    untouched = not [h for h in self.all if h.hold.id == item["id"] and not h.lost and self._holds(h)]
                    if item["state"] == "queued" and untouched:
                        self.unmet[item["data"]["id"]] = False  # whoever takes an item out of the queue means it
                    for hand in self.all:
                        if hand.hold.id == item["id"]:
                            hand.until = min(hand.until, self.now + GRACE)

        @rule(seconds=st.sampled_from([1, 6, 61, 299, 301]))
        def wait(self, seconds: int) -> None:
            self.office.clock.advance(seconds=seconds)
            self.now += seconds

        # What must hold

        @invariant()
        def a_session_has_one_live_item_at_most(self) -> None:
            live = [item["data"]["id"] for item in self.office.live()]
            assert len(set(live)) == len(live)
            for session, unmet in self.unmet.items():
                assert not unmet or session in live, f"{session} waits, and nobody will come"

        @invariant()
        def old_tokens_never_work(self) -> None:
            for hand in self.all[-12:]:
                status = api.get(f"/v1/sessions/{hand.hold.session}", key=hand.hold.token).status
                assert status in (200, 401)
                if hand.lost or not self._holds(hand):
                    assert status == 401, "an old token works"
                elif hand.claimed:
                    assert status == 200, "whoever has the item cannot work"

        def _holds(self, hand: Hand) -> bool:
            return self.now < hand.until

        def _of(self, hand: Hand) -> list[Hand]:
            """The hand-outs of the same item."""
            return [each for each in self.all if each.hold.id == hand.hold.id]

    return Work


def play(api: Api, *, examples: int, steps: int, seed: int = 0, shrink: bool = False) -> None:
    """Let them do so many examples of so many steps; the same ones for the same seed."""
    phases = (Phase.generate, Phase.shrink) if shrink else (Phase.generate,)
    given = settings(
        max_examples=examples, stateful_step_count=steps, deadline=None, database=None, phases=phases,
        suppress_health_check=list(HealthCheck),
    )  # fmt: skip
    run_state_machine_as_test(hypothesis.seed(seed)(machine(api)), settings=given)
