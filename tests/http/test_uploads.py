"""Forms coming in, on a route of the tests' own: every part as it was sent, whatever the pieces it came in."""

from collections.abc import Sequence
from hashlib import sha256
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import Struct

from rota.http import upload
from rota.http.admit import Admission
from rota.http.app import App
from rota.http.request import Request
from rota.http.route import Route
from rota.resources.workspaces import keys
from rota.store.tx import Tx
from tests.api import Api, Response
from tests.forms import BOUNDARY, Field, encode, file

LIMIT = 256 * 1024


class Sent(Struct):
    """The form of the test route."""

    file: bytes
    note: str = ""


class Seen(Struct):
    """What the test route answers: name, file name, type, size and digest of each part."""

    parts: list[tuple[str, str | None, str, int, str]]


async def look(req: Request) -> Any:
    """Read every part."""
    parts: list[tuple[str, str | None, str, int, str]] = []
    async for part in req.parts():
        if part.name == "skipped":
            continue
        digest, size = sha256(), 0
        async for chunk in part.chunks():
            digest.update(chunk)
            size += len(chunk)
        parts.append((part.name, part.filename, part.content_type, size, digest.hexdigest()))

    def keep(_tx: Tx, _who: object) -> Seen:
        return Seen(parts)

    return await req.write(keep)


async def read_note(req: Request) -> Any:
    """Read plain fields."""
    return {part.name: await part.text(limit=100) async for part in req.parts()}


ROUTES = [
    Route("POST", "/look", "look.create", "Look", look, Seen, upload=Sent, writes=True, creates=True, max_body=LIMIT),
    Route("POST", "/note", "note.create", "Note", read_note, dict, upload=Sent, writes=True, max_body=LIMIT),
]


@pytest.fixture
def forms(sqlite_api: Api) -> Api:
    """A house with the test routes."""
    return with_routes(sqlite_api)


@pytest.fixture(scope="module")
def still(still_api: Api) -> Api:
    """The same, shared by all tests that only ask."""
    return with_routes(still_api)


def with_routes(api: Api) -> Api:
    house = api.house
    admission = Admission(house.db, api.clock, keys.admit)
    house.app = App([*ROUTES, *house.routes], house.db, admission, house.app.cursors, house.app.policy, house.blobs)
    return api


def seen(*fields: Field) -> list[list[Any]]:
    """What the test route answers for these parts."""
    return [
        [each.name, each.filename, each.content_type, len(each.content), sha256(each.content).hexdigest()]
        for each in fields
    ]


def send(
    api: Api, body: bytes | Sequence[bytes], content_type: str = f"multipart/form-data; boundary={BOUNDARY}"
) -> Response:
    return api.post("/look", raw=body, headers={"content-type": content_type})


def test_parts_arrive_in_order_with_their_names_types_and_bytes(still: Api) -> None:
    fields = [file(b"one"), Field("note", "Grüße".encode()), file(b"", "", ""), file(b"\r\n--", "x y.bin", "a/b")]
    assert still.post("/look", form=fields).ok()["parts"] == seen(*fields)


def test_a_form_may_have_no_parts_and_words_around_it(still: Api) -> None:
    body, content_type = encode([file(b"x")])
    assert send(still, b"\r\n" + body + b"an epilogue\r\n" * 9, content_type).ok()["parts"] == seen(file(b"x"))
    assert send(still, f"--{BOUNDARY}--\r\n".encode()).ok()["parts"] == []


def test_a_part_that_is_not_read_is_passed_over(still: Api) -> None:
    fields = [file(b"x" * 99_999, name="skipped"), file(b"y")]
    assert still.post("/look", form=fields).ok()["parts"] == seen(fields[1])


CONTENT = st.one_of(
    st.binary(max_size=300),
    st.lists(st.sampled_from([b"\r", b"\n", b"\r\n", b"-", b"--", BOUNDARY.encode()[:-1], b"x"]), max_size=30).map(
        b"".join
    ),
)


