"""What ``rota demo`` shows: a client makes a deployment and runs it, reads what its session did, and takes the output home.

Acts through the official client alone, as any program would, and tells what it sees to a ``Teller``: tables for people while
it happens, one JSON object for machines at the end.
"""

import time
from collections.abc import Sequence
from typing import Any, Final, cast

import anthropic
import msgspec
from anthropic.types.beta import BetaManagedAgentsDeploymentRun as Run

from rota.base.errors import Unusable
from rota.cli import show
from rota.runtime.providers import script

TURN_SECONDS: Final = 120.0
"""How long the session may take; a real model on a small machine takes its time."""
_PAUSE: Final = 0.03
_LINES: Final = 6
"""Of an output, that are shown."""
_TASK: Final = "Look through yesterday's deliveries and list every parcel that arrived late."
_ROLE: Final = "You keep the books of a small parcel office."
_DELIVERIES: Final = """\
parcel,street,promised,arrived
1041,Harbour Lane,09:00,08:47
1042,Mill Road,10:30,11:15
1043,Station Square,11:00,10:52
1044,Long Acre,12:00,14:05
1045,Harbour Lane,15:30,15:29
"""
_PROGRAM: Final = """\
# Keep the heading, and every parcel that arrived later than promised.
awk -F, 'NR == 1 || $4 > $3' /mnt/session/uploads/deliveries.csv > /mnt/session/outputs/late.csv
echo "$(tail -n +2 /mnt/session/outputs/late.csv | wc -l) parcels were late:"
cat /mnt/session/outputs/late.csv
"""
_REPLIES: Final[list[dict[str, Any]]] = [
    {
        "text": "I write a small program for that.",
        "tool_use": {"name": "write", "input": {"file_path": "/workspace/late.sh", "content": _PROGRAM}},
    },
    {"text": "Now I run it.", "tool_use": {"name": "bash", "input": {"command": "sh /workspace/late.sh"}}},
    {"text": "Two parcels were late, 1042 and 1044; late.csv has the list. (scripted: no model was asked)"},
]


class Teller:
    """Tells what happens, in words and tables, or keeps it all for the end."""

    def __init__(self, *, json: bool) -> None:
        self._json = json
        self.told: dict[str, Any] = {}

    def keep(self, name: str, value: Any) -> None:
        """Keep something for machines."""
        self.told[name] = value

    def say(self, sentence: str = "") -> None:
        """A sentence."""
        if not self._json:
            show.console().print(sentence, soft_wrap=True)

    def table(self, columns: Sequence[str], rows: Sequence[Sequence[Any]], title: str | None = None) -> None:
        """Rows."""
        if not self._json:
            show.table(columns, rows, title=title)

    def thing(self, fields: dict[str, Any], title: str) -> None:
        """An object, after an empty line."""
        if not self._json:
            show.console().print()
            show.thing(fields, title=title)

    def event(self, event: dict[str, Any]) -> None:
        """An event of a transcript, as it comes."""
        if not self._json and (said := _shown(event)):
            screen = show.console()
            screen.print(f"  [dim]{event['type']:28}[/]", end="")
            screen.print(said, markup=False, soft_wrap=True)


def tell(client: anthropic.Anthropic, model: str, teller: Teller, *, scripted: bool, sandbox: bool) -> str:
    """Make a deployment and run it twice, once in vain. Returns the deployment's id."""
    works = scripted and sandbox
    file = client.files.upload(file=("deliveries.csv", _DELIVERIES.encode(), "text/csv"))
    agent = client.beta.agents.create(
        name="Parcel clerk",
        model=model,
        system=_script() if works else _ROLE,
        tools=[{"type": "agent_toolset_20260401"}] if works else [],
    )
    environment = client.beta.environments.create(name="office", description="Where the clerk works")
    deployment = client.beta.deployments.create(
        name="Late parcels",
        agent=agent.id,
        environment_id=environment.id,
        initial_events=[{"type": "user.message", "content": [{"type": "text", "text": _TASK}]}],
        resources=[{"type": "file", "file_id": file.id, "mount_path": "deliveries.csv"}],
    )
    made = [
        ["file", file.id, file.filename],
        *([noun, each.id, each.name] for noun, each in (("agent", agent), ("environment", environment))),
        ["deployment", deployment.id, deployment.name],
    ]
    teller.table(["made", "id", "name"], made)
    teller.keep("made", {noun: id_ for noun, id_, _ in made})

    teller.say(f"\n[bold]POST /v1/deployments/{deployment.id}/run[/]")
    run = client.beta.deployments.run(deployment.id)
    _tell_run(run, "The run record", teller)
    teller.keep("run", run.to_dict(mode="json"))
    if run.session_id is None:
        raise Unusable("The first run made no session; its record above says why.")
    _tell_session(client, run.session_id, teller)
    if works:
        _tell_outputs(client, run.session_id, teller)

    client.beta.environments.archive(environment.id)
    teller.say(f"\nThe environment is archived now. [bold]POST /v1/deployments/{deployment.id}/run[/] again")
    failed = client.beta.deployments.run(deployment.id)
    _tell_run(failed, "The record of a run that could not start", teller)
    teller.keep("failed_run", failed.to_dict(mode="json"))
    runs = list(client.beta.deployment_runs.list(deployment_id=deployment.id))
    teller.say("\nBoth are kept, newest first:")
    rows = [[each.id, each.error.type if each.error else each.session_id] for each in runs]
    teller.table(["id", "session or error"], rows)
    return deployment.id


