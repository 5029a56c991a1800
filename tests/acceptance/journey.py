"""The whole journey of a user of the official client, once with the sync and once with the async client.

Runs by itself inside an environment that holds nothing but the client: reads what ``conftest`` gives as JSON from stdin and
prints one JSON object with everything it saw. Asserts nothing; the tests do. Members and arguments that a version does not
have are skipped and listed.
"""

import asyncio
import inspect
import json
import sys
from typing import Any

import anthropic
import journey_memory
import journey_vaults
import journey_work
from drive import Drive, Wire
from journey_files import files
from journey_resources import resources
from journey_skills import skills
from journey_streams import streams
from journey_turns import turns
from journey_webhooks import webhooks
from schemas import Judge

HELLO = {"type": "user.message", "content": [{"type": "text", "text": "Hello."}]}
ILLUSTRATED = {
    "type": "user.message",
    "content": [
        {"type": "text", "text": "Look."},
        {"type": "image", "source": {"type": "url", "url": "https://example.com/desk.png"}},
        {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "iVBORw0KGgo="}},
        {
            "type": "document",
            "title": "House rules",
            "context": "Old ones.",
            "source": {"type": "text", "media_type": "text/plain", "data": "No shouting."},
        },
    ],
}
OUTCOME = {
    "type": "user.define_outcome",
    "description": "A tidy office",
    "rubric": {"type": "text", "content": "Nothing lies on the floor."},
}
SYSTEM = {"type": "system.message", "content": [{"type": "text", "text": "Be brief."}]}
CRON = {"type": "cron", "expression": "30 2 * * *", "timezone": "America/New_York"}
BUDGET = {"type": "limit", "max_list_cost": {"amount": "250", "currency": "USD"}}
REPOSITORY = {
    "type": "github_repository",
    "url": "https://github.com/example/office",
    "authorization_token": "ghp-secret-of-the-journey",
    "checkout": {"type": "branch", "name": "main"},
}
TOOLS = [
    {
        "type": "agent_toolset_20260401",
        "default_config": {"enabled": True, "permission_policy": {"type": "always_ask"}},
        "configs": [
            {"name": "bash", "enabled": False},
            {"name": "read", "permission_policy": {"type": "always_allow"}},
        ],
    },
    {"type": "mcp_toolset", "mcp_server_name": "mail", "configs": [{"name": "send", "enabled": False}]},
    {
        "type": "custom",
        "name": "stamp",
        "description": "Stamps a letter.",
        "input_schema": {"type": "object", "properties": {"letter": {"type": "string"}}, "required": ["letter"]},
    },
]
SERVERS = [{"type": "url", "name": "mail", "url": "https://mail.example.com/mcp"}]
NEVER = "01AAAAAAAAAAAAAAAAAAAAAA"
MODEL = "claude-opus-5-5"


async def environments(drive: Drive, style: str) -> dict[str, Any]:
    """Environments from their making to their end."""
    seen: dict[str, Any] = {}
    seen["limited"] = await drive.do(
        "beta.environments.create",
        name=f"{style} office",
        description="Where letters are written.",
        config={
            "type": "cloud",
            "networking": {
                "type": "limited",
                "allowed_hosts": ["api.example.com"],
                "allow_mcp_servers": True,
                "allow_package_managers": True,
            },
            "packages": {"pip": ["requests"]},
        },
        metadata={"floor": "2", "team": "letters"},
    )
    seen["plain"] = await drive.do("beta.environments.create", name=f"{style} spare")
    seen["self_hosted"] = await drive.do(
        "beta.environments.create", name=f"{style} cellar", config={"type": "self_hosted"}
    )
    office, spare = seen["limited"]["id"], seen["plain"]["id"]
    seen["retrieved"] = await drive.do("beta.environments.retrieve", office)
    seen["updated"] = await drive.do(
        "beta.environments.update", office, description=None, metadata={"floor": "3", "team": None}
    )
    seen["listed"] = [each["id"] for each in await drive.walk("beta.environments.list", limit=2)]
    seen["archived"] = await drive.do("beta.environments.archive", spare)
    seen["archived again"] = await drive.do("beta.environments.archive", spare)
    seen["listed live"] = [each["id"] for each in await drive.walk("beta.environments.list", limit=2)]
    seen["listed all"] = [
        each["id"] for each in await drive.walk("beta.environments.list", limit=2, include_archived=True)
    ]
    seen["update of an archived one"] = await drive.refused("beta.environments.update", spare, name="x")
    seen["deleted"] = await drive.do("beta.environments.delete", spare)
    seen["retrieved deleted"] = await drive.refused("beta.environments.retrieve", spare)
    seen["name taken"] = await drive.refused("beta.environments.create", name=f"{style} office")
    return seen


