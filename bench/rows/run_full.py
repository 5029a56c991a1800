"""Row 10: run-now of a deployment that names as much as one may, beside a plain one.

50 vaults, 492 files and 8 memory stores (500 resources), and an agent with 20 custom skills. Each run makes 492 copies of
files, one row each, and a session that shows 500 resources. Two databases, so that the rows of one do not burden the other.
"""

from __future__ import annotations

import contextlib
import http.client
from collections.abc import Callable
from functools import partial

import msgspec

from bench.report import AtMost, Line, Section, arm, figure
from bench.rounds import Sample, callers_of, in_turn, ratio
from bench.rows.run_now import one_round
from bench.servers import HOST, Server, rota
from bench.stage import Stage
from bench.workload import HEADERS, MODEL, RefusedError, call, deploy, run_requests, text_event

VAULTS, FILES, STORES, SKILLS = 50, 492, 8, 20
CALLERS = (1, 16)
AIM = AtMost(7.0)
BOUNDARY = "rota-bench-boundary"


def upload(server: Server, path: str, field: str, name: str, content: bytes) -> str:
    """Upload one file as a form; the id of what came of it."""
    body = (
        (
            f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="{field}"; filename="{name}"\r\n'
            f"Content-Type: text/plain\r\n\r\n"
        ).encode()
        + content
        + f"\r\n--{BOUNDARY}--\r\n".encode()
    )
    headers = {**HEADERS, "content-type": f"multipart/form-data; boundary={BOUNDARY}"}
    connection = http.client.HTTPConnection(HOST, server.port, timeout=60)
    try:
        connection.request("POST", path, body, headers)
        response = connection.getresponse()
        received = response.read()
    finally:
        connection.close()
    if response.status != 200:
        raise RefusedError(f"POST {path} on {server.name}: {response.status} {received[:500]!r}")
    made: str = msgspec.json.decode(received)["id"]
    return made


def skill(server: Server, number: int) -> str:
    """A custom skill."""
    content = f"---\nname: skill-{number}\ndescription: Counts to {number}.\n---\n\nCount.\n".encode()
    return upload(server, "/v1/skills", "files[]", f"skill-{number}/SKILL.md", content)


def deploy_full(server: Server) -> str:
    """The deployment that names as much as one may; its id."""
    skills = [{"type": "custom", "skill_id": skill(server, number)} for number in range(SKILLS)]
    vaults = [call(server, "POST", "/v1/vaults", {"display_name": f"Vault {n}"})["id"] for n in range(VAULTS)]
    stores = [call(server, "POST", "/v1/memory_stores", {"name": f"Notes {n}"})["id"] for n in range(STORES)]
    files = [upload(server, "/v1/files", "file", f"part-{n}.csv", b"%d\n" % n) for n in range(FILES)]
    tools = [{"type": "agent_toolset_20260401"}]
    agent = {"name": "bench agent, full", "model": MODEL, "tools": tools, "skills": skills}
    resources = [
        *({"type": "memory_store", "memory_store_id": store_id} for store_id in stores),
        *({"type": "file", "file_id": file_id, "mount_path": f"/data/part-{n}.csv"} for n, file_id in enumerate(files)),
    ]
    body = {
        "name": "bench full",
        "agent": call(server, "POST", "/v1/agents", agent)["id"],
        "environment_id": call(server, "POST", "/v1/environments", {"name": "bench full"})["id"],
        "initial_events": [text_event(80)],
        "vault_ids": vaults,
        "resources": resources,
    }
    made: str = call(server, "POST", "/v1/deployments", body)["id"]
    return made


def run_full(stage: Stage) -> Section:
    """Row 10: a plain deployment and a full one, 1 and 16 callers, in turn."""
    arms: dict[str, Callable[[], Sample]] = {}
    with contextlib.ExitStack() as stack:
        plain = stack.enter_context(rota(stage.scratch / "plain"))
        full = stack.enter_context(rota(stage.scratch / "full"))
        requests = {
            "plain": (plain, run_requests(plain, deploy(plain, count=1))),
            "full": (full, run_requests(full, [deploy_full(full)])),
        }
        for count in CALLERS:
            for name, (server, sent) in requests.items():
                arms[f"{callers_of(count)}, {name}"] = partial(one_round, server, sent, count, stage)
        seen = in_turn(arms, stage.plan.rounds, stage.tell)
    cpu = {name: [sample.cpu["server"] for sample in samples] for name, samples in seen.items()}
    lines: list[Line] = [arm(name, samples) for name, samples in seen.items()]
    for count in CALLERS:
        value = ratio(cpu[f"{callers_of(count)}, full"], cpu[f"{callers_of(count)}, plain"])
        lines.append(figure(f"full / plain, CPU a run, {callers_of(count)}", value, "x", AIM if count == 1 else None))
    return Section(
        10,
        "run-full",
        "run-now of a deployment that names as much as one may, SQLite",
        "WAL, synchronous=FULL: a 200 has been flushed to the disk",
        lines,
        [f"{VAULTS} vaults, {FILES} files, {STORES} memory stores, {SKILLS} custom skills; a run makes {FILES} copies"],
    )
