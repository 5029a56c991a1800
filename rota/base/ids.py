"""Identifiers: a prefix that names the kind, ``01``, and 22 characters that sort by time of creation.

Promises: ids minted by one process are strictly increasing as text (byte order), because random keys made bulk inserts
four times slower on B-trees; 9 characters hold microseconds, 13 are random (77 bits), so ids cannot be guessed from one another.
The alphabet is that of the ids on record: digits and letters without ``I``.
Does not check ids that come in: an unknown and a malformed one are both simply not found.
"""

import os
import time
from threading import Lock

ALPHABET = "0123456789ABCDEFGHJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
_PAIRS = [a + b for a in ALPHABET for b in ALPHABET]
_BASE = len(ALPHABET)
_PAIR = len(_PAIRS)
_TIME_PAIRS = 4  # 61**9 microseconds reach the year 2340: four pairs and one leading character

AGENT = "agent_"
API_KEY = "apikey_"
DEPLOYMENT = "depl_"
DEPLOYMENT_RUN = "drun_"
ENVIRONMENT = "env_"
ENVIRONMENT_KEY = "ekey_"
EVENT = "sevt_"
OUTCOME = "outc_"
REQUEST = "req_"
SESSION = "sesn_"
SESSION_RESOURCE = "sesrsc_"
THREAD = "sthr_"
WEBHOOK_EVENT = "whe_"
WORKSPACE = "wrkspc_"

_lock = Lock()
_last = 0
_pool = b""
_at = 0


def new(prefix: str) -> str:
    """A fresh id such as ``depl_01…``; later calls give greater ids."""
    global _last, _pool, _at
    with _lock:
        stamp = max(time.time_ns() // 1000, _last + 1)
        _last = stamp
        if _at + 14 > len(_pool):
            _pool, _at = os.urandom(3584), 0
        noise = _pool[_at : _at + 14]
        _at += 14
    pairs = _PAIRS
    rest, p4 = divmod(stamp, _PAIR)
    rest, p3 = divmod(rest, _PAIR)
    rest, p2 = divmod(rest, _PAIR)
    first, p1 = divmod(rest, _PAIR)
    n = int.from_bytes(noise, "big")
    n, a = divmod(n, _PAIR)
    n, b = divmod(n, _PAIR)
    n, c = divmod(n, _PAIR)
    n, d = divmod(n, _PAIR)
    n, e = divmod(n, _PAIR)
    n, f = divmod(n, _PAIR)
    return (
        f"{prefix}01{ALPHABET[first]}{pairs[p1]}{pairs[p2]}{pairs[p3]}{pairs[p4]}"
        f"{pairs[a]}{pairs[b]}{pairs[c]}{pairs[d]}{pairs[e]}{pairs[f]}{ALPHABET[n % _BASE]}"
    )
