"""The parts of benchmarks/scaling.py: the model by hand, and what ranks do with an MPI; no test asks how fast."""

import importlib.util
import json
import os
import re
import shutil
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest

BENCHMARKS = Path(__file__).parents[1] / "benchmarks"
sys.path.insert(0, str(BENCHMARKS))
launch, nets, scaling_model, slow_network, turns = (
    __import__(name) for name in ("launch", "nets", "scaling_model", "slow_network", "turns")
)
Network, Training = scaling_model.Network, scaling_model.Training

PLACES = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")])
needs_mpi = pytest.mark.skipif(
    importlib.util.find_spec("mpi4py") is None or shutil.which("mpiexec", path=PLACES) is None,
    reason="needs mpi4py and mpiexec",
)


@pytest.mark.parametrize(
    ("ranks", "meeting", "allreduce"),
    [
        (2, 1, 2 * (5 + 500) + 50),  # a half is exchanged and added, then the other is fetched
        (4, 2, 2 * (5 + 500) + 50 + 2 * (5 + 250) + 25),  # and a quarter
        (3, 3, 2 * (5 + 500) + 50 + 2 * (5 + 1000) + 100),  # the third gives all to another first, and gets the sum
        (1024, 10, 20 * 5 + 2 * 1000 * 1023 / 1024 + 100 * 1023 / 1024),
    ],
)
def test_sums_over_a_network_by_hand(ranks, meeting, allreduce):
    network = Network(short=1.0, latency=5.0, bandwidth=1.0, adding=10.0)
    assert network.meeting(ranks) == pytest.approx(meeting)
    assert network.allreduce(ranks, 1000) == pytest.approx(allreduce)


def test_a_step_by_hand():
    network = Network(short=1.0, latency=5.0, bandwidth=1.0, adding=10.0)
    training = Training(fixed=10.0, each=20.0, meetings=3, sums=[40, 1000])
    more = 3 * 1 + (2 * (1 + 20) + 2) + 1060  # the first sum is one of short messages
    assert training.seconds(1, 64, network) == 10 + 20 * 64
    assert training.seconds(2, 64, network) == 10 + 20 * 64 + more
    assert training.strong(2, 128, network) == pytest.approx((10 + 20 * 128) / (10 + 20 * 64 + more))
    assert training.weak(2, 64, network) == pytest.approx(2 * (10 + 20 * 64) / (10 + 20 * 64 + more))


def test_where_it_stops_paying():
    speed_ups = {2: 1.8, 4: 2.0, 8: 3.9, 16: 9.0}
    assert scaling_model.pays_up_to(speed_ups.__getitem__, list(speed_ups)) == 4
    assert scaling_model.pays_up_to(lambda n: 0.9, [2, 4]) == 1
    assert scaling_model.pays_up_to(lambda n: n, [2, 4]) == 4


def test_the_line_through_times():
    assert scaling_model.line([1, 10, 1000], [3.5, 8.0, 503.0]) == pytest.approx((3.0, 0.5))
    fixed, each = scaling_model.line([1, 2], [1.0, 3.0])  # the line through both begins at -1
    assert fixed == 0
    assert each == pytest.approx((1 / 1 + 2 / 3) / (1 / 1 + 4 / 9))


def test_resnet20_is_the_same_in_pytorch(torch):
    from minidl import nn

    ours, theirs = nets.build("resnet20", nn), nets.build("resnet20", torch.nn)
    theirs.load_state_dict(
        {name: torch.from_numpy(np.asarray(a)) for name, a in ours.state_dict().items()}, strict=False
    )
    x = np.random.default_rng(0).standard_normal((4, *nets.shape("resnet20")), dtype=np.float32)
    np.testing.assert_allclose(ours(x), theirs(torch.from_numpy(x)).detach().numpy(), rtol=1e-4, atol=1e-4)
    assert [name for name, _ in ours.named_params()] == [name for name, _ in theirs.named_parameters()]


def test_the_command_tells_its_options():
    command = [sys.executable, str(BENCHMARKS / "scaling.py"), "--help"]
    run = subprocess.run(command, capture_output=True, text=True, check=True)
    assert {"--ranks", "--nets", "--only", "--slow-network", "--quick"} <= set(re.findall(r"--[a-z-]+", run.stdout))


