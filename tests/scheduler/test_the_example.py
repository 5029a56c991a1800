"""The example in docs/testing.md, run as a reader would run it."""

import re
import subprocess
import sys
from pathlib import Path

from tests.cli.process import environment

PAGE = Path(__file__).parents[2] / "docs" / "testing.md"


def test_the_example_works_as_it_is_printed(tmp_path: Path) -> None:
    """With nothing but what the page says it needs: no plug-in of pytest's is loaded."""
    [code] = re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL)
    (tmp_path / "test_example.py").write_text(code)
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "test_example.py"],
        cwd=tmp_path, env=environment(PYTEST_DISABLE_PLUGIN_AUTOLOAD="1"), capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    assert "4 passed" in done.stdout
