"""Ids of things that exist, so that hostile requests go deep instead of ending at the first 404."""

import json
import re
from collections import deque
from collections.abc import Sequence
from random import Random
from typing import Any

from rota.base import ids
from tests.security.makers import PREFIXES, Params

PREFIX_NOUNS = {
    ids.AGENT: "agent", ids.API_KEY: "api_key", ids.CREDENTIAL: "credential", ids.DEPLOYMENT: "deployment",
    ids.DEPLOYMENT_RUN: "deployment_run", ids.ENVIRONMENT: "environment", ids.EVENT: "event", ids.FILE: "file",
    ids.MEMORY: "memory", ids.MEMORY_STORE: "memory_store", ids.MEMORY_VERSION: "memory_version", ids.SESSION: "session",
    ids.SESSION_RESOURCE: "resource", ids.SKILL: "skill", ids.THREAD: "thread", ids.VAULT: "vault", ids.WORK: "work",
    ids.WORKSPACE: "workspace",
}  # fmt: skip
_ID = re.compile(rb'"([a-z]+_)(01[0-9A-HJ-Za-z]{22})"')
_CURSOR = re.compile(rb'"(page_[\w-]+)"')
KEPT = 60


class Pool:
    """The newest ids of each kind, paths that lead to nested things, and cursors that were given out."""

    def __init__(self, random: Random) -> None:
        self._random = random
        self._ids: dict[str, deque[str]] = {}
        self._paths: dict[str, deque[Params]] = {}
        self.cursors: deque[str] = deque(maxlen=KEPT)
        self.spared: set[str] = set()
        """Ids that are never given out: of the key that we come in with, which we would revoke."""

    def keep(self, noun: str, params: Params) -> None:
        """Remember the way to a thing."""
        self._paths.setdefault(noun, deque(maxlen=KEPT)).append(params)
        self._ids.setdefault(noun, deque(maxlen=KEPT)).append(list(params.values())[-1])

    def learn(self, path: str, params: Params, raw: bytes) -> None:
        """Take in what a successful response shows: ids anywhere in it, and the thing that a path leads to."""
        for prefix, rest in _ID.findall(raw[:200_000]):
            found = (prefix + rest).decode()
            if (noun := PREFIX_NOUNS.get(prefix.decode())) is not None and found not in self.spared:
                self._ids.setdefault(noun, deque(maxlen=KEPT)).append(found)
        self.cursors.extend(found.decode() for found in _CURSOR.findall(raw[-2_000:]))
        for noun, prefix in PREFIXES.items():
            above, _, own = prefix.rpartition("/")
            if above == path and (thing := _own_id(raw)) is not None:
                self.keep(noun, {**params, own[1:-1]: thing})

    def id(self, noun: str) -> str | None:
        """The id of some thing of a kind."""
        known = self._ids.get(noun)
        return self._random.choice(known) if known else None

    def any_id(self) -> str:
        """The id of anything."""
        return self._random.choice(self._ids[self._random.choice(list(self._ids))])

    def path(self, noun: str) -> Params | None:
        """The way to some thing of a kind."""
        known = self._paths.get(noun)
        return dict(self._random.choice(known)) if known else None

    def known(self) -> Sequence[str]:
        """The kinds of which something is known."""
        return list(self._ids)


def _own_id(raw: bytes) -> str | None:
    try:
        body: Any = json.loads(raw)
    except ValueError:
        return None
    found = body.get("id") if isinstance(body, dict) else None
    return found if isinstance(found, str) else None