async def agents(drive: Drive, style: str) -> dict[str, Any]:
    """Agents and their versions."""
    seen: dict[str, Any] = {}
    seen["plain"] = await drive.do("beta.agents.create", name=f"{style} helper", model=MODEL)
    helper = seen["plain"]["id"]
    seen["rich"] = await drive.do(
        "beta.agents.create",
        name=f"{style} clerk",
        model={"id": MODEL, "speed": "standard", "effort": {"type": "low"}},
        description="Writes letters.",
        system="You write letters.",
        tools=TOOLS,
        mcp_servers=SERVERS,
        skills=[{"type": "anthropic", "skill_id": "xlsx"}],
        multiagent={"type": "coordinator", "agents": [helper, {"type": "self"}]},
        execution_identity={"type": "service_account"},
        metadata={"desk": "7"},
    )
    clerk = seen["rich"]["id"]
    seen["updated"] = await drive.do(
        "beta.agents.update", clerk, version=1, description=None, metadata={"desk": None, "lamp": "on"}
    )
    seen["unchanged"] = await drive.do("beta.agents.update", clerk, version=2, name=f"{style} clerk")
    seen["stale"] = await drive.refused("beta.agents.update", clerk, version=1, name="late")
    seen["retrieved"] = await drive.do("beta.agents.retrieve", clerk)
    seen["retrieved 1"] = await drive.do("beta.agents.retrieve", clerk, version=1)
    seen["retrieved 9"] = await drive.refused("beta.agents.retrieve", clerk, version=9)
    seen["versions"] = [each["version"] for each in await drive.walk("beta.agents.versions.list", clerk, limit=1)]
    seen["spare"] = await drive.do("beta.agents.create", name=f"{style} spare", model=MODEL)
    seen["archived"] = await drive.do("beta.agents.archive", seen["spare"]["id"])
    seen["update of an archived one"] = await drive.refused("beta.agents.update", seen["spare"]["id"], name="x")
    seen["listed live"] = [each["id"] for each in await drive.walk("beta.agents.list", limit=2)]
    seen["listed all"] = [each["id"] for each in await drive.walk("beta.agents.list", limit=2, include_archived=True)]
    seen["newest"] = await newest_agent(drive, style, helper)
    seen["no model"] = await drive.refused("beta.agents.create", name="x", model="")
    return seen


async def newest_agent(drive: Drive, style: str, helper: str) -> dict[str, Any] | None:
    """An agent in shapes that only the newest generation of the client knows, and what a session shows of it."""
    if int(anthropic.__version__.split(".")[0]) < 2:
        drive.skipped.add("beta.agents.create: shapes of 2.x")
        return None
    configs = [
        {"name": "bash", "permission_policy": {"type": "auto"}},
        {
            "name": "web_search",
            "allowed_domains": ["example.com"],
            "user_location": {"type": "approximate", "city": "Ghent", "timezone": "Europe/Brussels"},
        },
        {"name": "web_fetch", "max_content_tokens": 1000, "blocked_domains": ["example.org"]},
    ]
    made = await drive.do(
        "beta.agents.create",
        name=f"{style} chief",
        model={"id": MODEL, "effort": "max", "inference_geo": "us"},
        tools=[{"type": "agent_toolset_20260401", "configs": configs}],
        multiagent={
            "type": "multiagent_20261001",
            "advisor": {"type": "enabled", "model": MODEL},
            "subagents": {"type": "enabled", "predefined_agents": [helper, {"type": "self"}]},
            "workflows": {"type": "disabled"},
        },
        execution_identity={"type": "aws_role", "role_arn": "arn:aws:iam::123456789012:role/clerk"},
    )
    advised = await drive.do(
        "beta.agents.create",
        name=f"{style} deputy",
        model=MODEL,
        multiagent={"type": "coordinator", "agents": [helper, {"type": "advisor", "model": MODEL}]},
    )
    place = (await drive.do("beta.environments.create", name=f"{style} attic"))["id"]
    sessions = [
        await drive.do("beta.sessions.create", agent=agent, environment_id=place)
        for agent in (made["id"], advised["id"])
    ]
    threads = await drive.walk("beta.sessions.threads.list", sessions[0]["id"])
    return {"made": made, "advised": advised, "sessions": sessions, "threads": threads}


