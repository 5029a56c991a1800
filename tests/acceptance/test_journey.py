"""What users of the official client get, at three versions, sync and async, from a real server on each database."""

from typing import Any

from tests.acceptance.conftest import Story

RUN_KEYS = {
    "type", "id", "deployment_id", "trigger_context", "session_id", "error", "agent", "created_at",
}  # fmt: skip


def refused(outcome: Any, kind: str, status: int, type_: str, words: str) -> None:
    """The client raised its own class for the status, after one request, with the server's words and request id."""
    assert kind in outcome["kinds"], outcome
    assert (outcome["status"], outcome["type"]) == (status, type_)
    assert words in outcome["message"]
    assert outcome["request_id"], "the exception and the body name the same request"
    assert outcome["requests"] == 1, "it was not tried again"


def bad_request(outcome: Any, words: str) -> None:
    refused(outcome, "BadRequestError", 400, "invalid_request_error", words)


def not_found(outcome: Any, words: str) -> None:
    refused(outcome, "NotFoundError", 404, "not_found_error", words)


# How it speaks


def test_each_generation_speaks_its_own_dialect(story: Story) -> None:
    newest = story.version.startswith("2.")
    for request in story.requests:
        assert request["credential"] == ("bearer" if newest else "x-api-key")
        assert request["version"] == ("2026-10-21" if newest else "2023-06-01")
        if not request["path"].startswith(("/v1/organizations/", "/v1/skills", "/v1/files")):
            assert ("beta=true" in request["query"]) is not newest
            memory = request["path"].startswith("/v1/memory_stores")
            assert ("agent-memory-2026-07-22" if memory else "managed-agents-2026-04-01") in request["beta"]


def test_nothing_is_skipped_but_what_a_version_does_not_have(story: Story) -> None:
    younger = ["beta.agents.create: shapes of 2.x"]
    assert (
        story.skipped
        == {
            "0.121.0": sorted(
                [
                    *younger,
                    "beta.agents.create(execution_identity)",
                    "beta.files.upload(expires_in_seconds)",
                    "beta.memory_stores.memory_versions.list(service_account_id)",
                    "beta.organization",
                    "beta.organization.webhooks",
                    "files",
                    "organization.api_keys",
                    "organization.retrieve",
                    "organization.workspaces",
                ]
            ),
            "1.17.0": younger,
            "2.12.0": [],
        }[story.version]
    )


def test_the_server_has_nothing_to_complain_about(story: Story) -> None:
    assert story.log == ""


# Environments


def test_environments_live_from_their_making_to_their_end(story: Story) -> None:
    seen = story.seen["environments"]
    limited, plain, cellar = seen["limited"], seen["plain"], seen["self_hosted"]
    assert limited["name"] == f"{story.style} office"
    assert limited["description"] == "Where letters are written."
    assert limited["metadata"] == {"floor": "2", "team": "letters"}
    assert limited["config"] == {
        "type": "cloud",
        "networking": {
            "type": "limited",
            "allowed_hosts": ["api.example.com"],
            "allow_mcp_servers": True,
            "allow_package_managers": True,
        },
        "packages": {
            "type": "packages", "apt": [], "cargo": [], "gem": [], "go": [], "npm": [], "pip": ["requests"],
        },
    }  # fmt: skip
    assert plain["config"]["networking"] == {"type": "unrestricted"}
    assert cellar["config"] == {"type": "self_hosted"}
    assert seen["retrieved"] == limited
    assert seen["updated"] == {
        **limited, "description": None, "metadata": {"floor": "3"}, "updated_at": seen["updated"]["updated_at"],
    }  # fmt: skip
    assert seen["updated"]["updated_at"] > limited["updated_at"]
    assert seen["archived"]["archived_at"] is not None
    assert seen["archived again"] == seen["archived"]
    assert seen["deleted"] == {"id": plain["id"], "type": "environment_deleted"}


def test_environments_are_listed_newest_first_without_archived_ones(story: Story) -> None:
    seen = story.seen["environments"]
    limited, plain, cellar = (seen[name]["id"] for name in ("limited", "plain", "self_hosted"))
    assert seen["listed"][:3] == [cellar, plain, limited]
    assert seen["listed live"][:2] == [cellar, limited]
    assert plain not in seen["listed live"]
    assert seen["listed all"][:3] == [cellar, plain, limited]
    assert len(set(seen["listed all"])) == len(seen["listed all"])


