"""Ctrl-C while `minidl` and `python -m minidl` are still importing: one line, whatever the imports make of it."""

import os
import signal
import subprocess
import sys
from functools import partial
from pathlib import Path

import pytest

import minidl

SCRIPT = "import sys; from minidl.cli import main; sys.exit(main())"  # what pip writes for the command `minidl`
NUMPY = """
import os, time
try:
    os.write(1, b"importing")
    time.sleep(60)
except {caught}:
    raise ImportError("numpy is not installed properly") from None
"""


@pytest.mark.skipif(os.name != "posix", reason="signals as POSIX has them")
@pytest.mark.parametrize("command", [["-m", "minidl"], ["-c", SCRIPT]], ids=["module", "script"])
@pytest.mark.parametrize("caught", ["ZeroDivisionError", "BaseException"])
def test_ctrl_c_during_imports_is_one_line(tmp_path, command, caught):
    (tmp_path / "numpy").mkdir()
    (tmp_path / "numpy" / "__init__.py").write_text(NUMPY.format(caught=caught))
    path = os.pathsep.join([str(tmp_path), str(Path(minidl.__file__).parents[1])])
    with subprocess.Popen(
        [sys.executable, *command, "info"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": path},
        preexec_fn=partial(signal.signal, signal.SIGINT, signal.SIG_DFL),  # noqa: PLW1509 - a test in the background
    ) as process:
        assert process.stdout.read(9) == b"importing"
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=30)
    assert (process.returncode, out, err.decode()) == (130, b"", "minidl: interrupted\n")


def test_ctrl_c_that_is_ignored_stays_ignored():
    code = "import signal; signal.signal(signal.SIGINT, signal.SIG_IGN); from minidl.cli import main; main()"
    code += "; print(signal.getsignal(signal.SIGINT) is signal.SIG_IGN)"
    run = subprocess.run([sys.executable, "-c", code, "info"], capture_output=True, text=True, check=True)
    assert run.stdout.splitlines()[-1] == "True"
