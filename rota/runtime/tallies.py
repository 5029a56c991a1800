"""What turns have done, for the metrics."""

from bisect import bisect_left
from collections import Counter
from collections.abc import Iterator, Sequence

from rota.http.metrics import Count, Spread
from rota.runtime.came import Came, Failed, Replied
from rota.runtime.loop import Step
from rota.runtime.tool import Outcome

_BOUNDS = (0.01, 0.05, 0.1, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300, 600)


class _Seconds:
    """Durations, shared out."""

    def __init__(self) -> None:
        self.counts = [0] * (len(_BOUNDS) + 1)
        self.total = 0.0

    def add(self, seconds: float) -> None:
        self.counts[bisect_left(_BOUNDS, seconds)] += 1
        self.total += seconds


class Tallies:
    """Counts; everything on the event loop."""

    def __init__(self) -> None:
        self.turns: Counter[str] = Counter()
        self._steps: Counter[str] = Counter()
        self._requests: Counter[str] = Counter()
        self._tokens: Counter[str] = Counter()
        self._calls: Counter[tuple[str, ...]] = Counter()
        self._asking = _Seconds()
        self._running = _Seconds()

    def count(self, done: Step, came: Sequence[Came]) -> None:
        """A step was written."""
        self._steps[type(done.then).__name__.lower()] += 1
        for each in came:
            if isinstance(each, Replied):
                usage = each.reply.usage
                self._tokens["input"] += usage.input_tokens
                self._tokens["output"] += usage.output_tokens
                self._tokens["cache_read"] += usage.cache_read_input_tokens
                self._tokens["cache_creation"] += usage.cache_creation_input_tokens

    def asked(self, came: Came, seconds: float) -> None:
        """A model was asked."""
        self._requests[came.kind if isinstance(came, Failed) else "ok"] += 1
        self._asking.add(seconds)

    def ran(self, name: str, outcome: Outcome, seconds: float) -> None:
        """A tool has run."""
        self._calls[name, "error" if outcome.is_error else "ok"] += 1
        self._running.add(seconds)

    def counts(self) -> Iterator[Count | Spread]:
        """See ``main.Engine``."""
        for name, label, text, tally in (
            ("turns", "end", "Turns by how they ended: rest, parted (to be gone on with), lost, failed.", self.turns),
            ("steps", "then", "Steps of turns, by what followed: ask, run, wait, rest.", self._steps),
            ("model_requests", "outcome", "Model requests by outcome: ok, or the kind of failure.", self._requests),
            ("tokens", "kind", "Tokens of model requests.", self._tokens),
        ):
            yield Count(f"rota_turn_{name}", text, (label,), {(value,): float(n) for value, n in tally.items()})
        calls = {names: float(n) for names, n in self._calls.items()}
        yield Count("rota_turn_tool_calls", "Tool calls that the server ran.", ("tool", "outcome"), calls)
        for name, text, seconds in (
            ("model_request_seconds", "How long model requests took.", self._asking),
            ("tool_call_seconds", "How long tool calls took.", self._running),
        ):
            yield Spread(f"rota_turn_{name}", text, _BOUNDS, seconds.counts, seconds.total)