def test_environments_refuse_what_they_must(story: Story) -> None:
    seen = story.seen["environments"]
    bad_request(seen["update of an archived one"], "is archived")
    if story.version == "2.12.0":
        assert "BetaEnvironmentArchivedError" in seen["update of an archived one"]["kinds"]
    not_found(seen["retrieved deleted"], "not found")
    refused(seen["name taken"], "ConflictError", 409, "invalid_request_error", "already exists")


# Agents


def test_an_agent_is_resolved_in_full(story: Story) -> None:
    seen = story.seen["agents"]
    rich = seen["rich"]
    assert (rich["version"], rich["name"], rich["system"]) == (1, f"{story.style} clerk", "You write letters.")
    assert rich["model"]["id"] == "claude-opus-5-5"
    assert rich["model"]["effort"] == {"type": "low"}
    toolset, mcp, custom = rich["tools"]
    assert toolset["default_config"] == {"enabled": True, "permission_policy": {"type": "always_ask"}}
    assert [(each["name"], each["enabled"], each["permission_policy"]["type"]) for each in toolset["configs"]] == [
        ("bash", False, "always_ask"),
        ("read", True, "always_allow"),
    ]
    assert (mcp["type"], mcp["mcp_server_name"]) == ("mcp_toolset", "mail")
    assert custom["input_schema"]["required"] == ["letter"]
    assert rich["mcp_servers"] == [{"type": "url", "name": "mail", "url": "https://mail.example.com/mcp"}]
    assert rich["skills"] == [{"type": "anthropic", "skill_id": "xlsx", "version": "latest"}]
    assert rich["multiagent"]["agents"] == [
        {"type": "agent", "id": seen["plain"]["id"], "version": 1},
        {"type": "agent", "id": rich["id"], "version": 1},
    ]
    assert seen["plain"]["tools"] == []
    assert seen["plain"]["multiagent"] is None


def test_an_agent_changes_by_versions(story: Story) -> None:
    seen = story.seen["agents"]
    updated = seen["updated"]
    assert updated["version"] == 2
    assert updated["description"] is None
    assert updated["metadata"] == {"lamp": "on"}
    assert updated["tools"] == seen["rich"]["tools"]
    assert seen["unchanged"] == updated, "nothing changed, so there is no new version"
    assert seen["retrieved"] == updated
    assert seen["retrieved 1"] == seen["rich"]
    assert seen["versions"] == [2, 1]
    not_found(seen["retrieved 9"], "Agent version not found.")


def test_a_lost_race_for_a_version_is_one_request_and_a_conflict(story: Story) -> None:
    refused(story.seen["agents"]["stale"], "ConflictError", 409, "invalid_request_error", "Concurrent modification")


def test_agents_are_archived_and_listed(story: Story) -> None:
    seen = story.seen["agents"]
    spare, rich, plain = (seen[name]["id"] for name in ("spare", "rich", "plain"))
    assert seen["archived"]["archived_at"] is not None
    assert seen["listed live"][:2] == [rich, plain]
    assert spare not in seen["listed live"]
    assert seen["listed all"][:3] == [spare, rich, plain]
    bad_request(seen["update of an archived one"], "Cannot modify archived agent")
    bad_request(seen["no model"], "model: minimum string length is 1")


def test_the_newest_shapes_of_agents_work(story: Story) -> None:
    newest = story.seen["agents"]["newest"]
    if story.version != "2.12.0":
        assert newest is None
        return
    made = newest["made"]
    assert made["execution_identity"] == {
        "type": "aws_role", "role_arn": "arn:aws:iam::123456789012:role/clerk",
    }  # fmt: skip
    assert (made["model"]["effort"], made["model"]["inference_geo"]) == ({"type": "max"}, "us")
    assert made["multiagent"]["advisor"] == {"type": "enabled", "model": "claude-opus-5-5"}
    assert made["multiagent"]["workflows"] == {"type": "disabled"}
    bash, search, fetch = made["tools"][0]["configs"]
    assert bash["permission_policy"] == {"type": "auto"}
    assert search["user_location"]["city"] == "Ghent"
    assert fetch["max_content_tokens"] == 1000
    assert newest["advised"]["multiagent"]["agents"][-1] == {"type": "advisor", "model": "claude-opus-5-5"}
    assert newest["sessions"][0]["agent"]["multiagent"]["type"] == "multiagent_20261001"
    assert [thread["parent_thread_id"] for thread in newest["threads"]] == [None]


# Deployments


