"""The bytes of files: once for each workspace, for as long as a file has them, whatever happens at the same time."""

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from rota.base.clock import HandClock
from rota.base.errors import Unavailable
from rota.base.ids import FILE, new
from rota.http import idempotency
from rota.queue import objects
from rota.queue.chore import Tools
from rota.resources.files import actions, content, sql, uploads
from rota.resources.files.actions import Sent
from rota.resources.workspaces import actions as workspaces
from rota.resources.workspaces import keys
from rota.resources.workspaces.wire import CreateWorkspace
from rota.store.blobs.location import written_at
from rota.store.db import open_db
from rota.store.tx import Query, Tx
from tests.api import Api, Response
from tests.files import output, stored, upload
from tests.forms import file

BLOBS = Query("Every location.", "SELECT location FROM file_blobs")
NAMED = Query("What files have.", "SELECT DISTINCT blob FROM files WHERE blob IS NOT NULL")
UPLOADED = Query("What files but copies have.", "SELECT DISTINCT blob FROM files WHERE blob IS NOT NULL AND copied = 0")
HELD = Query("What is in sets.", "SELECT DISTINCT location FROM file_set_blobs")
SETS = Query("Sets.", "SELECT id FROM file_sets")
HOLDERS = Query("Sets that are held.", "SELECT DISTINCT set_id FROM file_set_holders")
BURIED = Query("What is to be removed.", "SELECT location FROM buried_objects WHERE removed_at IS NULL")
GRACE = 3600


def column(api: Api, query: Query) -> set[str]:
    return {row[0] for row in api.read(lambda tx: tx.all(query))}


def on_disk(api: Api) -> set[str]:
    """Every object, and every beginning of one."""
    root = Path(api.settings.data_dir) / "blobs"
    return {str(each.relative_to(root)) for each in (root / "files").rglob("*") if each.is_file()}


def tools(api: Api) -> Tools:
    return Tools(db=api.house.db, blobs=api.house.blobs, policy=api.house.app.policy)


def tidy(api: Api, *, later: float = 0) -> None:
    """Every chore, after a while."""
    api.clock.advance(seconds=later)
    for chore in [*content.CHORES, objects.CLEAR]:
        api.run(chore.run(tools(api)))


def is_sound(api: Api, *, tidied: bool = True) -> None:
    """Every file has its bytes, every location is kept once and named by a file or held for a session; and, when tidied,
    nothing else is there."""
    named, kept, there = column(api, NAMED), column(api, BLOBS), on_disk(api)
    assert named <= kept
    assert kept == column(api, UPLOADED) | column(api, HELD)
    assert column(api, SETS) == column(api, HOLDERS)
    assert named <= there
    assert not kept & column(api, BURIED)
    if tidied:
        assert there == kept
        assert column(api, BURIED) == set()


# Sharing


def test_the_same_bytes_are_kept_once_for_a_workspace(api: Api) -> None:
    made = [upload(api, b"same", f"{number}.txt")["id"] for number in range(3)]
    assert len(on_disk(api)) == 1, "what was stored for nothing is removed at once"
    for file_id in made[:2]:
        api.delete(f"/v1/files/{file_id}").ok()
        tidy(api, later=2 * GRACE)
        assert len(on_disk(api)) == 1
    api.delete(f"/v1/files/{made[2]}").ok()
    assert len(on_disk(api)) == 1, "not in the request of whoever deletes"
    tidy(api)
    assert on_disk(api) == set()
    is_sound(api)


def test_two_workspaces_share_nothing(api: Api) -> None:
    body = CreateWorkspace(name="Other")
    admin = api.write(lambda tx: keys.create(tx, api.who.organization_id)).key
    who = api.read(keys.admit, admin)
    other = api.write(workspaces.create, who, body).id
    key = api.write(lambda tx: keys.create(tx, api.who.organization_id, workspace_id=other)).key
    upload(api, b"same")
    upload(api, b"same", key=key)
    assert len(on_disk(api)) == 2
    is_sound(api)


def test_a_refused_upload_leaves_nothing(api: Api) -> None:
    api.post("/v1/files", form=[file(b"x")], headers={"idempotency-key": "k"}).ok()
    api.post("/v1/files", form=[file(b"y")], headers={"idempotency-key": "k"}).refused(400)
    api.post("/v1/files", form=[file(b"z"), file(b"z", name="colour")]).refused(400)
    api.post("/v1/files", form=[file(b"x")], headers={"idempotency-key": "k"}).ok()
    assert len(on_disk(api)) == 1
    is_sound(api)