@pytest.mark.parametrize(
    ("code", "out", "err", "told"),
    [
        (1, "", "ModuleNotFoundError: No module named 'mpi4py'", "mpi4py is not installed; pip install"),
        (1, "", "RuntimeError: cannot load MPI library", "(?s)mpi4py does not run .*MPI4PY_LIBMPI.*cannot load MPI"),
        (0, "1 Open MPI v5\n", "", "it belongs to another MPI than mpi4py's; pip install"),
    ],
)
def test_an_mpi_that_is_missing_or_another_one_is_told(code, out, err, told, monkeypatch):
    monkeypatch.setattr(launch, "mpiexec", lambda: "mpiexec")
    monkeypatch.setattr(
        launch.subprocess, "run", lambda command, **_: subprocess.CompletedProcess(command, code, out, err)
    )
    with pytest.raises(SystemExit, match=told):
        launch.check_mpi()


def test_without_mpiexec_the_error_says_what_to_install(monkeypatch):
    monkeypatch.setattr(launch.shutil, "which", lambda *_, **__: None)
    with pytest.raises(SystemExit, match=r'mpiexec was not found; pip install "minidl\[mpi\]" mpich'):
        launch.mpiexec()


def test_a_slow_network_needs_root(monkeypatch):
    monkeypatch.setattr(slow_network.os, "geteuid", lambda: 1000, raising=False)
    with pytest.raises(SystemExit, match="needs Linux, root"), slow_network.slow_network(1e-3, 1e6):
        pass


@pytest.mark.skipif(not hasattr(socket, "AF_UNIX"), reason="needs sockets of packets")
def test_packets_arrive_in_order_and_not_before_the_delay():
    (near, one), (far, other) = (socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM) for _ in range(2))
    end, stop = os.pipe()
    with near, one, far, other:
        one.setblocking(False)
        other.setblocking(False)
        files = (one.fileno(), other.fileno())
        carrier = threading.Thread(
            target=slow_network.carry, args=(files, 0.02, 8e5, end)
        )  # 100 bytes in a millisecond
        carrier.start()
        start = time.perf_counter()
        for number in range(10):
            near.send(bytes([number]) * 100)
        assert [far.recv(200) for _ in range(10)] == [bytes([number]) * 100 for number in range(10)]
        assert time.perf_counter() - start >= 0.02 + 10 * 0.001
        far.send(b"back")
        assert near.recv(200) == b"back"
        os.close(stop)
        carrier.join()
    os.close(end)


@needs_mpi
def test_the_sums_of_two_ranks_are_timed():
    command = [*launch.program("mpi_times.py", 2), "allreduce", "1", "10"]
    found = launch.output(command, turns.environment(1))
    assert [size for size, _ in found] == [4, 40]
    assert all(seconds > 0 for _, times in found for seconds in times)
    ((size, _),) = launch.output([*launch.program("mpi_times.py", 2), "meeting"], turns.environment(1))
    assert size == 24


@needs_mpi
@pytest.mark.parametrize("side", ["minidl", "torch"])
def test_two_ranks_serve_steps(side, request):
    if side == "torch":
        request.getfixturevalue("torch")
    program = launch.program("ranks.py", 2)
    with turns.Worker(side, ("lenet5", "train", 4), turns.environment(1), program) as worker:
        assert [len(worker.run(steps)) for steps in (2, 9)] == [2, 9]
        assert worker.finish() > 2**20


@needs_mpi
def test_the_share_of_communication_is_part_of_the_step():
    command = [*launch.program("ranks.py", 2), "share", "lenet5", "8", "4"]
    found = launch.output(command, turns.environment(1))
    whole, sums, meetings, count = np.transpose(found["steps"])
    assert len(whole) == 8
    assert max(found["sums"]) == 4 * 61_706  # the gradients of LeNet-5
    assert (sums > 0).all()
    assert (sums + meetings < whole).all()
    assert (count >= 1).all()


def test_what_fails_is_named():
    with pytest.raises(RuntimeError, match="it ended with exit code 3: .*python"):
        launch.output([sys.executable, "-c", "import sys; sys.exit(3)"], dict(os.environ))
    assert launch.output([sys.executable, "-c", "print('a line'); print([1])"], dict(os.environ)) == json.loads("[1]")
