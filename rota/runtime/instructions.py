"""What a model is told about the place where its tools run. Pure: from a session to a text.

Only sessions whose tools run on this server have such a place; the others hear of theirs from their own workers.
"""

from collections.abc import Sequence
from xml.sax.saxutils import escape

from rota.resources.environments.wire import Cloud, Limited
from rota.resources.sessions.mounts import UPLOADS, FileResource, MemoryStoreResource, RepositoryResource
from rota.resources.sessions.turns import TurnSession
from rota.runtime.skills import FOLDER

WORKSPACE = "/workspace"
OUTPUTS = "/mnt/session/outputs"
_MOST_HOSTS = 50


def instructions(session: TurnSession) -> str:
    """The part of the system prompt; empty for a session whose tools run elsewhere."""
    if session.self_hosted or not isinstance(session.environment, Cloud):
        return ""
    parts = [
        f"Your tools run in a Linux sandbox that belongs to this session alone. Commands start in {WORKSPACE}; what you keep there "
        "stays for the whole session, while shell state, background processes and anything in /tmp or the home folder may be gone "
        "when the session goes on after a pause.",
        f"Deliver results by writing them to {OUTPUTS}: every file below it is handed to the user, under its path there, once your "
        "turn ends. Files elsewhere stay private to the sandbox.",
    ]
    if any(isinstance(each, FileResource) for each in session.body.resources):
        parts.append(f"The user has supplied files. They are below {UPLOADS}, which cannot be written to.")
    parts.append(_networking(session))
    parts += _packages(session.environment)
    parts += _missing(session)
    if session.body.skills:
        parts.append(_skills(session))
    return "\n\n".join(parts)


def _networking(session: TurnSession) -> str:
    """Where commands may connect: what was so when the session was made."""
    networking = session.body.networking
    if networking is None:
        assert isinstance(session.environment, Cloud)
        networking = session.environment.networking
    if not isinstance(networking, Limited):
        return "Commands can reach public hosts on the internet, over HTTP and HTTPS through a proxy that is set up already."
    hosts = networking.allowed_hosts
    named = ", ".join(hosts[:_MOST_HOSTS]) + (
        f" and {len(hosts) - _MOST_HOSTS} more" if len(hosts) > _MOST_HOSTS else ""
    )
    more = "the registries of package managers" if networking.allow_package_managers else ""
    reach = " and ".join(part for part in (named, more) if part)
    if not reach:
        return "Commands cannot connect to anything outside of the sandbox."
    return f"Commands can connect to these hosts and to no others, over HTTPS through a proxy that is set up already: {reach}."


def _packages(environment: Cloud) -> list[str]:
    given = environment.packages
    named = [f"{name}: {', '.join(each)}" for name, each in (("Python", given.pip), ("Node.js", given.npm)) if each]
    return [f"Already installed besides the system's own packages: {'; '.join(named)}."] if named else []


def _missing(session: TurnSession) -> list[str]:
    """What the session was given and this server does not put into sandboxes: better told than searched for."""
    resources = session.body.resources
    missing = [f"the repository {each.url}" for each in resources if isinstance(each, RepositoryResource)]
    missing += [f"the memory store {each.name!r}" for each in resources if isinstance(each, MemoryStoreResource)]
    prebuilt = [each.skill_id for each in session.agent.skills if each.type == "anthropic"]
    missing += [f"the prebuilt skill {name!r}" for name in prebuilt]
    if not missing:
        return []
    return [
        f"Not available in this sandbox, although the session names them: {_list(missing)}. Say so if they are needed."
    ]


def _list(names: Sequence[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"


def _skills(session: TurnSession) -> str:
    """The catalogue. Descriptions are the users' own words, and so cannot be let speak in ours."""
    entries = "".join(
        f"<skill><name>{escape(each.name)}</name><description>{escape(each.description)}</description>"
        f"<location>{WORKSPACE}/{FOLDER}/{escape(each.name)}/SKILL.md</location></skill>\n"
        for each in session.body.skills
    )
    return (
        "Skills are folders of instructions for particular kinds of work. When a task matches a description below, read the skill's "
        f"SKILL.md before you begin, and follow it.\n<available_skills>\n{entries}</available_skills>"
    )
