"""What a SKILL.md must say, and what is said of one that does not."""

import pytest

from rota.base.errors import InvalidRequest
from rota.resources.skills.manifest import MAX_FRONT_MATTER, Manifest, read

NAME = "can only contain lowercase letters, numbers, and hyphens. Try "


def text(*lines: str) -> bytes:
    """A SKILL.md with these lines of front matter."""
    return "\n".join(["---", *lines, "---", "", "# Instructions", ""]).encode()


@pytest.mark.parametrize(
    ("head", "description"),
    [
        (text("name: my-skill", "description: Does things."), "Does things."),
        (text("description: 'Does: things'", 'name: "my-skill"'), "Does: things"),
        (text("name: my-skill", "description: >", "  Does", "  things."), "Does things."),
        (text("name: my-skill", "description: |", "  Does", "  things."), "Does\nthings."),
        (text("name: my-skill", "description: Does", "  things."), "Does things."),
        (text("name: my-skill # a comment", "description: Does things."), "Does things."),
        (text("name: my-skill", "description: 2026"), "2026"),
        (text("name: my-skill", "description: yes"), "yes"),
        (text("name: my-skill", "description: Less < more -> 3 > 2"), "Less < more -> 3 > 2"),
        (text("name: my-skill", "description: " + "ü" * 1024), "ü" * 1024),
        (text("name: my-skill", "description: x", "license: MIT", "metadata:", "  a: [1, {b: c}]", "version: 1.0"), "x"),
        (text("description: The folder gives the name."), "The folder gives the name."),
        (text("name:", "description: An empty name is none."), "An empty name is none."),
        (b"\xef\xbb\xbf" + text("name: my-skill", "description: x"), "x"),
        (text("name: my-skill", "description: x").replace(b"\n", b"\r\n"), "x"),
        (b"---\nname: my-skill\ndescription: x\n---", "x"),
        (text("name: my-skill", "description: x") + b"x" * MAX_FRONT_MATTER + b"\xff\xfe", "x"),
        (text("name: my-skill", "description: x", "more: " + "ü" * 4000), "x"),
    ],
    ids=range(18),
)  # fmt: skip
def test_front_matter_is_read(head: bytes, description: str) -> None:
    assert read(head, "my-skill") == Manifest("my-skill", description)


@pytest.mark.parametrize(
    ("head", "said"),
    [
        (b"", "SKILL.md must start with YAML frontmatter (---)"),
        (b"# My skill\n", "SKILL.md must start with YAML frontmatter (---)"),
        (b"\n---\nname: my-skill\n---\n", "SKILL.md must start with YAML frontmatter (---)"),
        (b"---name: my-skill\n---\n", "SKILL.md must start with YAML frontmatter (---)"),
        (b"---\nname: my-skill\ndescription: x\n", "must end with a line --- within its first 8 KB"),
        (text("a: " + "b" * MAX_FRONT_MATTER), "must end with a line --- within its first 8 KB"),
        (b"---\nname: \xff\n---\n", "SKILL.md must be UTF-8 text"),
        (text("name: my-skill", "description: a: b"), "is not valid YAML (line 3)"),
        (text("name: [my-skill"), "is not valid YAML"),
        (text("name: my-skill", "\tdescription: x"), "is not valid YAML"),
        (text("name: *unknown"), "is not valid YAML"),
        (text("[" * 3000), "is not valid YAML"),
        (text("- name: my-skill"), "must be a list of keys and values"),
        (text("my-skill"), "must be a list of keys and values"),
        (text(), "must be a list of keys and values"),
        (text("[a]: b"), "must be plain words"),
        (text("name: my-skill", "name: other", "description: x"), 'has the key "name" twice'),
        (text("name: my-skill", "description: x", "extra: 1", "extra: 2"), 'has the key "extra" twice'),
        (text("name: [my-skill]", "description: x"), "field 'name' in SKILL.md must be text"),
        (text("name: my-skill", "description: {a: b}"), "field 'description' in SKILL.md must be text"),
        (text("name: my-skill", "description: !!python/object/new:os.system [id]"), "field 'description' in SKILL.md must be text"),
        (text("name: my-skill", 'description: !!python/name:os.system ""'), "field 'description' in SKILL.md must be text"),
        (text("name: my-skill", "description: !local x"), "field 'description' in SKILL.md must be text"),
        (text("name: my-skill"), "field 'description' in SKILL.md is required"),
        (text("name: my-skill", "description:"), "field 'description' in SKILL.md is required"),
        (text("name: my-skill", "description: ~"), "field 'description' in SKILL.md is required"),
        (text("name: my-skill", "description: '  '"), "field 'description' in SKILL.md is required"),
        (text("name: my-skill", "description: " + "x" * 1025), "field 'description' in SKILL.md must be at most 1024 characters"),
        (text("name: my-skill", "description: Use <case_id> here"), "SKILL.md description cannot contain XML tags"),
        (text("name: my-skill", "description: </system>"), "SKILL.md description cannot contain XML tags"),
        (text("name: my-skill", 'description: "a\\0b"'), "SKILL.md description cannot contain control characters"),
        (text("name: my-skill", 'description: "a\\ud800b"'), "SKILL.md description cannot contain control characters"),
        (text("name: My Skill", "description: x"), f"Skill name in SKILL.md {NAME}'my-skill'."),
        (text("name: my_skill", "description: x"), f"Skill name in SKILL.md {NAME}'my-skill'."),
        (text("name: größe", "description: x"), f"Skill name in SKILL.md {NAME}'gr-e'."),
        (text("name: <b>", "description: x"), f"Skill name in SKILL.md {NAME}'b'."),
        (text("name: '%'", "description: x"), f"Skill name in SKILL.md {NAME}'my-skill'."),
        (text('name: "my-skill\\n"', "description: x"), f"Skill name in SKILL.md {NAME}'my-skill'."),
        (text("name: " + "a" * 65, "description: x"), "field 'name' in SKILL.md must be at most 64 characters"),
        (text("name: claude-helper", "description: x"), "Skill name in SKILL.md cannot contain the reserved word 'claude'."),
        (text("name: my-anthropic", "description: x"), "Skill name in SKILL.md cannot contain the reserved word 'anthropic'."),
        (text("name: other", "description: x"), "The folder name 'my-skill' must match the skill name 'other' in SKILL.md."),
    ],
    ids=range(42),
)  # fmt: skip
def test_front_matter_is_refused(head: bytes, said: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        read(head, "my-skill")
    assert said in caught.value.message


@pytest.mark.parametrize("folder", ["my-skill", "My-Skill", "my_skill", "MY_SKILL"])
def test_a_folder_may_have_capitals_and_underscores(folder: str) -> None:
    assert read(text("name: my-skill", "description: x"), folder).name == "my-skill"
    assert read(text("description: x"), folder).name == "my-skill"


def test_an_alias_is_never_unrolled() -> None:
    laughs = [f"l{n}: &l{n} [{', '.join([f'*l{n - 1}'] * 9) if n else 'ha'}]" for n in range(40)]
    assert read(text(*laughs, "description: x"), "my-skill").description == "x"
