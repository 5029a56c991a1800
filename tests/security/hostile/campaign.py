"""One campaign: a server, tenants in it, so many requests of each kind, and what was found."""

import contextlib
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from random import Random
from threading import Event, Lock
from urllib.parse import unquote

from rich.console import Console
from rich.progress import Progress

from rota.base.errors import Refusal
from rota.http import probes
from rota.http.route import Route
from tests.acceptance.server import KEY, Server
from tests.databases import fresh, postgres_server, relax
from tests.security.hostile import framing, generated
from tests.security.hostile.connection import Closed, Connection, Response, request
from tests.security.hostile.heavy import HEAVY
from tests.security.hostile.mutants import Mutant, Mutants
from tests.security.hostile.pool import Pool
from tests.security.hostile.remote import Remote, home
from tests.security.hostile.verdict import Judge
from tests.security.makers import PREFIXES, ROUTE, ROUTES, THINGS, Home, Params, noun_of

ALL: list[Route] = [*ROUTES, *probes.routes(lambda: ALL, version="0", stopping=lambda: False)]
FRESH_EVERY = 400
"""Requests after which new things are made, because many requests end the life of one."""


@dataclass
class Findings:
    """What came of it. ``wrong`` says what must not be, and how to see it again."""

    sent: Counter[str] = field(default_factory=Counter[str])
    statuses: Counter[int] = field(default_factory=Counter[int])
    reached: dict[str, Counter[int]] = field(default_factory=dict[str, Counter[int]])
    slowest: float = 0.0
    slowest_request: str = ""
    beside_heavy: float = 0.0
    seconds: float = 0.0
    memory: tuple[int, ...] = ()
    wrong: list[str] = field(default_factory=list[str])

    def figures(self) -> dict[str, str]:
        """The figures by name, as text."""
        missed = [route.name for route in ROUTES if not self.reached.get(route.name, Counter[int]())[200]]
        return {
            **{f"{kind} requests": f"{count:,}" for kind, count in self.sent.items()},
            "requests": f"{self.sent.total():,}",
            **{f"status {status}": f"{count:,}" for status, count in sorted(self.statuses.items())},
            "routes that succeeded": f"{len(ROUTES) - len(missed)} of {len(ROUTES)}",
            **({"routes that did not": ", ".join(missed)} if missed else {}),
            "slowest answer": f"{self.slowest * 1000:,.0f} ms, {self.slowest_request}",
            "slowest health check beside heavy bodies": f"{self.beside_heavy * 1000:,.0f} ms",
            "memory before, after, and at most": ", ".join(f"{kib // 1024} MiB" for kib in self.memory),
            "seconds": f"{self.seconds:,.0f}",
            "findings": f"{len(self.wrong):,}",
        }


