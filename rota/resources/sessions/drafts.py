"""How a session comes about, for sets of any size: load, decide, write.

The one door for ``POST /v1/sessions`` and for every fire of a deployment. *Load* takes one query a kind of thing, however
many sessions are wanted and however much they name; *decide* is a pure function of plain values (see ``reasons``), so that
each refusal is a row in a table test; *write* is one statement a table. A refusal is a value; only the unexpected is raised.
"""

from collections.abc import Iterable, Iterator, Sequence
from itertools import chain, islice
from typing import Any

import msgspec
from msgspec import UNSET, Struct

from rota.base import ids
from rota.base.clock import to_datetime
from rota.base.policy import Policy
from rota.base.seal import Place
from rota.base.wire import encode
from rota.resources.agents import actions as agents
from rota.resources.agents.prices import has_list_price
from rota.resources.environments import actions as environments
from rota.resources.environments.wire import Cloud
from rota.resources.files import actions as files
from rota.resources.memory_stores import actions as memory_stores
from rota.resources.sessions import mounts, refusals, sql, workers
from rota.resources.sessions.events import DEFAULT_ITERATIONS, DefineOutcome
from rota.resources.sessions.mounts import MemoryStoreParam, SessionResource
from rota.resources.sessions.reasons import LogEntry, References, Wish, reasons
from rota.resources.sessions.refusals import SessionRefusal
from rota.resources.sessions.wire import OutcomeEvaluation, Usage
from rota.resources.skills import actions as skills
from rota.resources.vaults import actions as vaults
from rota.resources.work import wants
from rota.resources.workspaces import actions as workspaces
from rota.resources.workspaces import limits
from rota.store.tx import Row, Tx

TURNS = "turns"
"""The topic that is woken when a session wants a turn."""


class Draft(Struct, frozen=True, kw_only=True):
    """A session that may be made. ``resources`` has None where a file's copy is to be shown, once it is made; ``copies`` are
    those files in order, each with the place where it is mounted. ``session`` lacks its last column, the body. ``want`` is
    there for a session that begins with a turn and whose tools a worker runs."""

    session_id: str
    session: Row
    body: sql.Body
    thread: Row
    events: Sequence[Row]
    resources: Sequence[SessionResource | None] = ()
    copies: Sequence[tuple[files.Facts, str]] = ()
    tokens: Sequence[tuple[str, str]] = ()
    memory_store_ids: Sequence[str] = ()
    want: wants.Want | None = None


def load(tx: Tx, wishes: Sequence[Wish], policy: Policy, *, dry: bool = False) -> References:
    """Everything that the wishes refer to: one query for each kind. ``dry`` asks the limiter without using it up."""
    refs = {(wish.agent_id, wish.agent_version) for wish in wishes if wish.override is None}
    traits = dict(agents.traits_many(tx, sorted(refs)))
    for wish in wishes:
        if wish.override is not None:
            traits[wish.agent_id, wish.agent_version] = agents.traits_of(wish.override)
    members = {ref for trait in traits.values() for ref in trait.members} - traits.keys()
    if members:
        traits |= agents.traits_many(tx, sorted(members))
    agent_ids = {wish.agent_id for wish in wishes} | {agent_id for agent_id, _ in members}
    granted = None
    if policy.sessions_per_minute:
        wanted: dict[str, int] = {}
        for wish in wishes:
            wanted[wish.organization_id] = wanted.get(wish.organization_id, 0) + 1
        ask = limits.left if dry else limits.take
        granted = {
            organization_id: ask(tx, organization_id, count, policy.sessions_per_minute)
            for organization_id, count in wanted.items()
        }
    vault_ids = _all(wish.vault_ids for wish in wishes)
    file_ids = _all(wish.resources.file_ids for wish in wishes)
    store_ids = _all(wish.resources.memory_store_ids for wish in wishes)
    custom = {
        (skill.skill_id, skill.version) for trait in traits.values() for skill in trait.skills if skill.type == "custom"
    }
    return References(
        states=workspaces.states(tx, sorted({wish.workspace_id for wish in wishes})),
        agent_facts=agents.find_many(tx, sorted(agent_ids)),
        traits=traits,
        environment_facts=environments.find_many(tx, sorted({wish.environment_id for wish in wishes})),
        vault_facts=vaults.find_many(tx, vault_ids) if vault_ids else {},
        file_facts=files.find_many(tx, file_ids) if file_ids else {},
        store_facts=memory_stores.find_many(tx, store_ids) if store_ids else {},
        skill_facts=skills.find_many(tx, sorted(custom)) if custom else {},
        granted=granted,
        retry_after=limits.seconds_left(tx.now),
    )


