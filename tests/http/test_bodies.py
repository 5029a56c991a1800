"""Whatever bytes come in, the answer is a value or a 400 in the words on record; never a fault (contract, bodies)."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rota.base import wire
from rota.base.errors import InvalidRequest
from rota.base.wire import LONG_BODY, MAX_DEPTH
from rota.http.route import MAX_BODY
from tests.api import Api

PARSE = "Failed to parse request body: "


def nested(depth: int, inner: str = "1") -> bytes:
    """JSON of ``depth`` lists and objects inside each other; the outermost is an object."""
    return (
        '{"a":'
        + '[{"b":' * ((depth - 1) // 2)
        + "[" * ((depth - 1) % 2)
        + inner
        + "]" * ((depth - 1) % 2)
        + "}]" * ((depth - 1) // 2)
        + "}"
    ).encode()


HOSTILE: dict[str, tuple[bytes, str]] = {
    "not JSON": (b"{", "Expecting property name"),
    "two values": (b"{} {}", "Extra data"),
    "single quotes": (b"{'name':'x'}", "Expecting property name"),
    "a trailing comma": (b'{"name":"x",}', ""),
    "a comment": (b'{"name":"x"} // why', "Extra data"),
    "a raw control character": (b'{"name":"a\nb"}', "Invalid control character"),
    "a bad escape": (rb'{"name":"\x41"}', "Invalid \\escape"),
    "invalid UTF-8": (b'{"name":"\xff"}', "not valid UTF-8"),
    "overlong UTF-8": (b'{"name":"\xc0\xaf"}', "not valid UTF-8"),
    "UTF-16": ('{"name":"x"}'.encode("utf-16"), "not valid UTF-8"),
    "a byte order mark": (b'\xef\xbb\xbf{"name":"x"}', ""),
    "an escaped lone surrogate": (rb'{"name":"\ud800"}', "a string holds a lone surrogate"),
    "an escaped lone low surrogate": (rb'{"name":"\uDFFF"}', "a string holds a lone surrogate"),
    "surrogates in the wrong order": (rb'{"name":"\udc00\ud800"}', "a string holds a lone surrogate"),
    "a lone surrogate as a key": (rb'{"name":"x","metadata":{"\ud83d":"x"}}', "a string holds a lone surrogate"),
    "a raw lone surrogate": (b'{"name":"\xed\xa0\x80"}', "not valid UTF-8"),
    "U+0000": (rb'{"name":"x","description":"a\u0000b"}', "a string holds U+0000"),
    "U+0000 in a key": (rb'{"name":"x","metadata":{"\u0000":"x"}}', "a string holds U+0000"),
    "NaN": (b'{"name":"x","config":NaN}', "NaN is not a JSON value"),
    "Infinity": (b'{"name":"x","config":Infinity}', "Infinity is not a JSON value"),
    "-Infinity": (b'{"name":"x","config":[-Infinity]}', "-Infinity is not a JSON value"),
    "an integer beyond 64 bits": (b'{"name":"x","config":9223372036854775808}', "a number is out of range"),
    "a negative one": (b'{"name":"x","config":-9223372036854775809}', "a number is out of range"),
    "one of a million digits": (b'{"name":' + b"9" * 1_000_000 + b"}", "a number is out of range"),
    "a key twice": (b'{"name":"x","name":"y"}', 'duplicate key "name"'),
    "a key twice further down": (b'{"name":"x","metadata":{"k":"a","j":"b","k":"c"}}', 'duplicate key "k"'),
    "a key twice in other spelling": (rb'{"name":"x","metadata":{"k":"a","\u006b":"c"}}', 'duplicate key "k"'),
    "a key twice in a list": (b'{"name":"x","other":[[{"k":1,"k":1}]]}', 'duplicate key "k"'),
    "too deep": (nested(MAX_DEPTH + 1), "nested deeper than 64 levels"),
    "far too deep": (b'{"a":' * 100_000 + b"1" + b"}" * 100_000, "nested deeper than 64 levels"),
    "far too deep and unfinished": (b"[" * 5_000_000, ""),
}  # fmt: skip


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_json_is_refused(still_api: Api, name: str) -> None:
    raw, message = HOSTILE[name]
    assert PARSE + message in still_api.post("/v1/environments", raw=raw).refused(400)
    assert still_api.get("/v1/environments").ok()["data"] == []


@pytest.mark.parametrize("raw", [b"[]", b'"name"', b"1", b"true", b"null", b'[{"name":"x"}]'])
@pytest.mark.parametrize("path", ["/v1/environments", "/v1/agents"])
def test_a_body_is_an_object(still_api: Api, path: str, raw: bytes) -> None:
    assert still_api.post(path, raw=raw).refused(400).startswith(PARSE + "expected object, got ")


def test_an_empty_body_is_an_empty_object(sqlite_api: Api) -> None:
    deployment = sqlite_api.deployment()
    assert sqlite_api.post(f"/v1/deployments/{deployment['id']}", raw=b"").ok() == deployment
    assert sqlite_api.post("/v1/environments", raw=b"").refused(400) == "name: Field required"


@pytest.mark.parametrize("raw", [b"", b"{}", b"not json", b"[1", b'{"name":"x"}'])
def test_what_takes_no_body_ignores_one(still_api: Api, raw: bytes) -> None:
    path = f"/v1/deployments/{still_api.deployment()['id']}"
    for action in ("pause", "unpause", "run", "archive"):
        still_api.post(f"{path}/{action}", raw=raw).ok()


def test_nesting_up_to_the_limit_and_wide_shallow_bodies_are_fine(sqlite_api: Api) -> None:
    tool = {"type": "custom", "name": "t", "description": "d", "input_schema": {"type": "object", "properties": "…"}}
    inner = json.loads(nested(MAX_DEPTH - 4))
    assert sqlite_api.agent(tools=[{**tool, "input_schema": {"type": "object", "properties": inner}}])
    refused = sqlite_api.post(
        "/v1/agents",
        {
            "name": "x",
            "model": "m",
            "tools": [{**tool, "input_schema": {"type": "object", "properties": json.loads(nested(MAX_DEPTH - 3))}}],
        },
    )
    assert refused.refused(400) == PARSE + "nested deeper than 64 levels"
    events = [{"type": "user.message", "content": [{"type": "text", "text": "[{" * 100}] * 20}] * 50
    assert len(sqlite_api.deployment(initial_events=events)["initial_events"]) == 50


def test_text_of_any_script_and_any_length_comes_back_as_it_was_sent(api: Api) -> None:
    for text in (
        "ü",
        "😀",
        "\u2028",
        "\ufeff",
        "\ufffd",
        "a\\u0000b",
        "\u202etxt",
        "日本" * 100,
        "x" * 1_000_000,
        '"\\/\b\f',
    ):
        events = [{"type": "user.message", "content": [{"type": "text", "text": text}]}]
        deployment = api.deployment(agent=api.agent()["id"], initial_events=events, description=text[:2000])
        assert deployment["initial_events"] == events
        assert api.get(f"/v1/deployments/{deployment['id']}").ok()["description"] == text[:2000]
        session = api.fire(deployment)["session_id"]
        [event] = api.get(f"/v1/sessions/{session}/events").ok()["data"]
        assert event["content"] == events[0]["content"]


def test_a_nul_in_the_query_finds_nothing(api: Api) -> None:
    for query in ("agent_id=a%00b", "deployment_id=%00", "memory_store_id=%00", "agent_id=a&agent_version=2147483647"):
        assert api.get(f"/v1/sessions?{query}").ok()["data"] == []


@pytest.mark.parametrize("value", [10**400, 1e308, -0.0, 2**63 - 1, 10**19])
def test_a_number_where_text_belongs_is_400(still_api: Api, value: float) -> None:
    still_api.post("/v1/environments", raw=b'{"name":' + repr(value).encode() + b"}").refused(400)
    still_api.post("/v1/environments", raw=b'{"name":"x","metadata":{"k":1e999}}').refused(400)


def test_metadata_of_a_million_keys_is_refused(still_api: Api) -> None:
    raw = json.dumps({"name": "x", "metadata": {f"key{n}": "v" for n in range(1_000_000)}}).encode()
    assert len(raw) < MAX_BODY
    message = still_api.post("/v1/environments", raw=raw).refused(400)
    assert message == "Failed to parse request body: more than 100,000 values"


MANY = 100_000
ITEMS = {
    "objects": b"{}",
    "lists": b"[]",
    "numbers": b"0",
    "words": b"null",
    "strings": b'"a"',
    "objects with a key": b'{"k":"v"}',
}


@pytest.mark.parametrize("item", ITEMS)
def test_a_long_body_of_very_many_values_is_refused_whatever_they_are(still_api: Api, item: str) -> None:
    def refused(count: int) -> str:
        padding = b" " * LONG_BODY
        raw = b'{"name":"x","metadata":[' + b",".join([ITEMS[item]] * count) + b"]" + padding + b"}"
        return still_api.post("/v1/environments", raw=raw).refused(400)

    each = ITEMS[item].count(b"{") + ITEMS[item].count(b"[") + 1  # and its comma
    most = (MANY - 2) // each  # the object, a comma and the list come on top, the last comma does not
    assert refused(most + 1) == "Failed to parse request body: more than 100,000 values"
    assert refused(most) == "metadata: expected object, got list"


def test_a_long_body_is_not_refused_for_what_is_inside_a_string(still_api: Api) -> None:
    many = 3 * MANY
    texts = ["[{," * many, '"' * many, "\\" * many, '\\",' * many, '","' * many, "\n" * many, '"a",[' * many]
    for text in texts:
        raw = json.dumps({"name": "x", "description": text}).encode()
        assert len(raw) > LONG_BODY
        assert still_api.post("/v1/environments", raw=raw).refused(400).startswith("description: maximum string length")


@pytest.mark.parametrize(
    "raw", [b'"' * LONG_BODY, b'"' + b"\\" * LONG_BODY, b'{"a":"' + b"x" * LONG_BODY, b'"a"' * LONG_BODY, b"," * LONG_BODY]
)  # fmt: skip
def test_a_long_body_that_is_no_json_is_400(still_api: Api, raw: bytes) -> None:
    assert still_api.post("/v1/environments", raw=raw).refused(400).startswith(PARSE)


@given(
    st.recursive(
        st.none() | st.integers(-9, 9) | st.text('a"\\[{,\n', max_size=4),
        lambda inner: st.lists(inner) | st.dictionaries(st.text('k"\\[{,'), inner),
    ),
    st.booleans(),
)
def test_values_are_counted_by_commas_and_brackets_outside_of_strings(value: Any, ascii_: bool) -> None:
    raw = json.dumps(value, ensure_ascii=ascii_).encode()
    inside, skipped, count = False, False, 0
    for letter in raw.decode():
        if skipped:
            skipped = False
        elif letter == "\\":
            skipped = True
        elif letter == '"':
            inside = not inside
        elif not inside:
            count += letter in ",[{"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(wire, "MAX_VALUES", count)
        wire._check_size(raw)
        patch.setattr(wire, "MAX_VALUES", count - 1)
        if count:
            with pytest.raises(InvalidRequest):
                wire._check_size(raw)


def test_a_string_of_thirty_megabytes_is_refused(still_api: Api) -> None:
    raw = b'{"name":"' + b"n" * 30_000_000 + b'"}'
    assert still_api.post("/v1/environments", raw=raw).refused(400) == "name: maximum string length is 256"


# How large a body may be


@pytest.mark.parametrize("size", [MAX_BODY + 1, 99_999_999, 10**18, 10**400])
def test_a_body_that_announces_itself_as_too_large_is_not_read(still_api: Api, size: int) -> None:
    for path in ("/v1/environments", f"/v1/deployments/{still_api.deployment()['id']}/run"):
        response = still_api.post(path, raw=b"", headers={"content-length": str(size)})
        assert response.refused(413, "request_too_large") == "The request body is larger than 32 MB."
        assert response.headers["connection"] == "close"


@pytest.mark.parametrize("size", ["", "abc", "abcdefghijkl", "-1", "+5", "1e3", "0x10", "５"])
def test_a_content_length_that_is_no_number_is_400(still_api: Api, size: str) -> None:
    encoded = size.encode().decode("latin-1")
    still_api.post("/v1/environments", raw=b"{}", headers={"content-length": encoded}).refused(400)


@pytest.mark.parametrize(("chunks", "status"), [(1, 200), (32, 400), (33, 413), (200, 413)])
def test_without_a_content_length_reading_stops_at_the_limit(sqlite_api: Api, chunks: int, status: int) -> None:
    megabyte = b" " * 1024 * 1024
    whole = [b'{"name":"x"}'] if chunks == 1 else [megabyte] * chunks
    taken = 0
    sent: list[Any] = []

    async def receive() -> dict[str, Any]:
        nonlocal taken
        taken += 1
        return {"type": "http.request", "body": whole[taken - 1], "more_body": taken < len(whole)}

    async def send(message: Any) -> None:
        sent.append(message)

    key = sqlite_api.settings.bootstrap_api_key or ""
    scope = {
        "type": "http",
        "method": "POST",
        "path": "/v1/environments",
        "query_string": b"",
        "headers": [(b"x-api-key", key.encode())],
    }
    sqlite_api.run(sqlite_api.house.app(scope, receive, send))
    assert sent[0]["status"] == status
    assert taken == min(chunks, 33)
