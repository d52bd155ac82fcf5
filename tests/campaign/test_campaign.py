"""The short form of the campaign: every attack for two seconds, two of them at a time."""

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

if sys.platform == "win32":
    pytest.skip("processes and signals of POSIX", allow_module_level=True)

from .frame import ATTACKS, discover

discover()
ROOT = Path(__file__).parents[2]


def run(name):
    command = [sys.executable, "-m", "tests.campaign", name, "--seconds", "2", "--seed", "0"]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300, check=False)


@pytest.fixture(scope="module")
def running(request):
    """The attacks that were chosen, by name; each with what will become of it."""
    chosen = [item.callspec.params["name"] for item in request.session.items if item.path == request.path]
    with ThreadPoolExecutor(2) as pool:
        yield {name: pool.submit(run, name) for name in chosen if not ATTACKS[name].missing}


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(ATTACKS))
def test_attack(name, running):
    if missing := ATTACKS[name].missing:
        pytest.skip(f"needs {missing}")
    done = running[name].result()
    assert done.returncode == 0, done.stdout + done.stderr
