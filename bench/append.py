"""The floor of row 2: append one page to a file and `fdatasync` it, over and over; what a commit cannot be faster
than.

Run as `python -m bench.append FILE SECONDS`; prints one line of JSON: how often, in how many seconds. It is a process
of its own so that it runs under the same preloaded shim as the server.
"""

from __future__ import annotations

import json
import os
import sys
import time

PAGE = os.urandom(4096)


def append_for(path: str, seconds: float) -> tuple[int, float]:
    """Append and flush for about so many seconds; how often, and how long it really took."""
    # macOS has no fdatasync in Python; there fsync stands in for it.
    flush = getattr(os, "fdatasync", os.fsync)
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    try:
        count = 0
        started = time.perf_counter()
        while (now := time.perf_counter()) - started < seconds:
            os.write(descriptor, PAGE)
            flush(descriptor)
            count += 1
        return count, now - started
    finally:
        os.close(descriptor)


if __name__ == "__main__":
    done, took = append_for(sys.argv[1], float(sys.argv[2]))
    print(json.dumps({"count": done, "seconds": took}))