async def deployments(drive: Drive, style: str, clerk: str, office: str) -> dict[str, Any]:
    """Deployments: every field, every filter, every state."""
    seen: dict[str, Any] = {}
    common = {"agent": clerk, "environment_id": office}
    seen["rich"] = await drive.do(
        "beta.deployments.create",
        name=f"{style} nightly",
        description="Writes the letters of the day.",
        initial_events=[OUTCOME, HELLO, SYSTEM],
        resources=[REPOSITORY],
        schedule=CRON,
        budget=BUDGET,
        metadata={"shift": "night"},
        agent={"type": "agent", "id": clerk, "version": 1},
        environment_id=office,
    )
    seen["plain"] = await drive.do(
        "beta.deployments.create", name=f"{style} on demand", initial_events=[HELLO], **common
    )
    nightly, plain = seen["rich"]["id"], seen["plain"]["id"]
    seen["retrieved"] = await drive.do("beta.deployments.retrieve", nightly)
    seen["updated"] = await drive.do(
        "beta.deployments.update",
        nightly,
        name=f"{style} weekly",
        description=None,
        agent=clerk,
        schedule={"type": "cron", "expression": "0 9 * * 1", "timezone": "UTC"},
        metadata={"shift": None, "day": "monday"},
    )
    seen["paused"] = await drive.do("beta.deployments.pause", nightly)
    seen["listed paused"] = [
        each["id"] for each in await drive.walk("beta.deployments.list", agent_id=clerk, status="paused")
    ]
    seen["listed active"] = [
        each["id"] for each in await drive.walk("beta.deployments.list", agent_id=clerk, status="active", limit=1)
    ]
    seen["run while paused"] = await drive.do("beta.deployments.run", nightly)
    seen["still paused"] = await drive.do("beta.deployments.retrieve", nightly)
    seen["unpaused"] = await drive.do("beta.deployments.unpause", nightly)
    seen["archived"] = await drive.do("beta.deployments.archive", nightly)
    seen["archived again"] = await drive.do("beta.deployments.archive", nightly)
    seen["run of an archived one"] = await drive.refused("beta.deployments.run", nightly)
    seen["listed live"] = [each["id"] for each in await drive.walk("beta.deployments.list", agent_id=clerk, limit=1)]
    seen["listed all"] = [
        each["id"] for each in await drive.walk("beta.deployments.list", agent_id=clerk, include_archived=True, limit=1)
    ]
    seen["listed from its birth on"] = [
        each["id"]
        for each in await drive.walk(
            "beta.deployments.list", agent_id=clerk, created_at_gte=seen["plain"]["created_at"]
        )
    ]
    seen["status with include_archived"] = await drive.refused(
        "beta.deployments.list", status="active", include_archived=True
    )
    bad = {"name": "x", "initial_events": [HELLO], **common}
    seen["both days"] = await drive.refused(
        "beta.deployments.create", **bad, schedule={**CRON, "expression": "0 0 1 * 1"}
    )
    seen["unknown agent"] = await drive.refused("beta.deployments.create", **{**bad, "agent": f"agent_{NEVER}"})
    seen["unknown environment"] = await drive.refused(
        "beta.deployments.create", **{**bad, "environment_id": f"env_{NEVER}"}
    )
    seen["unknown field"] = await drive.refused("beta.deployments.create", **bad, extra_body={"colour": "red"})
    seen["unknown deployment"] = await drive.refused("beta.deployments.retrieve", f"depl_{NEVER}")

    runs = [await drive.do("beta.deployments.run", plain) for _ in range(5)]
    again = {"extra_headers": {"Idempotency-Key": f"{style} key"}}
    runs.append(await drive.do("beta.deployments.run", plain, **again))
    seen["repeated run"] = [runs[-1], await drive.do("beta.deployments.run", plain, **again)]
    seen["runs"] = runs
    listing = "beta.deployment_runs.list"
    seen["listed runs"] = await drive.walk(listing, deployment_id=plain, limit=2)
    for name, filters in {
        "manual": {"trigger_type": "manual"},
        "scheduled": {"trigger_type": "schedule"},
        "failed": {"has_error": True},
        "good": {"has_error": False},
        "from the fourth on": {"created_at_gte": runs[3]["created_at"]},
        "before the fourth": {"created_at_lt": runs[3]["created_at"]},
    }.items():
        found = await drive.walk(listing, deployment_id=plain, limit=2, **filters)
        seen[f"listed runs, {name}"] = [each["id"] for each in found]
    seen["retrieved run"] = await drive.do("beta.deployment_runs.retrieve", runs[2]["id"])
    seen["unknown run"] = await drive.refused("beta.deployment_runs.retrieve", f"drun_{NEVER}")
    seen["runs of an unknown deployment"] = await drive.walk(listing, deployment_id=f"depl_{NEVER}")
    seen["bad cursor"] = await drive.refused(listing, page="page_nonsense")
    return seen


