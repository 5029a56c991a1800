"""One attempt to tell an endpoint: sign, send, and say how it went (contract, webhooks §10.3–10.4).

Signatures are those of Standard Webhooks, one for each secret that is valid. Nothing is followed, nothing is retried here,
and of the answer only its status matters.
"""

import time
from typing import Final

from rota.base.clock import SystemClock, to_datetime
from rota.base.policy import Policy
from rota.outgoing import client
from rota.outgoing.failures import ForbiddenAddress, OutgoingFailure
from rota.resources.webhooks.deliveries import NOT_PUBLIC, REDIRECTED, Attempt, Claimed

SECONDS: Final = 15.0
"""How long an endpoint may take to answer, all in all. Less than a claim holds."""
_ANSWER: Final = 4096


def headers(delivery: Claimed) -> dict[str, str]:
    """What goes with the payload. The time is the machine's own, even where the server's clock is turned: it tells the
    receiver, whose clock nobody turned, that this is no replay."""
    from standardwebhooks import Webhook  # loaded at the first delivery

    sent = to_datetime(SystemClock().now())
    signatures = [Webhook(secret).sign(delivery.event_id, sent, delivery.payload) for secret in delivery.secrets]
    return {
        "content-type": "application/json",
        "webhook-id": delivery.event_id,
        "webhook-timestamp": str(int(sent.timestamp())),
        "webhook-signature": " ".join(signatures),
    }


async def attempt(delivery: Claimed, policy: Policy) -> Attempt:
    """Tell the endpoint, once."""
    began = time.monotonic()

    def ended(status: int | None, error: str | None, disable: str | None = None) -> Attempt:
        return Attempt(delivery=delivery, status=status, error=error, seconds=time.monotonic() - began, disable=disable)

    try:
        answer = await client.request(
            "POST", delivery.url, policy=policy, headers=headers(delivery), content=delivery.payload.encode(),
            seconds=SECONDS, size=_ANSWER, cut=True,
        )  # fmt: skip
    except ForbiddenAddress as exc:
        return ended(None, str(exc), NOT_PUBLIC)
    except OutgoingFailure as exc:
        return ended(None, str(exc))
    if 300 <= answer.status < 400:
        return ended(answer.status, "the endpoint answered with a redirect", REDIRECTED)
    if not 200 <= answer.status < 300:
        return ended(answer.status, f"the endpoint answered {answer.status}")
    return ended(answer.status, None)
