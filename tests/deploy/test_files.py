"""What deploy/ says is what Kubernetes, Compose and rota understand, and no duty or variable in it is misspelt."""

import re
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml
from compose_spec import PyCompose

from rota.base.settings import ROLES, SECRETS, Settings, describe, load

FOLDER = Path(__file__).parents[2] / "deploy"
FILES = sorted(path for path in FOLDER.iterdir() if path.is_file())
THINGS: list[dict[str, Any]] = list(yaml.safe_load_all((FOLDER / "kubernetes.yaml").read_text()))
SECRET = {
    "ROTA_DATABASE": "postgresql://rota@db/rota",
    "ROTA_SEAL_KEY": "k",
    "ROTA_BOOTSTRAP_API_KEY": "0123456789abcdef",
}
COMPOSE: dict[str, Any] = yaml.safe_load((FOLDER / "compose.yaml").read_text())
RECIPE = (FOLDER / "Containerfile").read_text()


def named(thing: dict[str, Any]) -> str:
    return f"{thing['kind']} {thing['metadata']['name']}"


def of_kind(kind: str) -> list[dict[str, Any]]:
    return [thing for thing in THINGS if thing["kind"] == kind]


def settings(arguments: list[str], variables: dict[str, str]) -> Settings:
    """The settings that a container's command line and environment come to."""
    command, *flags = arguments
    assert command == "serve"
    given = dict(zip(flags[::2], flags[1::2], strict=True))
    return load({flag.removeprefix("--").replace("-", "_"): value for flag, value in given.items()}, variables)


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_every_variable_of_ours_is_a_setting(path: Path) -> None:
    known = {setting.variable for setting in describe()}
    assert set(re.findall(r"\bROTA_[A-Z0-9_]+", path.read_text())) <= known


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_images_are_named_without_a_registry(path: Path) -> None:
    images = re.findall(r"^\s*(?:image:|FROM) (\S+)", path.read_text(), re.MULTILINE)
    assert all(re.fullmatch(r"(python|postgres|rota):[\w.-]+", image) for image in images), images


# Kubernetes


@pytest.mark.parametrize("thing", THINGS, ids=named)
@pytest.mark.parametrize("version", ["1.30", "1.37"])
def test_the_manifest_fits_the_schemas_of_kubernetes(thing: dict[str, Any], version: str) -> None:
    kubernetes_validate.validate(thing, version, strict=True)


def test_each_duty_is_a_deployment_that_an_update_never_thins_out() -> None:
    duties: list[str] = []
    for deployment in of_kind("Deployment"):
        spec = deployment["spec"]
        assert spec["replicas"] >= 2
        assert spec["strategy"]["rollingUpdate"]["maxUnavailable"] == 0
        assert spec["selector"]["matchLabels"] == spec["template"]["metadata"]["labels"]
        [container] = spec["template"]["spec"]["containers"]
        [plain] = of_kind("ConfigMap")
        made = settings(container["args"], plain["data"] | SECRET)
        duties += made.roles
        assert made.shutdown_seconds + 5 < spec["template"]["spec"]["terminationGracePeriodSeconds"]
        for probe, path in (("startupProbe", "/healthz"), ("livenessProbe", "/healthz"), ("readinessProbe", "/readyz")):
            assert container[probe]["httpGet"] == {"path": path, "port": "http"}
        assert {"name": "http", "containerPort": made.port} in container["ports"]
    assert sorted(duties) == sorted(ROLES)


def test_nothing_runs_as_root_or_writes_to_its_image() -> None:
    for thing in of_kind("Deployment") + of_kind("Job"):
        pod = thing["spec"]["template"]["spec"]
        assert pod["securityContext"]["runAsNonRoot"] is True
        [container] = pod["containers"]
        allowed = container["securityContext"]
        assert (allowed["readOnlyRootFilesystem"], allowed["allowPrivilegeEscalation"]) == (True, False)
        assert allowed["capabilities"] == {"drop": ["ALL"]}