def test_a_deployment_shows_what_was_sent_but_for_secrets(story: Story) -> None:
    seen = story.seen["deployments"]
    rich = seen["rich"]
    assert rich["agent"] == {"type": "agent", "id": story.seen["agents"]["rich"]["id"], "version": 1}
    assert rich["environment_id"] == story.seen["environments"]["limited"]["id"]
    assert [event["type"] for event in rich["initial_events"]] == [
        "user.define_outcome",
        "user.message",
        "system.message",
    ]
    assert rich["resources"] == [
        {
            "type": "github_repository",
            "url": "https://github.com/example/office",
            "checkout": {"type": "branch", "name": "main"},
        }
    ]
    assert rich["budget"] == {"type": "limit", "max_list_cost": {"amount": "250", "currency": "USD"}}
    assert (rich["status"], rich["paused_reason"], rich["archived_at"]) == ("active", None, None)
    assert rich["created_at"] == rich["updated_at"]
    schedule = rich["schedule"]
    assert (schedule["expression"], schedule["timezone"]) == ("30 2 * * *", "America/New_York")
    assert schedule["last_run_at"] is None
    assert len(schedule["upcoming_runs_at"]) == 5
    assert schedule["upcoming_runs_at"] == sorted(schedule["upcoming_runs_at"])
    assert {instant[13:] for instant in schedule["upcoming_runs_at"]} == {":30:00Z"}
    assert seen["retrieved"] == rich
    plain = seen["plain"]
    assert (plain["description"], plain["schedule"], plain["resources"], plain["vault_ids"], plain["metadata"]) == (
        None, None, [], [], {},
    )  # fmt: skip
    assert plain["agent"]["version"] == 2, "a bare id is the latest version"


def test_a_deployment_is_updated_in_part(story: Story) -> None:
    seen = story.seen["deployments"]
    rich, updated = seen["rich"], seen["updated"]
    assert updated["name"] == f"{story.style} weekly"
    assert updated["description"] is None
    assert updated["agent"]["version"] == 2
    assert updated["metadata"] == {"day": "monday"}
    assert updated["schedule"]["expression"] == "0 9 * * 1"
    assert updated["updated_at"] > rich["updated_at"]
    for key in ("id", "initial_events", "resources", "budget", "environment_id", "created_at"):
        assert updated[key] == rich[key]


def test_a_deployment_pauses_runs_all_the_same_and_ends_archived(story: Story) -> None:
    seen = story.seen["deployments"]
    assert (seen["paused"]["status"], seen["paused"]["paused_reason"]) == ("paused", {"type": "manual"})
    assert seen["run while paused"]["session_id"] is not None
    assert seen["still paused"] == seen["paused"]
    assert (seen["unpaused"]["status"], seen["unpaused"]["paused_reason"]) == ("active", None)
    archived = seen["archived"]
    assert archived["archived_at"] is not None
    assert (archived["status"], archived["schedule"]["upcoming_runs_at"]) == ("active", [])
    assert seen["archived again"] == archived
    bad_request(seen["run of an archived one"], "Cannot modify archived deployment")


def test_deployments_are_filtered(story: Story) -> None:
    seen = story.seen["deployments"]
    rich, plain = seen["rich"]["id"], seen["plain"]["id"]
    assert seen["listed paused"] == [rich]
    assert seen["listed active"] == [plain]
    assert seen["listed live"] == [plain]
    assert seen["listed all"] == [plain, rich]
    assert seen["listed from its birth on"] == [plain]
    bad_request(seen["status with include_archived"], "include_archived: cannot be set together with status")


def test_deployments_refuse_what_they_must(story: Story) -> None:
    seen = story.seen["deployments"]
    bad_request(seen["both days"], "cannot restrict both day-of-month and day-of-week")
    bad_request(seen["unknown field"], "colour: Extra inputs are not permitted")
    not_found(seen["unknown agent"], "Referenced agent not found or not accessible.")
    not_found(seen["unknown environment"], "Referenced environment not found or not accessible.")
    not_found(seen["unknown deployment"], "not found")


# Runs


def test_a_run_now_is_a_durable_record_with_its_session(story: Story) -> None:
    seen = story.seen["deployments"]
    for run in seen["runs"]:
        assert set(run) == RUN_KEYS
        assert run["type"] == "deployment_run"
        assert run["deployment_id"] == seen["plain"]["id"]
        assert run["trigger_context"] == {"type": "manual"}
        assert run["agent"] == seen["plain"]["agent"]
        assert run["error"] is None
    assert len({run["session_id"] for run in seen["runs"]}) == 6
    assert seen["retrieved run"] == seen["runs"][2]