class Campaign:
    """So many requests, from one seed, against one fresh server."""

    def __init__(
        self,
        folder: Path,
        requests: int,
        seed: int,
        database: str = "sqlite",
        clients: int = 4,
        *,
        heavy: bool = True,
    ) -> None:
        self._folder = folder
        self._heavy = heavy
        self._clients = clients
        self._lock = Lock()
        self._requests = requests
        self._seed = seed
        self._database = database
        self._judge = Judge(ALL)
        self.findings = Findings()

    def run(self, console: Console | None = None) -> Findings:
        """All of it."""
        began = time.monotonic()
        with self._opened() as server:
            self._attack(server, console)
            if "Traceback" in (log := server.errors()) or "[error" in log or "[critical" in log:
                start = min(at for mark in ("Traceback", "[error", "[critical") if (at := log.find(mark)) >= 0)
                self.findings.wrong.append(f"the log: {log[max(0, start - 300) : start + 3000]}")
        self.findings.seconds = time.monotonic() - began
        return self.findings

    @contextlib.contextmanager
    def _opened(self) -> Iterator[Server]:
        with contextlib.ExitStack() as stack:
            if self._database == "postgres":
                url = stack.enter_context(fresh("postgres", self._folder, stack.enter_context(postgres_server())))
                relax(url)
            else:
                url = stack.enter_context(fresh("sqlite", self._folder))
            self._url = url
            # An answer need not survive a power cut here, and the disk is everybody's.
            server = Server(self._folder / "server", url, ROTA_SQLITE_SYNCHRONOUS="NORMAL")
            yield stack.enter_context(server)

    def _attack(self, server: Server, console: Console | None) -> None:
        remote = Remote(server, self._url)
        line = Connection(server.host, server.port)
        self._pool = Pool(Random(self._seed))
        self._home = home(remote)
        self._pool.spared.add(remote.key_id)
        self._furnish()
        before = _memory(server.process.pid)
        tenth = self._requests // 10
        with Progress(console=console, disable=console is None, transient=True) as progress:
            task = progress.add_task("Requests", total=self._requests)
            for mutant in generated.from_schemathesis(tenth, self._seed, self._pool, self._home):
                self._try("schemathesis", mutant, line)
                progress.advance(task)
            for mutant in generated.from_hypothesis(tenth, self._seed, self._pool, self._home):
                self._try("hypothesis", mutant, line)
                progress.advance(task)
            with ThreadPoolExecutor(self._clients) as clients:
                done = [
                    clients.submit(self._mutate, server, number, lambda: progress.advance(task))
                    for number in range(self._clients)
                ]
            for each in done:
                each.result()
        self._break_framing(server)
        if self._heavy:
            self._burden(server)
        self.findings.memory = before, _memory(server.process.pid), _memory(server.process.pid, "VmHWM")
        line.close()
        remote.line.close()

    def _mutate(self, server: Server, number: int, advance: Callable[[], None]) -> None:
        """One client's share of the mutants, from a seed of its own."""
        mutants = Mutants(Random(f"{self._seed} {number}"), self._pool, self._home, self._lock)
        share = (self._requests - 2 * (self._requests // 10)) // self._clients
        with Connection(server.host, server.port) as line:
            for _ in range(share):
                self._try("mutant", mutants.next(), line)
                advance()

    def _furnish(self) -> None:
        """Make one more of everything, and of everything that it needs."""
        self._home.forget()
        self._make_room()
        wanted: list[tuple[str, Callable[[Home], Params]]] = [
            *((noun, partial(Home.fresh, noun=noun)) for noun in PREFIXES),
            *((noun_of(ROUTE[name].parameters[-1]), make) for name, make in THINGS.items()),
        ]
        for noun, make in wanted:
            try:
                self._pool.keep(noun, make(self._home))
            except AssertionError as refused:  # what others have done to the workspace may stand in the way
                self.findings.wrong.append(f"no {noun} can be made: {refused}")

    def _make_room(self) -> None:
        """A workspace has few webhook endpoints at once (``webhooks.actions.MAX_ENDPOINTS``): older ones go."""
        for noun in ("webhooks", "organizations.webhooks"):
            gone = ROUTE[f"{noun}.delete"]
            for each in self._home.ask(ROUTE[f"{noun}.list"], {}).body.get("data", [])[4:]:
                self._home.ask(gone, {gone.parameters[-1]: each["id"]})

    def _try(self, kind: str, mutant: Mutant, line: Connection) -> None:
        """Send one request and judge the answer."""
        found = self.findings
        with self._lock:
            found.sent[kind] += 1
            if found.sent.total() % FRESH_EVERY == 0:
                self._furnish()
        began = time.perf_counter()
        try:
            response = line.ask(mutant.data, method=mutant.method)
        except (Closed, AssertionError, OSError) as exc:
            found.wrong.append(f"no answer ({type(exc).__name__}: {exc}) to {_shown(mutant)}")
            line.close()
            return
        elapsed = time.perf_counter() - began
        with self._lock:
            self._note(mutant, response, elapsed)

    def _note(self, mutant: Mutant, response: Response, elapsed: float) -> None:
        found = self.findings
        if elapsed > found.slowest:
            found.slowest, found.slowest_request = (
                elapsed,
                f"{mutant.method} {mutant.target[:60].decode()}, {len(mutant.data):,} bytes",
            )
        self._look(mutant, response)

    def _look(self, mutant: Mutant, response: Response) -> None:
        found = self.findings
        found.statuses[response.status] += 1
        route = self._met(mutant)
        problems = self._judge.problems(route, response, method=mutant.method)
        found.wrong += [f"{problem} ({response.status}): {_shown(mutant)}" for problem in problems]
        if route is not None:
            found.reached.setdefault(route.name, Counter())[response.status] += 1
            if response.status == 200:
                self._pool.learn(route.path, mutant.params, response.raw)

    def _met(self, mutant: Mutant) -> Route | None:
        """The route that the request met, as the server decodes its path."""
        path = unquote(mutant.target.partition(b"?")[0].decode("ascii", "replace")).replace("\0", "\ufffd")
        try:
            return self._judge.router.find(mutant.method, path)[0]
        except Refusal:
            return None

    def _burden(self, server: Server) -> None:
        """Send what is dear to read, and see meanwhile how long others wait for the simplest of answers."""
        found = self.findings
        over = Event()

        def probe() -> None:
            with Connection(server.host, server.port) as line:
                while not over.is_set():
                    began = time.perf_counter()
                    line.ask(request("GET", "/healthz"))
                    found.beside_heavy = max(found.beside_heavy, time.perf_counter() - began)

        with ThreadPoolExecutor(1) as prober:
            probing = prober.submit(probe)
            for name, make in HEAVY.items():
                found.sent["heavy"] += 1
                headers = {"x-api-key": KEY, "content-type": "application/json"}
                with Connection(server.host, server.port) as line:
                    try:
                        response = line.ask(request("POST", "/v1/environments", headers, make()))
                    except (Closed, AssertionError) as exc:
                        found.wrong.append(f"{name}: no answer ({type(exc).__name__}: {exc})")
                        continue
                found.statuses[response.status] += 1
                problems = self._judge.problems(None, response)
                found.wrong += [f"{name}: {problem}" for problem in problems]
                if response.status != 400:
                    found.wrong.append(f"{name}: status {response.status}")
            over.set()
            probing.result()

    def _break_framing(self, server: Server) -> None:
        found = self.findings
        for name, broken in framing.table(KEY).items():
            found.sent["framing"] += 1
            with Connection(server.host, server.port) as line:
                try:
                    line.send(broken.data)
                    response = line.read(method=broken.method)
                except (Closed, AssertionError) as exc:
                    found.wrong.append(f"{name}: no answer ({type(exc).__name__}: {exc})")
                    continue
            found.statuses[response.status] += 1
            problems = self._judge.problems(None, response, method=broken.method)
            if response.status not in broken.statuses:
                problems.append(f"status {response.status}")
            found.wrong += [f"{name}: {problem}" for problem in problems]


def _shown(mutant: Mutant) -> str:
    return repr(mutant.data[:1500])[2:-1].replace(KEY, "KEY")


def _memory(pid: int, kind: str = "VmRSS") -> int:
    """The resident memory of a process in KiB, now or (``VmHWM``) at most."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith(f"{kind}:"):
            return int(line.split()[1])
    return 0