def test_secrets_are_referred_to_and_never_spelt_out() -> None:
    [plain] = of_kind("ConfigMap")
    secret = {"ROTA_" + name.upper() for name in SECRETS} | {"ROTA_DATABASE"}
    assert not secret & set(plain["data"])
    for thing in of_kind("Deployment") + of_kind("Job"):
        [container] = thing["spec"]["template"]["spec"]["containers"]
        assert all(set(variable) == {"name", "valueFrom"} for variable in container["env"])


def test_each_deployment_has_a_budget_and_the_service_finds_the_api() -> None:
    labels = {
        each["metadata"]["name"]: each["spec"]["template"]["metadata"]["labels"] for each in of_kind("Deployment")
    }
    budgets = {
        each["metadata"]["name"]: each["spec"]["selector"]["matchLabels"] for each in of_kind("PodDisruptionBudget")
    }
    assert budgets == labels
    [service] = of_kind("Service")
    assert service["spec"]["selector"] == labels["rota-api"]


# Compose


def test_the_compose_file_fits_the_specification() -> None:
    read = PyCompose.from_yaml(yaml.safe_dump(COMPOSE))  # merged: this reader knows no `<<`
    assert sorted(read.service_names()) == ["api", "courier", "migrate", "postgres", "scheduler", "worker"]


def test_a_word_that_compose_does_not_know_would_be_noticed() -> None:
    wrong = COMPOSE | {"services": {"api": COMPOSE["services"]["api"] | {"stop_grace_time": "40s"}}}
    with pytest.raises(ValueError, match="stop_grace_time"):
        PyCompose.from_yaml(yaml.safe_dump(wrong))


def test_compose_has_each_duty_once_and_migrates_first() -> None:
    duties: list[str] = []
    for name, service in COMPOSE["services"].items():
        if name in ("postgres", "migrate"):
            continue
        made = settings(service["command"], service["environment"] | SECRET)
        duties += made.roles
        assert service["depends_on"] == {"migrate": {"condition": "service_completed_successfully"}}
        assert int(service["stop_grace_period"].removesuffix("s")) > made.shutdown_seconds
        assert {mount.split(":")[0] for mount in service["volumes"]} <= set(COMPOSE["volumes"])
    assert sorted(duties) == sorted(ROLES)


def test_secrets_of_compose_are_in_the_file_that_is_not_kept() -> None:
    example = dict(re.findall(r"^(\w+)=(.*)$", (FOLDER / "rota.env.example").read_text(), re.MULTILINE))
    assert {name for name, value in example.items() if not value} == {
        "POSTGRES_PASSWORD", "ROTA_SEAL_KEY", "ROTA_BOOTSTRAP_API_KEY",
    }  # fmt: skip
    for service in COMPOSE["services"].values():
        assert service["env_file"] == "rota.env"
        assert not set(service["environment"]) & set(example)
    assert "deploy/rota.env\n" in (FOLDER.parent / ".gitignore").read_text()


# The container


def test_the_image_is_made_in_two_stages_and_runs_as_nobody_in_particular() -> None:
    steps = [line for line in RECIPE.splitlines() if line and not line.startswith(("#", " "))]
    stages = [line for line in steps if line.startswith("FROM ")]
    assert len(stages) == 2
    last = steps[steps.index(stages[1]) :]
    assert not any("pip" in line for line in last)
    assert "USER 10001:10001" in last
    assert "/healthz" in RECIPE[RECIPE.index("HEALTHCHECK") :]


def test_what_the_image_copies_is_there_and_let_through() -> None:
    let_through = (FOLDER / "Containerfile.dockerignore").read_text().split()
    for line in re.findall(r"^COPY (?!--from)(.+) \S+$", RECIPE, re.MULTILINE):
        for name in line.split():
            assert (FOLDER.parent / name).exists(), name
            assert f"!{name}" in let_through, name
