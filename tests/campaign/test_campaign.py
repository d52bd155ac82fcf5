"""The short form of the campaign: every attack for a few seconds."""

import subprocess
import sys
from pathlib import Path

import pytest

if sys.platform == "win32":
    pytest.skip("processes and signals of POSIX", allow_module_level=True)

from .frame import discover

ROOT = Path(__file__).parents[2]


@pytest.mark.slow
@pytest.mark.parametrize("name", discover())
def test_attack(name):
    if missing := discover()[name].missing:
        pytest.skip(f"needs {missing}")
    command = [sys.executable, "-m", "tests.campaign", name, "--seconds", "2", "--seed", "0"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
