"""A session's skills: the versions of the day it was made, in its workspace, for reading."""

from tests.resources.skills import skill, version
from tests.runtime.workshop.scene import Scene

PATH = "/workspace/skills/my-skill"


def test_skills_are_unpacked_where_the_model_is_told(scene: Scene) -> None:
    made = skill(scene.api, "my-skill", ("my-skill/docs/more.md", b"more"))
    session = scene.session(agent={"skills": [{"type": "custom", "skill_id": made["id"]}]})
    text = scene.workshop.instructions(session)
    assert f"<location>{PATH}/SKILL.md</location>" in text
    assert "<name>my-skill</name>" in text
    assert scene.bash(session, f"head -1 {PATH}/SKILL.md; cat {PATH}/docs/more.md") == "---\nmore"
    assert scene.call(session, "bash", command=f"echo changed > {PATH}/SKILL.md").is_error
    assert scene.call(session, "edit", file_path=f"{PATH}/SKILL.md", old_string="---", new_string="x").is_error


def test_latest_is_what_it_was_when_the_session_was_made(scene: Scene) -> None:
    made = skill(scene.api)
    agent = {"skills": [{"type": "custom", "skill_id": made["id"]}]}
    old = scene.session(agent=agent)
    version(scene.api, made, b"news")
    new = scene.session(agent=agent)
    assert scene.bash(new, f"cat {PATH}/notes.md") == "news"
    assert scene.call(old, "bash", command=f"cat {PATH}/notes.md").is_error
    assert scene.bash(old, f"ls {PATH}") == "SKILL.md"


def test_a_version_that_was_deleted_since_is_told(sqlite_scene: Scene) -> None:
    scene = sqlite_scene
    made = skill(scene.api)
    session = scene.session(agent={"skills": [{"type": "custom", "skill_id": made["id"]}]})
    scene.api.delete(f"/v1/skills/{made['id']}").ok()
    outcome = scene.call(session, "bash", command="echo done")
    assert [block["text"] for block in outcome.content] == [
        "done",
        "The skill my-skill is not there: this version of it has been deleted.",
    ]


def test_whatever_is_in_the_way_of_a_skill_steps_aside(sqlite_scene: Scene) -> None:
    scene = sqlite_scene
    made = skill(scene.api)
    session = scene.session(agent={"skills": [{"type": "custom", "skill_id": made["id"]}]})
    for way in (
        "echo mine > skills",
        "ln -s /tmp skills",
        "mkdir skills; ln -s /tmp skills/my-skill",
        "mkdir skills; echo x > skills/my-skill",
    ):
        plain = scene.session()
        scene.bash(plain, way)
        scene.end_turn(plain)
        workspace = scene.stock.folders.place(plain.id).workspace
        scene.stock.folders.make_room(scene.stock.folders.place(plain.id), "skills", ["my-skill"])
        assert not (workspace / "skills" / "my-skill").is_symlink()
        assert not (workspace / "skills").is_symlink()
    assert scene.bash(session, f"test -f {PATH}/SKILL.md && echo there") == "there"