def turn_the_clock(client: anthropic.Anthropic, model: str, teller: Teller) -> None:
    """Show a schedule that fires, on the server's clock, which stands still until it is turned."""
    agent = client.beta.agents.create(name="Night clerk", model=model)
    environment = client.beta.environments.create(name="night office")
    deployment = client.beta.deployments.create(
        name="Every minute",
        agent=agent.id,
        environment_id=environment.id,
        initial_events=[{"type": "user.message", "content": [{"type": "text", "text": _TASK}]}],
        schedule={"type": "cron", "expression": "* * * * *", "timezone": "Europe/Berlin"},
    )
    assert deployment.schedule is not None
    upcoming = ", ".join(f"{moment:%H:%M}" for moment in deployment.schedule.upcoming_runs_at or ())
    teller.say(f"\nAnother deployment has a schedule, * * * * *: every minute. Its next runs (UTC): {upcoming}.")
    teller.say("[bold]POST /rota/v1/test_clock/advance[/] by five minutes")
    client.post("/rota/v1/test_clock/advance", body={"seconds": 300}, cast_to=object)
    runs = list(client.beta.deployment_runs.list(deployment_id=deployment.id))
    teller.keep("scheduled_runs", [run.to_dict(mode="json") for run in runs])
    rows: list[list[str | None]] = []
    for run in runs:
        scheduled_at = getattr(run.trigger_context, "scheduled_at", None)
        rows.append([f"{scheduled_at:%H:%M:%S}", f"{run.created_at:%H:%M:%S.%f}", run.session_id])
    teller.table(["scheduled_at", "created_at", "session"], rows, title="Its runs, newest first")
    teller.say("Every occurrence has one run, made at its own minute of the clock that was turned.")


def mend(client: anthropic.Anthropic, deployment_id: str) -> None:
    """Give the deployment a live environment again, so that whoever goes on from here can run it."""
    environment = client.beta.environments.create(name="new office")
    client.beta.deployments.update(deployment_id, environment_id=environment.id)


def _script() -> str:
    return "\n".join([script.MARK, *(msgspec.json.encode(reply).decode() for reply in _REPLIES)])


def _tell_run(run: Run, title: str, teller: Teller) -> None:
    fields: dict[str, Any] = {
        "id": run.id,
        "created_at": run.created_at,
        "trigger": run.trigger_context.type,
        "agent": f"{run.agent.id}, version {run.agent.version}",
        "session_id": run.session_id,
        "error": None if run.error is None else f"{run.error.type}: {run.error.message}",
    }
    teller.thing(fields, title)


def _tell_session(client: anthropic.Anthropic, session_id: str, teller: Teller) -> None:
    """The session's events, each as soon as it is there, until it rests."""
    teller.say(f"\nThe session that it started, [bold]GET /v1/sessions/{session_id}/events[/]")
    told: list[dict[str, Any]] = []
    deadline = time.monotonic() + TURN_SECONDS
    while not (told and told[-1]["type"] in ("session.status_idle", "session.status_terminated")):
        if time.monotonic() > deadline:
            raise Unusable(f"The session was not done after {TURN_SECONDS:.0f} seconds.")
        log = [event.to_dict(mode="json") for event in client.beta.sessions.events.list(session_id)]
        for event in log[len(told) :]:
            if event.get("processed_at") is None:  # it waits, and its place in the log is yet to be found
                break
            teller.event(event)
            told.append(event)
        time.sleep(_PAUSE)
    session = client.beta.sessions.retrieve(session_id)
    usage = session.usage
    teller.say(f"The session is {session.status}: {usage.input_tokens} tokens in, {usage.output_tokens} out.")
    teller.keep("session", session.to_dict(mode="json"))
    teller.keep("events", told)


def _tell_outputs(client: anthropic.Anthropic, session_id: str, teller: Teller) -> None:
    """What the session left under /mnt/session/outputs, downloaded."""
    outputs: list[dict[str, str]] = []
    for file in client.beta.files.list(scope_id=session_id):
        if file.downloadable:
            text = client.beta.files.download(file.id).read().decode()
            outputs.append({"id": file.id, "filename": file.filename, "text": text})
            teller.say(f"\nIts output, [bold]GET /v1/files/{file.id}/content[/], {file.filename}:")
            for line in text.splitlines()[:_LINES]:
                teller.say(f"  {line}")
    teller.keep("outputs", outputs)


def _shown(event: dict[str, Any]) -> str:
    """An event in a line or a few; nothing for those that only keep accounts."""
    kind = event["type"]
    if kind.endswith("tool_use"):
        return f"{event['name']} {_input(event['input'])}"
    if kind == "session.status_idle":
        return event["stop_reason"]["type"]
    if kind == "session.error":
        return event["error"]["message"]
    if kind.startswith(("span.", "session.")):
        return ""
    blocks = cast("list[dict[str, str]]", event.get("content") or [])
    said = " ".join(block["text"].strip() for block in blocks if "text" in block)
    return said.replace("\n", "\n" + 30 * " ") or "–"


def _input(given: dict[str, Any]) -> str:
    """The arguments of a call, each in one short line."""
    lines = {name: str(value).splitlines() or [""] for name, value in given.items()}
    return ", ".join(
        f"{name}: {rows[0][:60]}{' …' if len(rows) > 1 or len(rows[0]) > 60 else ''}" for name, rows in lines.items()
    )
