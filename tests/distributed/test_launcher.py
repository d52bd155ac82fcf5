"""Which processes are ranks, and what is said if MPI is not as it should be."""

import subprocess
import sys

import pytest
from launching import environment

from minidl.distributed import check_comm, launched_ranks, launcher, world

VARIABLES = (*launcher._SIZES, *launcher._SLURM)


@pytest.fixture
def alone(monkeypatch):
    """No launcher has left anything in the environment."""
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)
    return monkeypatch


@pytest.mark.parametrize(
    ("variables", "ranks"),
    [
        ({}, 1),
        ({"PMI_SIZE": "3"}, 3),
        ({"MV2_COMM_WORLD_SIZE": "2"}, 2),
        ({"OMPI_COMM_WORLD_SIZE": "5"}, 5),
        ({"PMI_SIZE": "1"}, 1),
        ({"PMI_SIZE": "many"}, 1),
        ({"SLURM_STEP_NUM_TASKS": "4", "SLURM_PROCID": "0", "SLURM_STEP_ID": "0"}, 4),
        ({"SLURM_STEP_NUM_TASKS": "4", "SLURM_PROCID": "0", "SLURM_STEP_ID": "batch"}, 1),
        ({"SLURM_STEP_NUM_TASKS": "4"}, 1),
    ],
)
def test_the_number_of_ranks_follows_from_the_launcher(alone, variables, ranks):
    for name, value in variables.items():
        alone.setenv(name, value)
    assert launched_ranks() == ranks


def test_one_process_has_no_world(alone):
    assert world() is None


def test_mpi4py_that_is_not_installed(alone):
    alone.setenv("PMI_SIZE", "2")
    alone.setitem(sys.modules, "mpi4py", None)
    with pytest.raises(ImportError, match=r"pip install 'minidl\[mpi\]' mpich"):
        world()


def run(code, tmp_path, **more):
    """Run code in a process of its own; return what it printed."""
    env = {name: value for name, value in environment(**more).items() if name not in VARIABLES or name in more}
    env["PYTHONPATH"] = f"{tmp_path}:{env['PYTHONPATH']}"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env=env, timeout=60, check=False
    )
    return done.stdout + done.stderr


@pytest.mark.parametrize(
    "error", ["ImportError('libmpi.so.12: cannot open')", "RuntimeError('cannot load MPI library')"]
)
def test_mpi4py_without_an_mpi(tmp_path, error):
    (tmp_path / "mpi4py").mkdir()
    (tmp_path / "mpi4py" / "__init__.py").write_text("")
    (tmp_path / "mpi4py" / "MPI.py").write_text(f"raise {error}")
    told = run("import minidl.distributed as d; d.world()", tmp_path, PMI_SIZE="2")
    assert "ImportError: mpi4py finds no MPI (" in told
    assert "pip install mpich" in told


def test_the_real_mpi4py_without_an_mpi(tmp_path):
    pytest.importorskip("mpi4py")
    told = run("import minidl.distributed as d; d.world()", tmp_path, PMI_SIZE="2", MPI4PY_LIBMPI="/nonexistent.so")
    assert "mpi4py finds no MPI" in told or "rank" in told, told


def test_a_launcher_of_another_mpi(tmp_path):
    (tmp_path / "mpi4py").mkdir()
    (tmp_path / "mpi4py" / "__init__.py").write_text("")
    (tmp_path / "mpi4py" / "MPI.py").write_text("class COMM_WORLD: size = 1")
    told = run("import minidl.distributed as d; d.world()", tmp_path, OMPI_COMM_WORLD_SIZE="2")
    assert "RuntimeError: the launcher has started 2 processes, but mpi4py knows 1" in told
    assert "python -m mpi4py --mpi-library" in told


def test_importing_minidl_and_one_process_never_import_mpi4py(tmp_path):
    code = """
import sys
from ranked.small import fit, trainer_of, arrays
trainer = trainer_of(None)
fit(trainer)
trainer.predict(arrays()[0])
import minidl.cli, minidl.distributed
assert minidl.distributed.world() is None
print("mpi4py" in sys.modules)
"""
    assert run(code, tmp_path).strip() == "False"


@pytest.mark.parametrize("wrong", [1, "world", object(), int])
def test_a_communicator_of_the_wrong_type(wrong):
    with pytest.raises(TypeError, match=r"Trainer: comm must be a communicator of mpi4py, such as MPI.COMM_WORLD, got"):
        check_comm("Trainer", wrong)
    assert check_comm("Trainer", None) is None
