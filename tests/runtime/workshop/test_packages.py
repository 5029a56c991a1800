"""Packages of environments, from a registry on loopback, through the sandbox's own proxy."""

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from rota.base.clock import DAY, SECOND, HandClock
from rota.base.errors import Unusable
from rota.base.settings import Settings
from rota.outgoing import guard
from rota.runtime.reach import registries
from rota.runtime.sandbox import SandboxFailure
from rota.runtime.sandboxes import ground
from rota.runtime.sandboxes.bubblewrap import Bubblewrap
from tests.api import Api
from tests.runtime.workshop.registry import HOST, Registry, registry
from tests.runtime.workshop.scene import Scene


class Shop:
    """A scene whose boxes reach the registry."""

    def __init__(self, scene: Scene, registry: Registry, clock: HandClock) -> None:
        self.scene = scene
        self.registry = registry
        self.clock = clock

    def session(self, **packages: list[str]) -> Any:
        """A session in an environment with packages."""
        return self.scene.session(environment={"type": "cloud", "packages": packages})

    def layers(self) -> list[str]:
        """What is installed."""
        return sorted(path.name for path in (self.scene.folder / "layers").iterdir() if path.is_dir())


@pytest.fixture
def shop(tmp_path: Path, clock: HandClock) -> Iterator[Shop]:
    async def resolve(host: str, port: int) -> list[str]:
        assert (host, port) == (HOST, packages.port)
        return ["127.0.0.1"]

    with registry() as packages:
        allowed = f"{HOST}:{packages.port}"
        settings = {
            "allow_private_hosts": allowed,
            "pip_index_url": f"{packages.url}/simple/",
            "npm_registry": packages.url,
        }
        with Api(f"sqlite:///{tmp_path / 'rota.db'}", tmp_path, clock, **settings) as api:
            try:
                driver = Bubblewrap(users=ground.uids(None), allowed=guard.allowed(allowed), resolve=resolve)
            except SandboxFailure as exc:
                pytest.skip(str(exc))
            scene = Scene(api, driver)
            yield Shop(scene, packages, clock)
            scene.close()


def test_python_packages_are_installed_once_and_found(shop: Shop) -> None:
    if shutil.which("pip3", path="/usr/bin") is None:
        pytest.skip("the system's Python has no pip")
    one, two = shop.session(pip=["greeting==1.0"]), shop.session(pip=["greeting==1.0"])
    assert shop.scene.bash(one, "python3 -c 'import greeting; print(greeting.say())'; greet") == "\n".join(
        ["hello from the wheel"] * 2
    )
    asked = len(shop.registry.asked)
    assert shop.scene.bash(two, "greet") == "hello from the wheel"
    assert len(shop.registry.asked) == asked
    assert len(shop.layers()) == 1
    assert shop.scene.call(one, "bash", command="echo x > /opt/packages/python/greeting.py").is_error
    assert "Python: greeting==1.0" in shop.scene.workshop.instructions(one)


def test_packages_of_node_are_installed_and_found(shop: Shop) -> None:
    if shutil.which("npm", path="/usr/bin") is None:
        pytest.skip("the system has no npm")
    session = shop.session(npm=["salute@1.0.0"])
    assert shop.scene.bash(session, "node -e \"console.log(require('salute')())\"; salute") == "\n".join(
        ["hello from the tarball"] * 2
    )


def test_a_failure_is_told_and_tried_again_after_a_pause(shop: Shop) -> None:
    if shutil.which("pip3", path="/usr/bin") is None:
        pytest.skip("the system's Python has no pip")
    shop.registry.broken = True
    session = shop.session(pip=["greeting==1.0"])
    outcome = shop.scene.call(session, "bash", command="greet")
    assert outcome.is_error
    assert "could not be installed" in outcome.content[0]["text"]
    assert "greeting==1.0" in outcome.content[0]["text"]
    shop.registry.broken = False
    again = shop.scene.call(session, "bash", command="greet")
    assert again.content[0]["text"].endswith("It is tried again in 30 seconds at the earliest.")
    assert shop.layers() == []
    shop.clock.advance(seconds=31)
    assert shop.scene.bash(session, "greet") == "hello from the wheel"
    assert [path.name for path in (shop.scene.folder / "layers").glob("*.failed")] == []


def test_a_layer_goes_when_no_session_has_used_it_for_a_week(shop: Shop) -> None:
    if shutil.which("pip3", path="/usr/bin") is None:
        pytest.skip("the system's Python has no pip")
    session = shop.session(pip=["greeting==1.0"])
    shop.scene.bash(session, "greet")
    shop.clock.advance(seconds=8 * DAY / SECOND)
    before = shop.clock.now() - 7 * DAY
    assert shop.scene.stock.layers.clear(before) == 0  # a box is open
    shop.scene.restart_boxes()
    assert shop.scene.stock.layers.clear(before) == 1
    assert shop.layers() == []
    assert shop.scene.bash(session, "greet") == "hello from the wheel"


@pytest.mark.parametrize(
    ("name", "url"),
    [("pip_index_url", "https://user:secret@host/simple"), ("npm_registry", "ftp://host"), ("pip_index_url", "simple")],
)
def test_a_registry_that_cannot_be_is_refused_at_the_start(name: str, url: str) -> None:
    with pytest.raises(Unusable) as refused:
        registries(Settings(**{name: url}))
    assert f"ROTA_{name.upper()}" in str(refused.value)
    assert "secret" not in str(refused.value)