def test_a_copy_shares_the_bytes_of_its_original(api: Api) -> None:
    made = upload(api)
    [facts] = api.read(actions.find_many, [made["id"]]).values()
    copies = api.write(actions.copy_many, [(facts, "sesn_a")] * 500)
    assert len(set(copies)) == 500
    api.delete(f"/v1/files/{made['id']}").ok()
    tidy(api, later=2 * GRACE)
    assert len(on_disk(api)) == 1
    api.write(actions.delete_scoped, "sesn_a")
    tidy(api)
    is_sound(api)
    assert on_disk(api) == set()


def test_sessions_that_are_given_the_same_hold_one_set(api: Api) -> None:
    made = [upload(api, b"%d" % number) for number in range(3)]
    facts = api.read(actions.find_many, [each["id"] for each in made])
    files = [facts[each["id"]] for each in made]
    for session in ("sesn_a", "sesn_b"):
        api.write(actions.copy_many, [(file, session) for file in files])
    api.write(actions.copy_many, [(file, session) for session in ("sesn_c", "sesn_d") for file in reversed(files)])
    api.write(actions.copy_many, [(files[0], "sesn_a")])
    assert len(column(api, SETS)) == 3, "the other order is another set"
    for each in made:
        api.delete(f"/v1/files/{each['id']}").ok()
    for session in ("sesn_b", "sesn_c", "sesn_d"):
        api.write(actions.delete_scoped, session)
        tidy(api, later=2 * GRACE)
        is_sound(api)
        assert len(on_disk(api)) == 3
    api.write(actions.delete_scoped, "sesn_a")
    tidy(api)
    is_sound(api)
    assert on_disk(api) == column(api, SETS) == column(api, HELD) == set()


def test_a_copy_that_is_deleted_by_itself_frees_its_bytes_with_its_session(api: Api) -> None:
    made = upload(api)
    [facts] = api.read(actions.find_many, [made["id"]]).values()
    [copy] = api.write(actions.copy_many, [(facts, "sesn_a")])
    api.delete(f"/v1/files/{made['id']}").ok()
    api.delete(f"/v1/files/{copy}").ok()
    tidy(api, later=2 * GRACE)
    is_sound(api)
    assert len(on_disk(api)) == 1
    api.write(actions.delete_scoped, "sesn_a")
    tidy(api)
    is_sound(api)
    assert on_disk(api) == set()


# Expiry


def test_the_bytes_of_an_expired_file_go_and_a_month_later_the_file(api: Api) -> None:
    short, long = upload(api, b"short", expires_in_seconds=3600), upload(api, b"long", expires_in_seconds=7200)
    upload(api, b"for good")
    tidy(api, later=3599)
    assert len(on_disk(api)) == 3
    tidy(api, later=1)
    assert len(on_disk(api)) == 2
    assert api.get(f"/v1/files/{short['id']}").ok() == short
    assert api.get(f"/v1/files/{short['id']}/content").refused(404, "not_found_error")
    tidy(api, later=30 * 86_400)
    api.get(f"/v1/files/{short['id']}").refused(404, "not_found_error")
    assert api.get(f"/v1/files/{long['id']}").ok() == long, "it expired an hour later"
    assert len(api.get("/v1/files").ok()["data"]) == 2
    is_sound(api)


def test_an_expired_file_may_be_deleted_and_its_bytes_uploaded_again(api: Api) -> None:
    made = upload(api, b"again", expires_in_seconds=3600)
    api.clock.advance(seconds=3600)
    upload(api, b"again")
    tidy(api)
    api.delete(f"/v1/files/{made['id']}").ok()
    tidy(api, later=2 * GRACE)
    assert len(on_disk(api)) == 1
    is_sound(api)


def test_any_number_of_files_expire_in_bounded_transactions(sqlite_api: Api) -> None:
    made = upload(sqlite_api, b"x")
    [facts] = sqlite_api.read(actions.find_many, [made["id"]]).values()
    body = sql.to_text(sql.Body(filename="a", mime_type="b/c", size_bytes=1))

    def many(tx: Tx) -> None:
        rows = [(new(FILE), facts.workspace_id, tx.now, tx.now + 1, None, facts.blob, body) for _ in range(450)]
        tx.insert(sql.INSERT, rows)

    sqlite_api.write(many)
    sqlite_api.clock.advance(seconds=1)
    assert sqlite_api.write(content.expire) == 200
    [expire, _] = content.CHORES
    assert sqlite_api.run(expire.run(tools(sqlite_api))) == 250
    is_sound(sqlite_api)


# What crashes leave


def test_an_object_without_a_row_is_collected_when_it_is_old_enough(api: Api) -> None:
    upload(api, b"kept")
    left = stored(api, b"left").location
    tidy(api, later=GRACE)
    assert left in on_disk(api), "not yet older than the grace"
    tidy(api, later=1)
    assert left not in on_disk(api)
    is_sound(api)


