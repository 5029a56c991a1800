"""Clients that keep a server busy while it is being killed, and remember what they were told.

Each client is a thread with a deployment of its own and one connection that it keeps alive, with one request under way at
most. So after a crash it is known exactly how far each could have come: what it was answered happened, the one request
that broke off may or may not have, and a request with an Idempotency-Key is sent again until it is answered.
"""

import http.client
import threading
from collections.abc import Mapping
from typing import Any, NamedTuple

import msgspec

from tests.acceptance.server import KEY

HOST = "127.0.0.1"
_PATIENCE = 60.0


class Answer(NamedTuple):
    """What came back, and whether it says that it is a replay."""

    status: int
    raw: bytes
    replayed: bool


class Gate:
    """Open while a server is there to be asked; clients wait before it."""

    def __init__(self) -> None:
        self.open = threading.Event()
        self.closing_time = threading.Event()
        self.port = 0


class Told:
    """What one client knows."""

    def __init__(self) -> None:
        self.answered: dict[str, bytes] = {}
        """Run id to the reply's bytes."""
        self.keys: dict[str, bytes] = {}
        """Idempotency-Key to the reply's bytes."""
        self.broken = 0
        """Requests without a key whose answer never came."""
        self.repeated = 0
        """Requests with a key that were sent more than once."""
        self.caught_up = 0
        """Those of them that had been done although no answer came: the repetition was a replay."""
        self.surprises: list[str] = []
        """Answers that nobody expects."""


class Client(threading.Thread):
    """Fires its deployment again and again. ``keyed``: every request has an Idempotency-Key and is repeated until answered."""

    def __init__(self, gate: Gate, deployment_id: str, *, keyed: bool) -> None:
        super().__init__(name=deployment_id, daemon=True)
        self.gate = gate
        self.deployment_id = deployment_id
        self.keyed = keyed
        self.told = Told()
        self._path = f"/v1/deployments/{deployment_id}/run"
        self._connection: http.client.HTTPConnection | None = None

    def run(self) -> None:
        """Until closing time; what was begun with a key is finished."""
        number = 0
        while not self.gate.closing_time.is_set():
            self.gate.open.wait(_PATIENCE)
            number += 1
            if self.keyed:
                self._fire_until_answered(f"{self.deployment_id}-{number}")
            else:
                self._fire()
        self._hang_up()

    def _fire(self) -> None:
        answer = self._ask({})
        if answer is None:
            self.told.broken += 1
        else:
            self._note(answer)

    def _fire_until_answered(self, key: str) -> None:
        tries = 0
        while True:
            tries += 1
            answer = self._ask({"idempotency-key": key})
            if answer is not None and answer.status == 200:
                break
            if answer is not None and answer.status not in (409, 503):
                self.told.surprises.append(f"{key}: {answer}")
                return
            self.gate.open.wait(_PATIENCE)
        self.told.keys[key] = answer.raw
        self.told.repeated += tries > 1
        self.told.caught_up += answer.replayed
        self._note(answer)

    def _note(self, answer: Answer) -> None:
        if answer.status == 200:
            self.told.answered[msgspec.json.decode(answer.raw)["id"]] = answer.raw
        elif answer.status == 503:
            self.told.broken += 1
        else:
            self.told.surprises.append(str(answer))

    def _ask(self, headers: Mapping[str, str]) -> Answer | None:
        """One request; None if the connection broke before the whole answer was there."""
        try:
            if self._connection is None:
                self._connection = http.client.HTTPConnection(HOST, self.gate.port, timeout=_PATIENCE)
            self._connection.request("POST", self._path, headers={"x-api-key": KEY, **headers})
            response = self._connection.getresponse()
            replayed = response.getheader("idempotent-replayed") == "true"
            return Answer(response.status, response.read(), replayed)
        except (OSError, http.client.HTTPException):
            self._hang_up()
            return None

    def _hang_up(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None


class Counter(threading.Thread):
    """Counts up in a deployment's metadata: what was answered must never be taken back."""

    def __init__(self, gate: Gate, deployment_id: str) -> None:
        super().__init__(name=f"counter {deployment_id}", daemon=True)
        self.gate = gate
        self.deployment_id = deployment_id
        self.sent = 0
        self.answered = 0
        self.surprises: list[str] = []

    def run(self) -> None:
        """Until closing time."""
        connection: http.client.HTTPConnection | None = None
        while not self.gate.closing_time.is_set():
            self.gate.open.wait(_PATIENCE)
            self.sent += 1
            body = msgspec.json.encode({"metadata": {"count": str(self.sent)}})
            try:
                if connection is None:
                    connection = http.client.HTTPConnection(HOST, self.gate.port, timeout=_PATIENCE)
                connection.request("POST", f"/v1/deployments/{self.deployment_id}", body, {"x-api-key": KEY})
                response = connection.getresponse()
                raw = response.read()
            except (OSError, http.client.HTTPException):
                if connection is not None:
                    connection.close()
                connection = None
                continue
            if response.status == 200:
                self.answered = int(_count(raw))
            elif response.status != 503:
                self.surprises.append(f"{response.status} {raw!r}")
        if connection is not None:
            connection.close()


def _count(raw: bytes) -> Any:
    return msgspec.json.decode(raw)["metadata"]["count"]