@settings(deadline=None, max_examples=150)
@given(contents=st.lists(CONTENT, max_size=4), cuts=st.lists(st.integers(0, 2000), max_size=12))
def test_it_does_not_matter_where_the_network_cuts(still: Api, contents: list[bytes], cuts: list[int]) -> None:
    fields = [file(content, f"{number}.bin", "a/b") for number, content in enumerate(contents)]
    body, content_type = encode(fields)
    edges = sorted({0, len(body), *(cut % (len(body) + 1) for cut in cuts)})
    pieces = [body[a:b] for a, b in pairwise(edges)]
    assert send(still, pieces, content_type).ok()["parts"] == seen(*fields)


@settings(deadline=None, max_examples=100)
@given(st.data())
def test_a_form_that_ends_early_is_400_wherever_it_ends(still: Api, data: st.DataObject) -> None:
    body, content_type = encode([file(b"some content"), Field("note", b"text")])
    end = data.draw(st.integers(0, len(body) - 5))  # without the boundary's last dashes
    said = send(still, body[:end], content_type).refused(400)
    assert "cut short" in said or "malformed" in said


@settings(deadline=None, max_examples=200)
@given(st.binary(max_size=400), st.booleans())
def test_nonsense_is_400_and_never_a_fault(still: Api, noise: bytes, begun: bool) -> None:
    body = (f"--{BOUNDARY}\r\n".encode() if begun else b"") + noise
    assert send(still, body).status == 400


@pytest.mark.parametrize(
    "content_type",
    ["", "application/json", "multipart/form-data", "multipart/form-data; boundary=", "multipart/mixed; boundary=x",
     "multipart/form-data; boundary=" + "x" * 71, 'multipart/form-data; boundary="a', "multipart/form-data; boundary=ü",
     "multipart/form-data; boundary=a; boundary=b"],
)  # fmt: skip
def test_a_content_type_without_a_boundary_is_400(still: Api, content_type: str) -> None:
    assert send(still, b"", content_type).refused(400)


@pytest.mark.parametrize(
    "head",
    ["", "Content-Type: text/plain", "Content-Disposition: attachment; name=x", "Content-Disposition: form-data",
     "Content-Disposition: form-data; name=x; name=y", "Content-Disposition: form-data; name=x y",
     "Content-Disposition: form-data; name=x\r\nContent-Disposition: form-data; name=y", "no colon",
     "Content-Disposition: form-data; name=x\r\nX: " + "y" * 9000,
     "\r\n".join(["Content-Disposition: form-data; name=x", *(f"X-{n}: y" for n in range(9))])],
)  # fmt: skip
def test_a_part_with_a_bad_head_is_400(still: Api, head: str) -> None:
    assert "malformed" in send(still, f"--{BOUNDARY}\r\n{head}\r\n\r\nx\r\n--{BOUNDARY}--".encode()).refused(400)


def test_a_form_has_at_most_a_thousand_parts(still: Api) -> None:
    assert len(still.post("/look", form=[Field("a", b"")] * upload.MAX_PARTS).ok()["parts"]) == upload.MAX_PARTS
    assert "1000" in still.post("/look", form=[Field("a", b"")] * (upload.MAX_PARTS + 1)).refused(400)


@pytest.mark.parametrize(
    ("sent", "name"),
    [('"a\\"b\\\\c"', 'a"b\\c'), ('"C:\\dir\\x.txt"', "C:\\dir\\x.txt"), ("plain.txt", "plain.txt"), ('"日本.txt"', "日本.txt"),
     ('"a;b=c"', "a;b=c"), ('"../../etc/passwd"', "../../etc/passwd"), ("\"x\"; filename*=utf-8''y", "x")],
)  # fmt: skip
def test_a_file_name_is_told_as_it_was_sent(still: Api, sent: str, name: str) -> None:
    body = f"--{BOUNDARY}\r\ncontent-disposition: FORM-DATA; NAME=file; filename={sent}\r\n\r\n\r\n--{BOUNDARY}--"
    [part] = send(still, body.encode()).ok()["parts"]
    assert part[:2] == ["file", name]


