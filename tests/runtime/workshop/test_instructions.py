"""What a model is told about the place where its tools run."""

from typing import Any

import pytest

from rota.resources.sessions.turns import TurnSession
from rota.runtime.instructions import instructions
from rota.runtime.sandboxes.unsafe_local import UnsafeLocal
from tests.api import Api
from tests.files import upload
from tests.runtime.workshop.scene import Scene


@pytest.fixture
def scene(sqlite_api: Api) -> Scene:
    return Scene(sqlite_api, UnsafeLocal())


def cloud(**networking: Any) -> dict[str, Any]:
    return {"type": "cloud", "networking": networking}


def test_a_plain_session_hears_of_its_folders_and_its_network(scene: Scene) -> None:
    text = instructions(scene.session())
    assert "/workspace" in text
    assert "/mnt/session/outputs" in text
    assert "/mnt/session/uploads" not in text
    assert "any public" not in text
    assert "can reach public hosts" in text
    assert "skill" not in text


def test_uploads_are_pointed_to_and_not_listed(scene: Scene) -> None:
    file = upload(scene.api, b"x")
    text = instructions(
        scene.session(resources=[{"type": "file", "file_id": file["id"], "mount_path": "/secret-name"}])
    )
    assert "/mnt/session/uploads" in text
    assert "secret-name" not in text


@pytest.mark.parametrize(
    ("networking", "said"),
    [
        ({"type": "limited"}, "cannot connect to anything"),
        ({"type": "limited", "allowed_hosts": ["a.example", "*.b.example"]}, ": a.example, *.b.example."),
        ({"type": "limited", "allow_package_managers": True}, ": the registries of package managers."),
        (
            {"type": "limited", "allowed_hosts": ["a.example"], "allow_package_managers": True},
            ": a.example and the registries of package managers.",
        ),
        ({"type": "limited", "allowed_hosts": [f"h{n}.example" for n in range(60)]}, "h49.example and 10 more."),
    ],
)
def test_limited_networking_is_told(scene: Scene, networking: dict[str, Any], said: str) -> None:
    assert said in instructions(scene.session(environment=cloud(**networking)))


def test_what_is_missing_is_told(scene: Scene) -> None:
    store = scene.api.memory_store(name="Notes")
    session = scene.session(
        agent={"skills": [{"type": "anthropic", "skill_id": "pdf"}]},
        resources=[
            {"type": "memory_store", "memory_store_id": store["id"]},
            {"type": "github_repository", "url": "https://github.com/o/r", "authorization_token": "t"},
        ],
    )
    text = instructions(session)
    assert "the repository https://github.com/o/r, the memory store 'Notes' and the prebuilt skill 'pdf'" in text


def test_a_description_cannot_pretend_to_be_something_else(scene: Scene) -> None:
    from tests.resources.skills import upload as upload_skill
    from tests.resources.zips import manifest

    described = manifest("my-skill").replace(b"description: ", b"description: a < b & c > d ")
    made = upload_skill(scene.api, ("my-skill/SKILL.md", described)).ok()
    text = instructions(scene.session(agent={"skills": [{"type": "custom", "skill_id": made["id"]}]}))
    assert "a &lt; b &amp; c &gt; d" in text


def test_a_session_whose_tools_run_elsewhere_hears_nothing(scene: Scene) -> None:
    session: TurnSession = scene.session(environment={"type": "self_hosted"})
    assert instructions(session) == ""
    assert session.body.networking is None