def _all(named: Iterable[Sequence[str]]) -> Sequence[str]:
    """Whatever is named by anybody, each once."""
    lists = list({id(each): each for each in named if each}.values())
    return lists[0] if len(lists) == 1 else list(dict.fromkeys(chain.from_iterable(lists)))


def decide_all(wishes: Sequence[Wish], found: References, policy: Policy, now: int) -> list[Draft | SessionRefusal]:
    """A draft or a refusal for each wish, in order. Pure, but for the new ids."""
    left = dict(found.granted) if found.granted is not None else None
    decided: list[Draft | SessionRefusal] = []
    for wish in wishes:
        if left is not None:
            if left[wish.organization_id] <= 0:
                decided.append(refusals.SessionRateLimited(policy.sessions_per_minute, found.retry_after))
                continue
            left[wish.organization_id] -= 1
        refusal = refuse(wish, found, policy)
        decided.append(draft(wish, found, policy, now) if refusal is None else refusal)
    return decided


def refuse(wish: Wish, found: References, policy: Policy) -> SessionRefusal | None:
    """The first reason, in the order that the contract fixes, why the session cannot be; None if there is none."""
    return next(reasons(wish, found, policy), None)


def draft(wish: Wish, found: References, policy: Policy, now: int) -> Draft:
    """The rows of a session that nothing stands against."""
    session_id = ids.new(ids.SESSION)
    status, wants_turn_at = ("running", now) if wish.events else ("idle", None)
    events = [event_row(session_id, number, entry, now) for number, entry in enumerate(wish.events, sql.WAITING + 1)]
    config = found.environment_facts[wish.environment_id].config
    cloud = config if isinstance(config, Cloud) else None
    made = Draft(
        session_id=session_id,
        session=(
            session_id, wish.workspace_id, now, now, status, wish.agent_id, wish.agent_version, wish.environment_id,
            int(cloud is None), wish.deployment_id, wants_turn_at, 0,
        ),
        body=sql.Body(
            title=wish.title,
            metadata=wish.metadata,
            vault_ids=list(wish.vault_ids),
            budget=wish.budget,
            agent=wish.override.body if wish.override is not None else None,
            outcome_evaluations=pending(events),
            networking=None if cloud is None else cloud.networking,
            skills=[] if cloud is None or not found.skill_facts else _pinned(wish, found),
        ),
        thread=(session_id, ids.new(ids.THREAD), None, now, now, status, "{}"),
        events=events,
    )  # fmt: skip
    if not has_list_price(found.traits[wish.agent_id, wish.agent_version].model_id, policy.priced_models):
        unpriced = msgspec.structs.replace(made.body, usage=Usage(list_cost=None))
        made = msgspec.structs.replace(made, body=unpriced)
    if wish.resources.given:
        made = _with_resources(made, wish, found, now)
    if cloud is not None or not wish.events:
        return made
    stores = workers.stores(each for each in made.resources if each is not None)
    wanted = wants.Want(wish.workspace_id, wish.environment_id, session_id, stores)
    return msgspec.structs.replace(made, want=wanted)


def _pinned(wish: Wish, found: References) -> list[skills.Pinned]:
    """The agent's own skills in the versions that they have now: ``latest`` is settled when a session begins."""
    named = found.traits[wish.agent_id, wish.agent_version].skills
    return [found.skill_facts[each.skill_id].pin(each.version) for each in named if each.type == "custom"]


def _with_resources(made: Draft, wish: Wish, found: References, now: int) -> Draft:
    """The draft with what the session is to be given. A file twice is two copies; a store is shown as it is now."""
    wanted, at = wish.resources, to_datetime(now)
    stores = [found.store_facts[store_id] for store_id in wanted.memory_store_ids]
    folders = dict(zip(wanted.memory_store_ids, mounts.slugs([(each.id, each.name) for each in stores]), strict=True))
    resources: list[SessionResource | None] = [None] * len(wanted.given)
    tokens: list[tuple[str, str]] = []
    for index, given in wanted.others:
        if isinstance(given, MemoryStoreParam):
            store = found.store_facts[given.memory_store_id]
            resources[index] = mounts.new_store(given, folders[store.id], store.name, store.description)
        else:
            place = wanted.places[index]
            assert place is not None
            resources[index] = repository = mounts.new_repository(given, place, at)
            if (token := wish.tokens.get(index)) is not None:
                tokens.append((repository.id, token))
    return msgspec.structs.replace(
        made,
        resources=resources,
        copies=[(found.file_facts[file_id], place) for file_id, place in wanted.files],
        tokens=tokens,
        memory_store_ids=wanted.memory_store_ids,
    )