def test_runs_are_listed_newest_first_over_several_pages(story: Story) -> None:
    seen = story.seen["deployments"]
    ids = [run["id"] for run in reversed(seen["runs"])]
    assert seen["listed runs"] == list(reversed(seen["runs"]))
    pages = [
        request
        for request in story.requests
        if request["path"] == "/v1/deployment_runs" and f"deployment_id={seen['plain']['id']}" in request["query"]
    ]
    assert sum("limit=2" in page["query"] for page in pages) >= 3
    assert seen["listed runs, manual"] == seen["listed runs, good"] == ids
    assert seen["listed runs, scheduled"] == seen["listed runs, failed"] == []
    assert seen["listed runs, from the fourth on"] == ids[:3]
    assert seen["listed runs, before the fourth"] == ids[3:]
    assert seen["runs of an unknown deployment"] == []
    bad_request(seen["bad cursor"], "invalid page cursor")
    not_found(seen["unknown run"], "not found")


def test_an_idempotency_key_gives_the_first_run_again(story: Story) -> None:
    first, second = story.seen["deployments"]["repeated run"]
    assert first == second


def test_a_run_that_cannot_make_a_session_is_recorded_with_its_typed_error(story: Story) -> None:
    seen = story.seen["failures"]
    assert seen["before"]["error"] is None
    for name, kind, words in [
        ("archived environment", "environment_archived_error", "is archived"),
        ("deleted environment", "environment_not_found_error", "not found"),
        ("repository on a self-hosted environment", "self_hosted_resources_unsupported_error", "`github_repository`"),
        ("blocked MCP host", "mcp_egress_blocked_error", "mail.example.com"),
        ("missing file", "file_not_found_error", "file_01AAAAAAAAAAAAAAAAAAAAAA"),
        ("two mounts in one place", "session_creation_rejected_error", "overlaps another resource"),
        ("missing memory store", "session_resource_not_found_error", "not found"),
        ("archived roster member", "agent_archived_error", "is archived"),
    ]:
        run = seen[name]
        assert set(run) == RUN_KEYS
        assert run["session_id"] is None
        assert run["error"]["type"] == kind
        assert words in run["error"]["message"]
    assert seen["listed failed"] == [seen["archived environment"]]
    assert seen["deployment afterwards"]["status"] == "active", "a manual run never pauses"


def test_archiving_an_agent_archives_its_deployments_at_the_same_instant(story: Story) -> None:
    seen = story.seen["failures"]
    assert seen["archived agent"]["archived_at"] is not None
    assert seen["deployment of an archived agent"]["archived_at"] == seen["archived agent"]["archived_at"]
    bad_request(seen["run of it"], "Cannot modify archived deployment")


# Sessions


def test_the_session_of_a_run_is_the_deployments(story: Story) -> None:
    seen, deployments = story.seen["sessions"], story.seen["deployments"]
    session = seen["of a run"]
    assert session["id"] == deployments["runs"][0]["session_id"]
    assert session["deployment_id"] == deployments["plain"]["id"]
    assert session["title"] == deployments["plain"]["name"]
    assert session["metadata"] == {}
    assert session["status"] == "running"
    assert (session["agent"]["id"], session["agent"]["version"]) == (deployments["plain"]["agent"]["id"], 2)
    [event] = seen["events of a run"]
    assert (event["type"], event["content"]) == ("user.message", [{"type": "text", "text": "Hello."}])
    ids = [run["session_id"] for run in deployments["runs"]]
    assert seen["listed of a deployment"] == list(reversed(ids))
    assert seen["listed of a deployment, oldest first"] == ids


def test_a_session_is_made_with_all_it_may_have(story: Story) -> None:
    seen = story.seen["sessions"]
    rich, plain = seen["rich"], seen["plain"]
    assert (rich["title"], rich["metadata"], rich["status"]) == ("A letter", {"to": "you"}, "running")
    assert rich["agent"]["version"] == 1
    assert rich["agent"]["description"] == "Writes letters."
    assert [agent["name"] for agent in rich["agent"]["multiagent"]["agents"]] == [
        f"{story.style} helper",
        f"{story.style} clerk",
    ]
    assert rich["budget"]["max_list_cost"]["amount"] == "250"
    [resource] = rich["resources"]
    assert (resource["mount_path"], resource["checkout"]) == ("/workspace/office", {"type": "branch", "name": "main"})
    assert "authorization_token" not in resource
    assert seen["resources"] == rich["resources"]
    assert (plain["status"], plain["title"], plain["budget"], plain["deployment_id"]) == ("idle", None, None, None)
    assert plain["usage"]["list_cost"] == {"amount": "0", "currency": "USD"}
    overridden = seen["overridden"]["agent"]
    assert (overridden["system"], overridden["skills"], len(overridden["tools"])) == (None, [], 1)


