"""The part of the journey that is about what sessions are given. Runs beside ``journey``, with nothing but the client."""

from typing import Any

from drive import Drive

NEVER = "01AAAAAAAAAAAAAAAAAAAAAA"
MODEL = "claude-opus-5-5"
HELLO = {"type": "user.message", "content": [{"type": "text", "text": "Hello."}]}
REPOSITORY = {
    "type": "github_repository",
    "url": "https://github.com/example/archive",
    "authorization_token": "ghp-secret-of-the-resources",
    "checkout": {"type": "commit", "sha": "0123abc"},
}


async def resources(drive: Drive, style: str, office: str) -> dict[str, Any]:
    """Everything that a session can be given, when it is made, by a deployment, and later; then it is taken away."""
    seen: dict[str, Any] = {}
    upload, mounted = "beta.files.upload", "beta.sessions.resources"
    reader = await drive.do(
        "beta.agents.create", name=f"{style} reader", model=MODEL, tools=[{"type": "agent_toolset_20260401"}]
    )
    table = await drive.do(upload, file=("table.csv", b"a,b\n", "text/csv"))
    notes = await drive.do("beta.memory_stores.create", name=f"{style} Desk notes", description="Of the day.")
    twin = await drive.do("beta.memory_stores.create", name=f"{style} desk NOTES")
    vault = await drive.do("beta.vaults.create", display_name=f"{style} safe")
    given = [
        {"type": "file", "file_id": table["id"]},
        {"type": "memory_store", "memory_store_id": notes["id"], "access": "read_only", "instructions": "Read first."},
        REPOSITORY,
        {"type": "memory_store", "memory_store_id": twin["id"]},
        {"type": "file", "file_id": table["id"], "mount_path": "/uploads/again.csv"},
    ]
    seen["table"], seen["notes"], seen["twin"], seen["vault"] = table["id"], notes["id"], twin["id"], vault["id"]
    common = {"environment_id": office, "vault_ids": [vault["id"]], "resources": given}
    seen["session"] = await drive.do("beta.sessions.create", agent=reader["id"], **common)
    session = seen["session"]["id"]
    seen["listed"] = await drive.walk(f"{mounted}.list", session, limit=2)
    repository = next(each for each in seen["listed"] if each["type"] == "github_repository")["id"]
    seen["retrieved"] = await drive.do(f"{mounted}.retrieve", repository, session_id=session)
    seen["rotated"] = await drive.do(f"{mounted}.update", repository, session_id=session, authorization_token="new")
    seen["added"] = await drive.do(f"{mounted}.add", session, type="file", file_id=table["id"], mount_path="late.csv")
    seen["copies"] = [each["id"] for each in await drive.walk("beta.files.list", scope_id=session)]
    added = seen["added"]["id"]
    seen["removed"] = await drive.do(f"{mounted}.delete", added, session_id=session)
    seen["removed again"] = await drive.refused(f"{mounted}.delete", added, session_id=session)
    seen["copies after"] = [each["id"] for each in await drive.walk("beta.files.list", scope_id=session)]
    seen["repository removed"] = await drive.refused(f"{mounted}.delete", repository, session_id=session)
    seen["taken place"] = await drive.refused(
        f"{mounted}.add", session, type="file", file_id=table["id"], mount_path="again.csv"
    )
    seen["unknown file"] = await drive.refused(f"{mounted}.add", session, type="file", file_id=f"file_{NEVER}")
    seen["store added"] = await drive.refused(
        f"{mounted}.add", session, type="memory_store", file_id="x", extra_body={"memory_store_id": notes["id"]}
    )
    seen["by store"] = [each["id"] for each in await drive.walk("beta.sessions.list", memory_store_id=notes["id"])]

    deployment = await drive.do(
        "beta.deployments.create", name=f"{style} reading", agent=reader["id"], initial_events=[HELLO], **common
    )
    seen["deployment"] = deployment["resources"]
    run = await drive.do("beta.deployments.run", deployment["id"])
    seen["run"] = run["error"]
    seen["of the run"] = await drive.do("beta.sessions.retrieve", run["session_id"])
    await drive.do("beta.memory_stores.delete", twin["id"])
    await drive.do("beta.vaults.archive", vault["id"])
    seen["archived vault"] = await drive.do("beta.deployments.run", deployment["id"])
    await drive.do("beta.vaults.delete", vault["id"])
    seen["deleted vault"] = await drive.do("beta.deployments.run", deployment["id"])
    await drive.do("beta.deployments.update", deployment["id"], vault_ids=[])
    seen["deleted store"] = await drive.do("beta.deployments.run", deployment["id"])
    await drive.do("beta.memory_stores.archive", notes["id"])
    seen["archived store"] = await drive.do("beta.deployments.run", deployment["id"])
    await drive.do("beta.files.delete", table["id"])
    seen["deleted file"] = await drive.do("beta.deployments.run", deployment["id"])
    seen["unchanged"] = await drive.do("beta.sessions.retrieve", session)
    await drive.do("beta.sessions.delete", session)
    seen["copies at the end"] = await drive.walk("beta.files.list", scope_id=session)
    return seen