async def failures(drive: Drive, style: str, clerk: str) -> dict[str, Any]:
    """Runs that make no session, each recorded with its typed error."""
    seen: dict[str, Any] = {}

    async def deploy(agent: str, environment: str, **more: Any) -> str:
        made = await drive.do(
            "beta.deployments.create",
            name=f"{style} doomed",
            agent=agent,
            environment_id=environment,
            initial_events=[HELLO],
            **more,
        )
        return made["id"]

    async def place(name: str, **more: Any) -> str:
        return (await drive.do("beta.environments.create", name=f"{style} {name}", **more))["id"]

    async def worker(name: str, **more: Any) -> str:
        return (await drive.do("beta.agents.create", name=f"{style} {name}", model=MODEL, **more))["id"]

    closed, gone, open_ = await place("closed"), await place("gone"), await place("open")
    doomed = await deploy(clerk, closed)
    seen["before"] = await drive.do("beta.deployments.run", doomed)
    await drive.do("beta.environments.archive", closed)
    seen["archived environment"] = await drive.do("beta.deployments.run", doomed)
    seen["listed failed"] = await drive.walk("beta.deployment_runs.list", deployment_id=doomed, has_error=True)
    seen["deployment afterwards"] = await drive.do("beta.deployments.retrieve", doomed)

    doomed = await deploy(clerk, gone)
    await drive.do("beta.environments.delete", gone)
    seen["deleted environment"] = await drive.do("beta.deployments.run", doomed)

    cellar = await place("cave", config={"type": "self_hosted"})
    doomed = await deploy(clerk, cellar, resources=[REPOSITORY])
    seen["repository on a self-hosted environment"] = await drive.do("beta.deployments.run", doomed)

    shut = await place(
        "shut", config={"type": "cloud", "networking": {"type": "limited", "allowed_hosts": ["only.example.com"]}}
    )
    doomed = await deploy(clerk, shut)
    seen["blocked MCP host"] = await drive.do("beta.deployments.run", doomed)

    doomed = await deploy(clerk, open_, resources=[{"type": "file", "file_id": f"file_{NEVER}"}])
    seen["missing file"] = await drive.do("beta.deployments.run", doomed)

    doomed = await deploy(clerk, open_, resources=[REPOSITORY, REPOSITORY])
    seen["two mounts in one place"] = await drive.do("beta.deployments.run", doomed)
    doomed = await deploy(
        clerk,
        open_,
        resources=[{"type": "memory_store", "memory_store_id": f"memstore_{NEVER}", "access": "read_only"}],
    )
    seen["missing memory store"] = await drive.do("beta.deployments.run", doomed)

    junior = await worker("junior")
    senior = await worker("senior", multiagent={"type": "coordinator", "agents": [junior]})
    doomed = await deploy(senior, open_)
    await drive.do("beta.agents.archive", junior)
    seen["archived roster member"] = await drive.do("beta.deployments.run", doomed)
    seen["archived agent"] = await drive.do("beta.agents.archive", senior)
    seen["deployment of an archived agent"] = await drive.do("beta.deployments.retrieve", doomed)
    seen["run of it"] = await drive.refused("beta.deployments.run", doomed)
    return seen