def test_a_session_is_changed_and_its_log_says_so(story: Story) -> None:
    seen = story.seen["sessions"]
    updated = seen["updated"]
    assert (updated["title"], updated["metadata"]) == ("Another letter", {"to": "them"})
    assert [tool["type"] for tool in updated["agent"]["tools"]] == ["agent_toolset_20260401", "custom"]
    assert {**seen["retrieved"], "stats": updated["stats"]} == updated
    change, interrupt = seen["events of the updated one"]
    assert (change["type"], change["title"], change["metadata"]) == (
        "session.updated", "Another letter", {"to": "them"},
    )  # fmt: skip
    assert interrupt["type"] == "user.interrupt"
    assert [interrupt] == seen["interrupted"]["data"]


def test_events_are_kept_in_order(story: Story) -> None:
    seen = story.seen["sessions"]
    events = seen["events"]
    assert [event["type"] for event in events] == [
        "user.message",
        "user.define_outcome",
        "user.message",
        "system.message",
    ]
    assert events[1]["max_iterations"] == 3
    assert events[1]["outcome_id"].startswith("outc_")
    assert events[2:] == seen["sent"]["data"]
    assert [block["type"] for block in events[2]["content"]] == ["text", "image", "image", "document"]
    ids = [event["id"] for event in events]
    assert seen["events, newest first"] == list(reversed(ids))
    assert seen["user messages"] == ["user.message", "user.message"]
    assert seen["thread events"] == ids


def test_a_session_has_its_primary_thread(story: Story) -> None:
    seen = story.seen["sessions"]
    [thread] = seen["threads"]
    assert thread == seen["thread"]
    assert thread["session_id"] == seen["rich"]["id"]
    assert thread["parent_thread_id"] is None
    assert thread["agent"]["name"] == f"{story.style} clerk"
    assert thread["status"] == "running"


def test_sessions_end_when_they_do_not_run(story: Story) -> None:
    seen = story.seen["sessions"]
    assert seen["listed running"] == [seen["rich"]["id"]]
    bad_request(seen["archive of a running one"], 'cannot be archived while its status is "running"')
    bad_request(seen["delete of a running one"], "Cannot delete session while it is running")
    assert seen["archived"]["status"] == "terminated"
    assert seen["archived"]["archived_at"] is not None
    bad_request(seen["events to an archived one"], "Cannot send events to archived session")
    assert seen["deleted"] == {"id": seen["plain"]["id"], "type": "session_deleted"}
    not_found(seen["retrieved deleted"], "not found")


def test_sessions_refuse_what_they_must(story: Story) -> None:
    seen = story.seen["sessions"]
    not_found(seen["unknown agent"], "not found")
    bad_request(seen["unknown event"], '"user.dance" is not a valid value')


# The organization, and who may come in


def test_a_key_sees_its_organization_and_an_admin_key_changes_it(story: Story) -> None:
    seen = story.seen["organization"]
    if story.version == "0.121.0":
        assert seen == {}
        return
    assert seen["me"]["type"] == "organization"
    assert seen["beta retrieve"] == seen["me"]
    assert seen["workspace"] == seen["workspaces"][0]
    assert seen["key"] == seen["keys"][0]
    assert seen["key"]["scope"] == {"type": "workspace", "workspace_id": seen["workspace"]["id"]}
    assert seen["rate limits"] == seen["rate limits of a workspace"] == []
    refused(seen["forbidden"], "PermissionDeniedError", 403, "permission_error", "admin key")
    made, renamed = seen["made"], seen["renamed"]
    assert (made["name"], made["display_color"], made["tags"]) == (
        f"{story.style} branch",
        "#00AA11",
        {"city": "Ghent"},
    )
    assert renamed == {**made, "name": f"{story.style} twig", "tags": {}}
    assert seen["archived"]["archived_at"] is not None
    assert made["id"] not in seen["listed"]
    assert seen["listed all"][0] == made["id"]
    assert seen["renamed key"]["name"] == f"{story.style} name"
    refused(seen["forbidden to an admin"], "PermissionDeniedError", 403, "permission_error", "admin key")


def test_a_key_that_nobody_knows_opens_nothing(story: Story) -> None:
    refused(story.seen["wrong key"], "AuthenticationError", 401, "authentication_error", "nvalid")