def test_the_grace_is_the_operators(tmp_path: Path, clock: HandClock) -> None:
    with Api(f"sqlite:///{tmp_path / 'g.db'}", tmp_path, clock, object_grace_seconds=5) as api:
        stored(api, b"left")
        tidy(api, later=4)
        assert len(on_disk(api)) == 1
        tidy(api, later=2)
        assert on_disk(api) == set()


def test_what_could_not_be_removed_is_removed_the_next_time(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    api.delete(f"/v1/files/{upload(api)['id']}").ok()

    async def refuse(_location: str) -> None:
        raise Unavailable("the disk is away")

    with monkeypatch.context() as patch:
        patch.setattr(api.house.blobs, "remove", refuse)
        with pytest.raises(Unavailable):
            tidy(api)
    assert len(on_disk(api)) == 1
    tidy(api)
    assert on_disk(api) == set()
    is_sound(api)


def test_removals_are_forgotten_after_a_month(api: Api) -> None:
    api.delete(f"/v1/files/{upload(api)['id']}").ok()
    tidy(api)
    count = Query("Burials.", "SELECT location FROM buried_objects")
    assert len(column(api, count)) == 1
    api.delete(f"/v1/files/{upload(api, b'other')['id']}").ok()
    tidy(api, later=31 * 86_400)
    assert len(column(api, count)) == 1, "the later one"


def test_many_orphans_are_collected_in_one_go(sqlite_api: Api) -> None:
    for number in range(450):
        stored(sqlite_api, str(number).encode())
    sqlite_api.clock.advance(seconds=2 * GRACE)
    assert sqlite_api.run(content.collect(tools(sqlite_api))) == 450
    assert sqlite_api.run(content.collect(tools(sqlite_api))) == 0, (
        "they are buried, and so no longer anybody's to find"
    )
    assert sqlite_api.run(objects.clear(tools(sqlite_api))) == 450
    is_sound(sqlite_api)


# Races


def made_of(api: Api, data: bytes, pause: float = 0) -> Any:
    """The row of an upload whose object was finished a while ago, as a process writes it that was stopped in between."""
    written = stored(api, data)
    api.clock.advance(seconds=pause)
    return api.write(actions.create, api.who, Sent("a.txt", "text/plain", None), written, api.house.app.policy)


def test_an_upload_that_was_stopped_for_long_is_refused(api: Api) -> None:
    assert made_of(api, b"slow", GRACE / 2)
    with pytest.raises(Unavailable):
        made_of(api, b"slower", GRACE / 2 + 1)
    tidy(api, later=2 * GRACE)
    is_sound(api)


@pytest.mark.parametrize("taken", ["buried", "removed"])
def test_an_upload_whose_object_was_taken_is_refused_whatever_its_clock_says(api: Api, taken: str) -> None:
    written = stored(api, b"stopped")
    api.clock.advance(seconds=2 * GRACE)
    api.run(content.collect(tools(api)))
    if taken == "removed":
        api.run(objects.clear(tools(api)))
    api.clock.set(written_at(written.location))  # another server's clock, far behind
    with pytest.raises(Unavailable):
        api.write(actions.create, api.who, Sent("a.txt", "text/plain", None), written, api.house.app.policy)
    tidy(api, later=3 * GRACE)
    is_sound(api)


def test_an_object_that_gets_its_row_while_it_is_looked_at_is_left(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    written = stored(api, b"just in time")
    api.clock.advance(seconds=2 * GRACE)
    monkeypatch.setattr(objects, "check", lambda *_: None)
    looked = list[str]()

    def known(tx: Tx, locations: Any) -> set[str]:
        found = content.known(tx, locations)
        looked.extend(locations)
        return found

    async def work() -> int:
        unknown = await api.house.db.read(objects._unknown, [written.location], known)
        await api.house.db.write(actions.create, api.who, Sent("a", "b/c", None), written, api.house.app.policy)
        return await api.house.db.write(objects._settle, unknown, known)

    assert api.run(work()) == 0
    assert looked == [written.location] * 2
    is_sound(api)


def gather(api: Api, *calls: Any) -> list[Response]:
    return api.gather(list(calls))


@pytest.fixture
def busy(api: Api) -> Iterator[Api]:
    yield api
    tidy(api, later=3 * GRACE)
    is_sound(api)


def test_uploads_of_the_same_bytes_at_once_share_one_object(busy: Api) -> None:
    calls = [busy.call("POST", "/v1/files", form=[file(b"same", f"{n}.txt")]) for n in range(24)]
    assert all(each.status == 200 for each in gather(busy, *calls))
    assert len(column(busy, BLOBS)) == 1
    is_sound(busy, tidied=False)


def test_deleting_and_uploading_the_same_bytes_at_once_loses_none(busy: Api) -> None:
    for _ in range(8):
        old = [upload(busy, b"same")["id"] for _ in range(3)]
        calls = [busy.call("DELETE", f"/v1/files/{each}") for each in old]
        calls += [busy.call("POST", "/v1/files", form=[file(b"same")]) for _ in range(3)]
        answers = gather(busy, *calls)
        assert [each.status for each in answers] == [200] * 6
        is_sound(busy, tidied=False)
        for answer in answers[3:]:
            busy.delete(f"/v1/files/{answer.body['id']}").ok()


def test_deleting_and_copying_at_once_loses_no_bytes(busy: Api) -> None:
    async def copy(facts: actions.Facts, session_id: str) -> None:
        def both(tx: Tx) -> None:
            if found := actions.find_many(tx, [facts.id]):
                actions.copy_many(tx, [(found[facts.id], session_id)])

        await busy.house.db.write(both)

    for number in range(8):
        made = upload(busy, b"same")
        [facts] = busy.read(actions.find_many, [made["id"]]).values()

        async def work(facts: actions.Facts = facts, made: Any = made, number: int = number) -> None:
            delete = busy.call("DELETE", f"/v1/files/{made['id']}")
            await asyncio.gather(copy(facts, f"sesn_{number}"), delete, copy(facts, f"sesn_{number}"))

        busy.run(work())
        is_sound(busy, tidied=False)


def test_everything_at_once_with_housekeeping_in_between(busy: Api) -> None:
    async def sweep() -> None:
        busy.clock.advance(seconds=GRACE / 8)
        for chore in [*content.CHORES, objects.CLEAR]:
            await chore.run(tools(busy))

    async def user(number: int) -> None:
        for turn in range(6):
            answer = await busy.call("POST", "/v1/files", form=[file(b"abc"[turn % 3 : turn % 3 + 1])])
            assert answer.status in (200, 503)
            if answer.status == 200 and (turn + number) % 2:
                assert (await busy.call("DELETE", f"/v1/files/{answer.body['id']}")).status == 200
            if number == 0:
                await sweep()

    async def work() -> None:
        await asyncio.gather(*(user(number) for number in range(5)))

    busy.run(work())
    is_sound(busy, tidied=False)


def test_a_reader_goes_on_while_its_file_is_removed(sqlite_api: Api) -> None:
    file_id = output(sqlite_api, "sesn_x", b"x" * 5_000_000, "a", "b/c")
    _, location = sqlite_api.read(actions.get_bytes, sqlite_api.who, file_id)

    async def read() -> int:
        total = 0
        async for chunk in sqlite_api.house.blobs.read(location):
            if not total:
                await sqlite_api.call("DELETE", f"/v1/files/{file_id}")
                await objects.clear(tools(sqlite_api))
            total += len(chunk)
        return total

    assert sqlite_api.run(read()) == 5_000_000
    assert on_disk(sqlite_api) == set()


def test_a_lost_answer_removes_nothing(sqlite_api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    async def unsure(*_: Any, **__: Any) -> Any:
        raise Unavailable("the connection broke in the commit")

    monkeypatch.setattr(idempotency, "once", unsure)
    sqlite_api.post("/v1/files", form=[file(b"x")], headers={"idempotency-key": "k"}).refused(503, "overloaded_error")
    assert len(on_disk(sqlite_api)) == 1, "there may be a row for it"
    tidy(sqlite_api, later=2 * GRACE)
    assert on_disk(sqlite_api) == set()
    assert uploads.content is content


def test_two_servers_that_copy_and_delete_at_once_agree_on_what_is_held(api: Api) -> None:
    if api.house.db.name == "sqlite":
        pytest.skip("an embedded database has one server")
    made = [upload(api, b"%d" % number) for number in range(4)]
    facts = list(api.read(actions.find_many, [each["id"] for each in made]).values())
    stores = [api.house.db, *(open_db(api.settings.database_url, api.clock) for _ in range(2))]

    async def give_and_take(number: int) -> None:
        mine = stores[number % len(stores)]
        session = f"sesn_{number}"
        await mine.write(actions.copy_many, [(file, session) for file in facts[number % 2 :]])
        await stores[(number + 1) % len(stores)].write(actions.delete_scoped, session)

    async def work() -> None:
        for _ in range(4):
            await asyncio.gather(*(give_and_take(number) for number in range(12)))
        for store in stores[1:]:
            await store.close()

    api.run(work())
    is_sound(api, tidied=False)
    assert column(api, SETS) == set()
    for each in made:
        api.delete(f"/v1/files/{each['id']}").ok()
    tidy(api)
    is_sound(api)
    assert on_disk(api) == set()