async def sessions(drive: Drive, style: str, clerk: str, deployment: str, run: Any) -> dict[str, Any]:
    """Sessions, their events, threads and resources."""
    seen: dict[str, Any] = {"of a run": await drive.do("beta.sessions.retrieve", run["session_id"])}
    office = (await drive.do("beta.environments.create", name=f"{style} parlour"))["id"]
    seen["events of a run"] = await drive.walk("beta.sessions.events.list", run["session_id"])
    seen["listed of a deployment"] = [
        each["id"] for each in await drive.walk("beta.sessions.list", deployment_id=deployment, limit=2)
    ]
    seen["listed of a deployment, oldest first"] = [
        each["id"] for each in await drive.walk("beta.sessions.list", deployment_id=deployment, limit=2, order="asc")
    ]
    seen["rich"] = await drive.do(
        "beta.sessions.create",
        agent={"type": "agent", "id": clerk, "version": 1},
        environment_id=office,
        title="A letter",
        metadata={"to": "you"},
        resources=[REPOSITORY],
        initial_events=[HELLO, OUTCOME],
        budget=BUDGET,
    )
    rich = seen["rich"]["id"]
    seen["plain"] = await drive.do("beta.sessions.create", agent=clerk, environment_id=office)
    plain = seen["plain"]["id"]
    seen["overridden"] = await drive.do(
        "beta.sessions.create",
        agent={"type": "agent_with_overrides", "id": clerk, "model": MODEL, "system": None, "tools": [TOOLS[0]],
               "mcp_servers": [], "skills": []},
        environment_id=office,
    )  # fmt: skip
    seen["updated"] = await drive.do(
        "beta.sessions.update",
        plain,
        title="Another letter",
        metadata={"to": "them"},
        agent={"tools": [TOOLS[0], TOOLS[2]]},
    )
    seen["retrieved"] = await drive.do("beta.sessions.retrieve", plain)
    seen["listed running"] = [
        each["id"]
        for each in await drive.walk("beta.sessions.list", agent_id=clerk, agent_version=1, statuses=["running"])
    ]
    send = "beta.sessions.events.send"
    seen["interrupted"] = await drive.do(send, plain, events=[{"type": "user.interrupt"}])
    seen["sent"] = await drive.do(send, rich, events=[ILLUSTRATED, SYSTEM])
    seen["events"] = await drive.walk("beta.sessions.events.list", rich, limit=1)
    seen["events, newest first"] = [
        each["id"] for each in await drive.walk("beta.sessions.events.list", rich, limit=2, order="desc")
    ]
    seen["user messages"] = [
        each["type"] for each in await drive.walk("beta.sessions.events.list", rich, types=["user.message"])
    ]
    seen["events of the updated one"] = await drive.walk("beta.sessions.events.list", plain)
    seen["threads"] = await drive.walk("beta.sessions.threads.list", rich, limit=1)
    thread = seen["threads"][0]["id"]
    seen["thread"] = await drive.do("beta.sessions.threads.retrieve", thread, session_id=rich)
    seen["thread events"] = [
        each["id"] for each in await drive.walk("beta.sessions.threads.events.list", thread, session_id=rich, limit=2)
    ]
    seen["resources"] = await drive.walk("beta.sessions.resources.list", rich)
    seen["archive of a running one"] = await drive.refused("beta.sessions.archive", rich)
    seen["delete of a running one"] = await drive.refused("beta.sessions.delete", rich)
    seen["archived"] = await drive.do("beta.sessions.archive", plain)
    seen["events to an archived one"] = await drive.refused(send, plain, events=[HELLO])
    seen["deleted"] = await drive.do("beta.sessions.delete", plain)
    seen["retrieved deleted"] = await drive.refused("beta.sessions.retrieve", plain)
    seen["unknown agent"] = await drive.refused("beta.sessions.create", agent=f"agent_{NEVER}", environment_id=office)
    seen["unknown event"] = await drive.refused(send, rich, events=[{"type": "user.dance"}])
    return seen


