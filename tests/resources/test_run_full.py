"""A run costs no more statements however much its deployment names: one query a kind of thing, one insert a table."""

from typing import Any

from tests.api import Api
from tests.resources.scenes import READING, Scene
from tests.security.world import traced

Json = dict[str, Any]


def fill(scene: Scene, vaults: int, files: int, stores: int, skills: int) -> None:
    """Let a scene's deployment name so many of everything."""
    scene.vaults = [scene.new("vaults", display_name="Vault") for _ in range(vaults)]
    uploaded = scene.file("part.csv")
    named = [scene.new("memory_stores", name=f"Notes {number}") for number in range(stores)]
    scene.skills = [scene.skill(f"skill-{number}") for number in range(skills)]
    agent = {
        "name": "Reader",
        "model": "claude-opus-5-5",
        "tools": [READING],
        "skills": [{"type": "custom", "skill_id": skill_id} for skill_id in scene.skills],
    }
    scene.head = scene.new("agents", **agent)
    resources = [
        *({"type": "memory_store", "memory_store_id": store_id} for store_id in named),
        *({"type": "file", "file_id": uploaded, "mount_path": f"/part/{number}"} for number in range(files)),
    ]
    scene.change(agent=scene.head, vault_ids=scene.vaults, resources=resources)


def statements(scene: Scene) -> list[str]:
    """What a run executes, once everything that can be remembered is."""
    assert scene.fire()["error"] is None
    with traced() as seen:
        run = scene.fire()
    assert run["error"] is None
    return seen


def test_the_number_of_statements_does_not_grow(api: Api) -> None:
    scene = Scene(api)
    fill(scene, 1, 1, 1, 1)
    few = statements(scene)
    fill(scene, 50, 492, 8, 20)
    assert statements(scene) == few
    session = scene.call("GET", "/v1/sessions").ok()["data"][0]
    assert (len(session["vault_ids"]), len(session["resources"]), len(session["agent"]["skills"])) == (50, 500, 20)
    copies = scene.call("GET", "/v1/files", query={"scope_id": session["id"], "limit": 1000}).ok()["data"]
    assert len(copies) == 492