def test_a_plain_field_is_bounded_text(still: Api) -> None:
    assert still.post("/note", form=[Field("a", "ü".encode() * 50)]).ok() == {"a": "ü" * 50}
    assert "at most 100" in still.post("/note", form=[Field("a", b"x" * 101)]).refused(400)
    assert "UTF-8" in still.post("/note", form=[Field("a", b"\xff")]).refused(400)
    assert "U+0000" in still.post("/note", form=[Field("a", b"\0")]).refused(400)


def test_plain_fields_become_the_struct_and_files_stay_out_of_it() -> None:
    assert upload.plain(Sent, {"note": "x"}) == Sent(b"", "x")
    assert upload.file_fields(Sent) == {"file": False}


# Limits and order


def test_a_form_announced_as_too_large_is_413_before_it_is_read(still: Api) -> None:
    body, content_type = encode([file(b"x")])
    response = still.post("/look", raw=body, headers={"content-type": content_type, "content-length": str(LIMIT + 1)})
    assert "0 MB" in response.refused(413, "request_too_large")
    assert response.headers["connection"] == "close"


def test_a_form_without_a_length_is_413_as_soon_as_it_is_too_large(still: Api) -> None:
    pieces = [encode([file(b"x")])[0][:-8], *[b"x" * 65536] * 5]
    assert send(still, pieces).refused(413, "request_too_large")


def test_a_caller_without_a_key_is_refused_before_a_byte_is_read(still: Api) -> None:
    body, content_type = encode([file(b"x")])
    taken = 0

    async def call() -> list[Any]:
        nonlocal taken
        sent: list[Any] = []

        async def receive() -> dict[str, Any]:
            nonlocal taken
            taken += not sent
            return {"type": "http.request", "body": body, "more_body": False}

        async def send(message: Any) -> None:
            sent.append(message)

        headers = [(b"content-type", content_type.encode()), (b"x-api-key", b"wrong")]
        scope = {"type": "http", "method": "POST", "path": "/look", "query_string": b"", "headers": headers}
        await still.house.app(scope, receive, send)
        return sent

    assert still.run(call())[0]["status"] == 401
    assert taken == 0


# Idempotency


def test_the_same_form_again_is_a_replay_whatever_its_boundary(forms: Api) -> None:
    key = {"idempotency-key": "once"}
    body, content_type = encode([file(b"x" * 1000), Field("note", b"n")])
    first = forms.post("/look", raw=body, headers={"content-type": content_type, **key})
    first.ok()
    body, content_type = encode([file(b"x" * 1000), Field("note", b"n")], "other")
    again = forms.post("/look", raw=body, headers={"content-type": content_type, **key})
    assert again.raw == first.raw
    assert again.headers["idempotent-replayed"] == "true"


@pytest.mark.parametrize(
    "other",
    [[file(b"y")], [file(b"x", "b.txt")], [file(b"x", content_type="a/b")], [file(b"x", name="note")],
     [file(b"x"), Field("note", b"")], []],
)  # fmt: skip
def test_another_form_with_the_same_key_is_400(forms: Api, other: list[Field]) -> None:
    forms.post("/look", form=[file(b"x")], headers={"idempotency-key": "once"}).ok()
    assert "Idempotency-Key" in forms.post("/look", form=other, headers={"idempotency-key": "once"}).refused(400)


def test_while_one_form_is_read_the_same_key_is_409(forms: Api) -> None:
    calls = [forms.call("POST", "/look", form=[file(b"x")], headers={"idempotency-key": "k"}) for _ in range(4)]
    statuses = sorted(answer.status for answer in forms.gather(calls))
    assert statuses[0] == 200
    assert set(statuses) <= {200, 409}