async def organization(drive: Drive, admin: Drive, style: str) -> dict[str, Any]:
    """What a key may see of its organization, and what an admin key may change."""
    seen: dict[str, Any] = {}
    needed = ("organization.retrieve", "organization.workspaces", "organization.api_keys", "beta.organization")
    if [member for member in needed if not drive.has(member)]:
        return seen
    seen["me"] = await drive.do("organization.retrieve")
    seen["workspaces"] = await drive.walk("organization.workspaces.list", include_default=True)
    seen["workspace"] = await drive.do("organization.workspaces.retrieve", seen["workspaces"][0]["id"])
    seen["keys"] = await drive.walk("organization.api_keys.list")
    seen["key"] = await drive.do("organization.api_keys.retrieve", seen["keys"][0]["id"])
    seen["rate limits"] = await drive.walk("organization.rate_limits.list")
    seen["rate limits of a workspace"] = await drive.walk(
        "organization.workspaces.rate_limits.list", seen["workspaces"][0]["id"]
    )
    for member in ("retrieve", "workspaces.list", "api_keys.list", "rate_limits.list"):
        seen[f"beta {member}"] = await drive.do(f"beta.organization.{member}")
    seen["forbidden"] = await drive.refused("organization.workspaces.create", name="mine")
    seen["made"] = await admin.do(
        "organization.workspaces.create", name=f"{style} branch", display_color="#00AA11", tags={"city": "Ghent"}
    )
    branch = seen["made"]["id"]
    seen["renamed"] = await admin.do(
        "organization.workspaces.update", branch, name=f"{style} twig", tags={"city": None}
    )
    seen["archived"] = await admin.do("organization.workspaces.archive", branch)
    seen["listed"] = [each["id"] for each in await admin.walk("organization.workspaces.list", limit=1)]
    seen["listed all"] = [
        each["id"] for each in await admin.walk("organization.workspaces.list", limit=1, include_archived=True)
    ]
    seen["renamed key"] = await admin.do("organization.api_keys.update", seen["key"]["id"], name=f"{style} name")
    seen["forbidden to an admin"] = await admin.refused("beta.agents.list")
    return seen


async def journey(drive: Drive, admin: Drive, stranger: Drive, worker: Drive, style: str, site: str) -> dict[str, Any]:
    """All of it, in the order in which one thing needs another."""
    seen: dict[str, Any] = {"environments": await environments(drive, style), "agents": await agents(drive, style)}
    clerk, office = seen["agents"]["rich"]["id"], seen["environments"]["limited"]["id"]
    seen["deployments"] = await deployments(drive, style, clerk, office)
    deployment = seen["deployments"]["plain"]["id"]
    seen["failures"] = await failures(drive, style, clerk)
    seen["sessions"] = await sessions(drive, style, clerk, deployment, seen["deployments"]["runs"][0])
    seen["streams"] = await streams(drive, style, clerk)
    seen["memory"] = await journey_memory.memory(drive, style)
    seen["vaults"] = await journey_vaults.vaults(drive, style)
    seen["files"] = await files(drive, style, clerk, office)
    seen["organization"] = await organization(drive, admin, style)
    seen["webhooks"] = await webhooks(admin, style)
    seen["resources"] = await resources(drive, style, office)
    seen["skills"] = await skills(drive, style, office)
    seen["work"] = await journey_work.work(drive, worker, style, site)
    seen["wrong key"] = await stranger.refused("beta.agents.list")
    return seen


async def in_style(style: str, given: dict[str, str], judge: Judge) -> dict[str, Any]:
    """The journey with one of the two kinds of client; what was seen, and what was counted."""
    wire = Wire(judge)
    drives: list[Drive] = []
    for url, key in (
        (given["url"], given["key"]),
        (given["url"], given["admin_key"]),
        (given["url"], "sk-nobody-knows-this-one"),
        (given["url"], given["worker_key"]),
        (given["turning_url"], given["key"]),
    ):
        if style == "sync":
            http: Any = anthropic.DefaultHttpxClient(event_hooks=wire.hooks())
            client: Any = anthropic.Anthropic(base_url=url, api_key=key, http_client=http)
        else:
            http = anthropic.DefaultAsyncHttpxClient(event_hooks=wire.async_hooks())
            client = anthropic.AsyncAnthropic(base_url=url, api_key=key, http_client=http)
        drives.append(Drive(client, wire))
    drive, admin, stranger, worker, turner = drives
    seen = await journey(drive, admin, stranger, worker, style, given["site"])
    seen["turns"] = await turns(turner, style)
    for each in drives:
        closing = each.client.close()
        if inspect.isawaitable(closing):
            await closing
    return {
        "seen": seen,
        "calls": sum(each.calls for each in drives),
        "skipped": sorted(set().union(*(each.skipped for each in drives))),
        "requests": wire.requests,
        "checked": wire.checked,
        "problems": sorted(set(wire.problems)),
        "unknown": sorted(wire.unknown),
        "samples": wire.samples,
    }


def main() -> None:
    """Both journeys, printed as one JSON object."""
    given = json.load(sys.stdin)
    judge = Judge()
    result: dict[str, Any] = {
        "version": anthropic.__version__,
        "members": judge.members(),
        "sync": asyncio.run(in_style("sync", given, judge)),
        "async": asyncio.run(in_style("async", given, judge)),
    }
    judge.close()
    json.dump(result, sys.stdout)


if __name__ == "__main__":
    main()