def event_row(session_id: str, position: int, entry: LogEntry, now: int) -> Row:
    """The row of a client's event, waiting to be taken up. An outcome shows when it came, as the clients' types want it."""
    kind, body = entry
    shown_at: int | None = None
    if kind == "user.define_outcome":
        outcome = msgspec.json.decode(body[:1] + '"type":"user.define_outcome",' + body[1:], type=DefineOutcome)
        if outcome.max_iterations is UNSET or outcome.max_iterations is None:
            outcome.max_iterations = DEFAULT_ITERATIONS
        body = '{"outcome_id":"' + ids.new(ids.OUTCOME) + '",' + entry_of(outcome)[1][1:]
        shown_at = now
    return (session_id, position, ids.new(ids.EVENT), None, kind, shown_at, body)


def pending(events: Iterable[Row]) -> list[OutcomeEvaluation]:
    """What a session shows of the outcomes among events that have come, before the agent begins to work for them."""
    told = [msgspec.json.decode(row[6], type=dict[str, Any]) for row in events if row[4] == "user.define_outcome"]
    return [
        OutcomeEvaluation(outcome_id=each["outcome_id"], description=each["description"], iteration=0, result="pending")
        for each in told
    ]


def entry_of(event: Struct) -> LogEntry:
    """An event as the log keeps it: its type is a column, the rest stays JSON."""
    return entry_of_json(encode(event).decode())


def entry_of_json(text: str) -> LogEntry:
    """The same for JSON that we encoded ourselves, which begins with the type."""
    end = text.index('"', 9)
    return text[9:end], "{" + text[end + 2 :] if text[end + 1] == "," else "{}"


def write(tx: Tx, drafts: Sequence[Draft], policy: Policy) -> None:
    """Make the sessions: one statement a table, then wake the turn engine."""
    if not drafts:
        return
    wanted = [(file, each.session_id) for each in drafts for file, _ in each.copies]
    copies = iter(files.copy_many(tx, wanted) if wanted else ())
    tx.insert(sql.INSERT, [(*each.session, encode(_body(each, copies, tx.now)).decode()) for each in drafts])
    tx.insert(sql.INSERT_THREADS, [each.thread for each in drafts])
    tx.insert(sql.APPEND, [event for each in drafts for event in each.events])
    attached = [(store_id, each.session_id) for each in drafts for store_id in each.memory_store_ids]
    if attached:
        tx.insert(sql.ATTACH_STORES, attached)
    tokens = [(each.session_id, resource_id, token) for each in drafts for resource_id, token in each.tokens]
    if tokens:
        keep_tokens(tx, tokens, policy)
    wants.want(tx, [each.want for each in drafts if each.want is not None])
    if any(each.events for each in drafts):
        tx.wake(TURNS)


def _body(draft: Draft, copies: Iterator[str], now: int) -> sql.Body:
    """The body, with the ids of the copies in it."""
    if not draft.resources:
        return draft.body
    places = [place for _, place in draft.copies]
    files = iter(mounts.new_files(list(zip(islice(copies, len(places)), places, strict=True)), to_datetime(now)))
    resources = [next(files) if each is None else each for each in draft.resources]
    return msgspec.structs.replace(draft.body, resources=resources)


def keep_tokens(tx: Tx, tokens: Sequence[tuple[str, str, str]], policy: Policy) -> None:
    """Seal repository tokens, (session id, resource id, token), each to its place; one that was there is replaced."""
    sealer = policy.sealer.get()
    rows = [
        (session_id, resource_id, sealer.seal(token, token_place(session_id, resource_id)))
        for session_id, resource_id, token in tokens
    ]
    tx.insert(sql.KEEP_TOKENS, rows)


def token_place(session_id: str, resource_id: str) -> Place:
    """What a repository token in a session is sealed to."""
    return sql.TOKENS.place(session_id, resource_id)
