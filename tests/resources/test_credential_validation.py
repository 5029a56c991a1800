"""Trying a credential: what an MCP server and a token endpoint say, told in the words of the contract's types."""

import asyncio
import gzip
import json
from base64 import b64encode
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from rota.base.clock import HandClock
from rota.base.errors import Unavailable
from rota.resources.vaults import credentials as actions
from rota.resources.vaults import refresh
from tests.api import Api
from tests.outgoing.servers import always, canary, serving
from tests.resources.credentials import OAUTH, REFRESH, STATIC, URL, VARIABLE, announced, credential, path, vault
from tests.resources.mcp_server import Mcp, Tokens, http

ACCESS, RENEWAL = "access-token-0001", "refresh-token-0001"


@pytest.fixture
def api(database_url: str, tmp_path: Path, clock: HandClock) -> Iterator[Api]:
    """A house whose operator allows hosts on loopback."""
    with Api(database_url, tmp_path, clock, allow_private_hosts="127.0.0.1") as house:
        yield house


@pytest.fixture
def sqlite_api(tmp_path: Path, clock: HandClock) -> Iterator[Api]:
    """The same on SQLite only."""
    with Api(f"sqlite:///{tmp_path / 'rota.db'}", tmp_path, clock, allow_private_hosts="127.0.0.1") as house:
        yield house


def oauth(
    port: int, token_port: int | None = None, auth: str = "client_secret_basic", **refresh: Any
) -> dict[str, Any]:
    """An OAuth credential for servers at these ports."""
    made: dict[str, Any] = {**OAUTH, "mcp_server_url": f"http://127.0.0.1:{port}/mcp"}
    if token_port is not None:
        client = {"type": auth} | ({} if auth == "none" else {"client_secret": "client-secret-0001"})
        endpoint = f"http://127.0.0.1:{token_port}/token"
        made["refresh"] = {**REFRESH, "token_endpoint": endpoint, "token_endpoint_auth": client, **refresh}
    return made


def opened(api: Api, vault_id: str, credential_id: str) -> dict[str, str]:
    return dict(api.read(actions.held, api.who, vault_id, credential_id, api.house.app.policy).secrets)


class Case:
    """One credential beside an MCP server and, if there is one, a token endpoint."""

    def __init__(self, api: Api, mcp: Any, tokens: Any = None, **auth: Any) -> None:
        self.api, self.mcp, self.tokens, self.auth = api, mcp, tokens, auth
        self.vault = vault(api)

    def run(self, work: Callable[["Case"], Awaitable[Any]] | None = None) -> Any:
        """Validate it once, or do ``work`` while the servers run."""

        async def inside() -> Any:
            async with serving(self.mcp) as place, serving(self.tokens or always(b"")) as token_place:
                made = oauth(place.port, token_place.port if self.tokens else None, **self.auth)
                answer = await self.api.call("POST", path(self.vault), {"auth": made})
                self.id = answer.ok()["id"]
                return await (work or Case.validate)(self)

        return self.api.run(inside())

    async def validate(self) -> Any:
        answer = await self.api.call("POST", path(self.vault, self.id, "/mcp_oauth_validate"))
        told = answer.ok()
        assert (told.pop("type"), told.pop("vault_id"), told.pop("credential_id")) == (
            "vault_credential_validation", self.vault, self.id,
        )  # fmt: skip
        assert told.pop("validated_at") == "2026-03-02T12:00:00Z"
        for secret in (ACCESS, RENEWAL, "client-secret-0001", "renewed-1", "rotated-1"):
            assert secret not in answer.raw.decode()
        return told

    def secrets(self) -> dict[str, str]:
        return opened(self.api, self.vault, self.id)


VALID = {"status": "valid", "has_refresh_token": False, "mcp_probe": None, "refresh": None}


# What the server makes of the token


@pytest.mark.parametrize("stream", [False, True], ids=["json", "stream"])
@pytest.mark.parametrize("guarded", [("initialize",), ("tools/list",), ("initialize", "tools/list")])
def test_a_token_that_the_server_takes_is_valid(sqlite_api: Api, stream: bool, guarded: tuple[str, ...]) -> None:
    mcp = Mcp(stream=stream, guarded=guarded)
    assert Case(sqlite_api, mcp).run() == VALID
    assert mcp.steps == ["initialize", "notifications/initialized", "tools/list", "DELETE"]
    assert mcp.sessions == [None, "s-1", "s-1", "s-1"]


@pytest.mark.parametrize(
    "result", [{}, {"capabilities": 5}, {"capabilities": "tools"}, {"capabilities": None}, [], "x", 7]
)
def test_an_odd_welcome_is_one_without_tools(sqlite_api: Api, result: Any) -> None:
    text = json.dumps({"jsonrpc": "2.0", "id": 1, "result": result})
    assert Case(sqlite_api, always(http(200, text))).run() == VALID


def test_a_server_without_tools_is_not_asked_for_them(sqlite_api: Api) -> None:
    mcp = Mcp(tools=False)
    assert Case(sqlite_api, mcp).run() == VALID
    assert "tools/list" not in mcp.steps


def test_a_server_of_the_older_kind_is_listened_to(sqlite_api: Api) -> None:
    async def serve(request: bytes, writer: asyncio.StreamWriter) -> None:
        if request.startswith(b"POST"):
            writer.write(http(405, "", allow="GET"))
        elif f"bearer {ACCESS}".encode() not in request.lower():
            writer.write(http(401, "who?"))
        else:
            writer.write(b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\nevent: endpoint\ndata: /m\n\n")
            while not writer.is_closing():
                await asyncio.sleep(0.005)

    assert Case(sqlite_api, serve).run() == VALID


def test_a_static_token_is_tried_in_the_same_way(sqlite_api: Api) -> None:
    one = vault(sqlite_api)

    async def work() -> Any:
        async with serving(Mcp(good={"static-token-0001"})) as place:
            auth = {**STATIC, "mcp_server_url": f"http://127.0.0.1:{place.port}/"}
            made = (await sqlite_api.call("POST", path(one), {"auth": auth})).ok()["id"]
            good = (await sqlite_api.call("POST", path(one, made, "/mcp_oauth_validate"))).ok()
            change = {"auth": {"type": "static_bearer", "token": "another"}}
            (await sqlite_api.call("POST", path(one, made), change)).ok()
            bad = (await sqlite_api.call("POST", path(one, made, "/mcp_oauth_validate"))).ok()
            return good["status"], bad["status"], bad["refresh"]

    assert sqlite_api.run(work()) == ("valid", "invalid", None)


@pytest.mark.parametrize("step", ["initialize", "notifications/initialized", "tools/list"])
def test_a_refused_token_is_invalid_and_the_step_is_told(sqlite_api: Api, step: str) -> None:
    told = Case(sqlite_api, Mcp(good=set(), guarded=(step,))).run()
    assert told == {
        "status": "invalid",
        "has_refresh_token": False,
        "mcp_probe": {
            "method": step,
            "http_response": {
                "status_code": 401,
                "content_type": "application/json",
                "body": '{"error": "what is Bearer [redacted]?"}',
                "body_truncated": False,
            },
        },
        "refresh": {"status": "no_refresh_token", "http_response": None},
    }


def test_a_forbidden_token_is_invalid_and_not_renewed(sqlite_api: Api) -> None:
    tokens = Tokens()
    told = Case(sqlite_api, Mcp(good=set(), refusal=http(403, "not for you", "text/plain")), tokens).run()
    assert (told["status"], told["refresh"], told["has_refresh_token"]) == ("invalid", None, True)
    assert told["mcp_probe"]["http_response"]["body"] == "not for you"
    assert tokens.asked == []


UNCLEAR = [
    (always(http(500, "oops", "text/plain")), "initialize", 500),
    (always(http(302, "", location="http://127.0.0.1:1/")), "initialize", 302),
    (always(http(200, "<html>Welcome</html>", "text/html")), "initialize", 200),
    (always(http(200, '{"jsonrpc":"2.0","id":1,"error":{"code":-1,"message":"no"}}')), "initialize", 200),
    (always(http(200, '{"jsonrpc":"2.0","id":9,"result":{}}')), "initialize", 200),
    (always(http(200, "data: {}\n\n", "text/event-stream")), "initialize", 200),
    (always(http(200, '{"id":1,"result":' + "[" * 60_000)), "initialize", 200),
    (always(http(404, "nothing here", "text/plain")), "initialize", 404),
    (always(b""), "initialize", None),
    (always(b"SSH-2.0-x\r\n"), "initialize", None),
    (Mcp(tools_answer=http(502, "later")), "tools/list", 502),
    (Mcp(tools_answer=http(200, '{"jsonrpc":"2.0","id":2,"error":{"code":-32601}}')), "tools/list", 200),
]  # fmt: skip


@pytest.mark.parametrize(
    ("serve", "step", "status"), UNCLEAR, ids=[f"{n} {s} {c}" for n, (_, s, c) in enumerate(UNCLEAR)]
)
def test_what_says_nothing_of_the_token_is_unknown(sqlite_api: Api, serve: Any, step: str, status: int | None) -> None:
    told = Case(sqlite_api, serve).run()
    assert (told["status"], told["refresh"]) == ("unknown", None)
    assert told["mcp_probe"]["method"] == step
    response = told["mcp_probe"]["http_response"]
    assert (response and response["status_code"]) == status


def test_a_host_that_may_not_be_asked_is_unknown_and_never_connected_to(
    tmp_path: Path, clock: HandClock, capfd: pytest.CaptureFixture[str]
) -> None:
    async def work(house: Api) -> Any:
        async with canary() as inside:
            one = (await house.call("POST", "/v1/vaults", {"display_name": "x"})).ok()["id"]
            told: list[Any] = []
            for url in (
                f"http://127.0.0.1:{inside.port}/",
                f"https://localhost:{inside.port}/",
                "http://169.254.169.254/",
            ):
                auth = {**OAUTH, "mcp_server_url": url}
                made = (await house.call("POST", path(one), {"auth": auth})).ok()["id"]
                told.append((await house.call("POST", path(one, made, "/mcp_oauth_validate"))).ok())
            return told, inside.seen

    with Api(f"sqlite:///{tmp_path / 'rota.db'}", tmp_path, clock) as house:
        told, seen = house.run(work(house))
    assert [(each["status"], each["mcp_probe"], each["refresh"]) for each in told] == [
        ("unknown", {"method": "initialize", "http_response": None}, None)
    ] * 3
    assert seen == []
    log = "".join(capfd.readouterr())
    assert log.count("ROTA_ALLOW_PRIVATE_HOSTS can list") == 3


# Renewing


@pytest.mark.parametrize("auth", ["none", "client_secret_basic", "client_secret_post"])
def test_a_refused_token_is_renewed_and_the_new_pair_is_kept(api: Api, auth: str) -> None:
    tokens = Tokens(auth=auth)
    mcp = Mcp(good={"renewed-1"})
    case = Case(api, mcp, tokens, auth=auth, scope="mail read", resource=URL)
    assert case.run() == {
        "status": "valid",
        "has_refresh_token": True,
        "mcp_probe": None,
        "refresh": {"status": "succeeded", "http_response": None},
    }
    [form] = tokens.asked
    assert form["scope"] == "mail read"
    assert form["resource"] == URL
    secrets = case.secrets()
    assert (secrets["access_token"], secrets["refresh_token"]) == ("renewed-1", "rotated-1")
    assert secrets.get("client_secret") == (None if auth == "none" else "client-secret-0001")
    shown = api.get(path(case.vault, case.id)).ok()
    assert shown["auth"]["expires_at"] == "2026-03-02T13:00:00Z"
    assert [event for event, _, _ in announced(api)] == ["vault.created", "vault_credential.created"]


def test_a_refresh_token_that_is_not_rotated_stays(sqlite_api: Api) -> None:
    case = Case(sqlite_api, Mcp(good={"renewed-1"}), Tokens(rotates=False, expires_in=None))
    assert case.run()["status"] == "valid"
    assert case.secrets()["refresh_token"] == RENEWAL
    assert "expires_at" not in sqlite_api.get(path(case.vault, case.id)).ok()["auth"]


@pytest.mark.parametrize(
    ("expires_in", "shown"),
    [("60", "2026-03-02T12:01:00Z"), (0.5, "2026-03-02T12:00:00.500000Z"), (0, None), (-5, None), ("soon", None), (1e300, None), ([], None)],
)  # fmt: skip
def test_a_lifetime_is_taken_if_it_makes_sense(sqlite_api: Api, expires_in: Any, shown: str | None) -> None:
    case = Case(sqlite_api, Mcp(good={"renewed-1"}), Tokens(expires_in=expires_in))
    assert case.run()["status"] == "valid"
    assert sqlite_api.get(path(case.vault, case.id)).ok()["auth"].get("expires_at") == shown


def test_a_renewed_token_that_is_refused_too_is_invalid(sqlite_api: Api) -> None:
    case = Case(sqlite_api, Mcp(good=set()), Tokens())
    told = case.run()
    assert (told["status"], told["refresh"]["status"]) == ("invalid", "succeeded")
    assert told["mcp_probe"]["http_response"]["status_code"] == 401
    assert case.secrets()["refresh_token"] == "rotated-1"


def test_a_failed_renewal_is_announced_and_changes_nothing(api: Api) -> None:
    case = Case(api, Mcp(good=set()), Tokens(refresh_token="another"))
    told = case.run()
    assert (told["status"], told["has_refresh_token"]) == ("invalid", True)
    assert told["refresh"] == {
        "status": "failed",
        "http_response": {
            "status_code": 400,
            "content_type": "application/json",
            "body": '{"error": "invalid_grant", "error_description": "no [redacted]"}',
            "body_truncated": False,
        },
    }
    assert announced(api)[-1] == ("vault_credential.refresh_failed", case.id, {"vault_id": case.vault})
    assert case.secrets()["access_token"] == ACCESS


@pytest.mark.parametrize(
    "answer",
    [
        http(200, "{}"),
        http(200, '{"access_token": ""}'),
        http(200, '{"access_token": 7}'),
        http(200, json.dumps({"access_token": "a\nb"})),
        http(200, "not json, but a secret-of-theirs"),
        http(200, '{"access_token": "x", "expires_in": ' + "[" * 60_000),
        http(200, '{"access_token": "' + "x" * 100_000 + '"}'),
        http(204, ""),
    ],
)
def test_a_success_without_a_token_is_a_failure_that_shows_nothing(sqlite_api: Api, answer: bytes) -> None:
    case = Case(sqlite_api, Mcp(good=set()), Tokens(answer=answer))
    told = case.run()
    assert told["refresh"] == {"status": "failed", "http_response": None}
    assert announced(sqlite_api)[-1][0] == "vault_credential.refresh_failed"


@pytest.mark.parametrize("answer", [b"", http(302, "", location="http://127.0.0.1:1/")])
def test_a_token_endpoint_that_cannot_be_asked_leaves_it_unknown(sqlite_api: Api, answer: bytes) -> None:
    case = Case(sqlite_api, Mcp(good=set()), always(answer))
    told = case.run()
    status = ("unknown", "connect_error") if answer == b"" else ("invalid", "failed")
    assert (told["status"], told["refresh"]["status"]) == status
    assert announced(sqlite_api)[-1][0] == "vault_credential.refresh_failed"


def test_a_token_endpoint_inside_is_not_asked(sqlite_api: Api) -> None:
    one = vault(sqlite_api)

    async def work() -> Any:
        async with serving(Mcp(good=set())) as place, canary("127.0.0.2") as inside:
            auth = oauth(place.port, inside.port)
            auth["refresh"]["token_endpoint"] = f"http://127.0.0.2:{inside.port}/token"
            made = (await sqlite_api.call("POST", path(one), {"auth": auth})).ok()["id"]
            return (await sqlite_api.call("POST", path(one, made, "/mcp_oauth_validate"))).ok(), inside.seen

    told, seen = sqlite_api.run(work())
    assert (told["status"], told["refresh"]) == ("unknown", {"status": "connect_error", "http_response": None})
    assert seen == []


# Together


def test_many_at_once_renew_once(api: Api) -> None:
    """Endpoints take a refresh token once; a second exchange would end the credential."""
    tokens = Tokens()

    async def work(case: Case) -> Any:
        return await asyncio.gather(*(case.validate() for _ in range(6)))

    case = Case(api, Mcp(good={"renewed-1"}), tokens)
    told = case.run(work)
    assert [each["status"] for each in told] == ["valid"] * 6
    assert len(tokens.asked) == 1
    assert case.secrets()["refresh_token"] == "rotated-1"


def test_whoever_comes_late_gets_the_token_that_is_there_by_now(api: Api) -> None:
    """A refusal that was long on its way, while another request has renewed the token and ended."""
    held: list[asyncio.Event] = []

    async def work(case: Case) -> Any:
        held.append(asyncio.Event())
        late = asyncio.create_task(case.validate())
        while not slow.waiting:
            await asyncio.sleep(0.001)
        first = await case.validate()
        held[0].set()
        return first, await late

    class Slow(Mcp):
        waiting = 0

        async def __call__(self, request: bytes, writer: asyncio.StreamWriter) -> None:
            if ACCESS.encode() in request and not self.waiting:
                self.waiting += 1
                await held[0].wait()
            await super().__call__(request, writer)

    slow, tokens = Slow(good={"renewed-1"}), Tokens()
    first, late = Case(api, slow, tokens).run(work)
    assert (first["status"], first["refresh"]["status"]) == ("valid", "succeeded")
    assert (late["status"], late["refresh"]) == ("valid", None)
    assert len(tokens.asked) == 1


def test_an_exchange_that_another_process_has_won_is_no_failure(api: Api) -> None:
    """The endpoint has taken the refresh token already, for a process that has saved what it got meanwhile."""

    async def work(case: Case) -> Any:
        tokens.gate = asyncio.Event()
        validating = asyncio.create_task(case.validate())
        while not tokens.asked:
            await asyncio.sleep(0.001)
        used = await api.house.db.read(actions.held, api.who, case.vault, case.id, api.house.app.policy)
        theirs = {"access_token": "renewed-elsewhere", "refresh_token": "rotated-elsewhere"}
        await api.house.db.write(actions.save_refreshed, api.who, used, theirs, 60, api.house.app.policy)
        tokens.refresh_token = "rotated-elsewhere"
        tokens.gate.set()
        return await validating

    tokens = Tokens()
    case = Case(api, Mcp(good={"renewed-elsewhere"}), tokens)
    told = case.run(work)
    assert (told["status"], told["refresh"]) == ("valid", None)
    assert case.secrets()["refresh_token"] == "rotated-elsewhere"
    assert "vault_credential.refresh_failed" not in [event for event, _, _ in announced(api)]


def test_a_renewed_token_outlives_a_database_that_is_away(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    """The endpoint has taken the old refresh token: what it gave for it must not be lost with one failed commit."""

    class Away:
        """The store, whose first writes of what was renewed fail."""

        def __init__(self, db: Any) -> None:
            self.db, self.left = db, 3

        def __getattr__(self, name: str) -> Any:
            return getattr(self.db, name)

        async def write(self, fn: Any, *args: Any, **more: Any) -> Any:
            if fn is actions.save_refreshed and self.left:
                self.left -= 1
                raise Unavailable("away")
            return await self.db.write(fn, *args, **more)

    monkeypatch.setattr(refresh, "_PAUSES", (0, 0, 0, 0))
    api.house.app.db = Away(api.house.db)  # type: ignore[assignment]
    case = Case(api, Mcp(good={"renewed-1"}), Tokens())
    assert case.run()["status"] == "valid"
    assert case.secrets()["refresh_token"] == "rotated-1"


@pytest.mark.parametrize("change", ["update", "archive", "delete"])
def test_what_changed_during_the_exchange_wins(api: Api, change: str) -> None:
    """The transaction that saves looks at what it had read: it neither overwrites a newer token nor revives a secret."""

    async def work(case: Case) -> Any:
        tokens.gate = asyncio.Event()
        validating = asyncio.create_task(case.validate())
        while not tokens.asked:
            await asyncio.sleep(0.001)
        if change == "update":
            body = {"auth": {"type": "mcp_oauth", "access_token": "newer"}}
            (await api.call("POST", path(case.vault, case.id), body)).ok()
        elif change == "archive":
            (await api.call("POST", path(case.vault, case.id, "/archive"))).ok()
        else:
            (await api.call("DELETE", path(case.vault, case.id))).ok()
        tokens.gate.set()
        return await validating

    tokens = Tokens()
    case = Case(api, Mcp(good={"renewed-1"}), tokens)
    assert case.run(work)["refresh"]["status"] == "succeeded"
    if change == "update":
        assert case.secrets() == {
            "access_token": "newer",
            "refresh_token": RENEWAL,
            "client_secret": "client-secret-0001",
        }
    elif change == "archive":
        assert case.secrets() == {}
    else:
        assert api.get(path(case.vault, case.id)).refused(404, "not_found_error") == "Credential not found."
    assert "vault_credential.refresh_failed" not in [event for event, _, _ in announced(api)]


def test_a_new_name_during_the_exchange_takes_nothing_away(sqlite_api: Api) -> None:
    async def work(case: Case) -> Any:
        tokens.gate = asyncio.Event()
        validating = asyncio.create_task(case.validate())
        while not tokens.asked:
            await asyncio.sleep(0.001)
        (await sqlite_api.call("POST", path(case.vault, case.id), {"display_name": "New"})).ok()
        tokens.gate.set()
        return await validating

    tokens = Tokens()
    case = Case(sqlite_api, Mcp(good={"renewed-1"}), tokens)
    case.run(work)
    assert case.secrets()["refresh_token"] == "rotated-1"
    assert sqlite_api.get(path(case.vault, case.id)).ok()["display_name"] == "New"


# What there is nothing to try of


def test_an_archived_credential_has_no_token_left(sqlite_api: Api) -> None:
    one = vault(sqlite_api)
    made = credential(sqlite_api, one, {**OAUTH, "refresh": REFRESH})["id"]
    sqlite_api.post(path(one, made, "/archive")).ok()
    told = sqlite_api.post(path(one, made, "/mcp_oauth_validate")).ok()
    assert (told["status"], told["has_refresh_token"], told["mcp_probe"], told["refresh"]) == (
        "invalid",
        False,
        None,
        None,
    )


def test_a_variable_has_no_server_to_ask(sqlite_api: Api) -> None:
    one = vault(sqlite_api)
    made = credential(sqlite_api, one, VARIABLE)["id"]
    refused = sqlite_api.post(path(one, made, "/mcp_oauth_validate")).refused(400)
    assert refused == "auth.type: an environment_variable credential has no MCP server that could be asked"


# What is shown of others' answers


def echo(text: str, **headers: str) -> bytes:
    return http(401, text, "text/plain", **headers)


@pytest.mark.parametrize(
    ("answer", "shown"),
    [
        (echo(f"no {ACCESS}!"), ("no [redacted]!", False)),
        (echo(f"{ACCESS}{ACCESS}"), ("[redacted][redacted]", False)),
        (echo(f"x{b64encode(f'user:{ACCESS}'.encode()).decode()}x"), None),
        (echo("x" * 5000), ("x" * 2048, True)),
        (echo("x" * 2040 + ACCESS), ("x" * 2040 + "[redacte", True)),
        (echo("é" * 2048), ("é" * 2048, False)),
        (echo(""), ("", False)),
        (http(401, "", ACCESS), ("", False)),
        (b"HTTP/1.1 401 X\r\ncontent-encoding: gzip\r\n\r\n" + gzip.compress(ACCESS.encode()), ("", True)),
        (b"HTTP/1.1 401 X\r\n\r\n\xff\xfe" + ACCESS.encode("utf-16"), ("", True)),
        (b"HTTP/1.1 401 X\r\n\r\n" + b"x" + "é".encode() * 40_000, ("x" + "é" * 2047, True)),
        (echo("sk-ant-api03-somebodyelses and password=hunter2"), ("[redacted] and [redacted]", False)),
    ],
    ids=range(12),
)
def test_no_secret_is_in_what_is_shown_of_an_answer(
    sqlite_api: Api, answer: bytes, shown: tuple[str, bool] | None
) -> None:
    told = Case(sqlite_api, always(answer)).run()
    response = told["mcp_probe"]["http_response"]
    assert ACCESS not in json.dumps(told)
    if shown is not None:
        assert (response["body"], response["body_truncated"]) == shown
    else:
        assert b64encode(f"user:{ACCESS}".encode()).decode()[8:24] not in response["body"]
