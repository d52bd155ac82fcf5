"""A slow network between two network namespaces of this machine, for Linux and root.

    python benchmarks/slow_network.py NAME DELAY RATE      seconds, and bits per second; until its input ends

The namespaces NAME0 and NAME1 have a TUN device each, "slow0", and nothing else but a loopback. This process carries
the packets from one to the other: each after those before it, at the rate, and later by the delay. It is what netem
does in a kernel that has it (CONFIG_NET_SCH_NETEM), between devices that the kernel joins.
"""

from __future__ import annotations

import fcntl
import os
import select
import shutil
import struct
import subprocess
import sys
import time
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

TUN = Path("/dev/net/tun")
TUNSETIFF, IFF_TUN, IFF_NO_PI = 0x400454CA, 0x0001, 0x1000  # linux/if_tun.h
DEVICE = "slow0"
LARGEST = 65535  # bytes of a packet
MTU = 9000  # jumbo frames: at 1500 bytes Python would not keep up
MPICH = {  # not through the memory that both ranks see, but by libfabric, over TCP
    "MPIR_CVAR_NOLOCAL": "1",
    "MPIR_CVAR_CH4_NETMOD": "ofi",
    "FI_PROVIDER": "tcp",
    "FI_TCP_IFACE": DEVICE,
}
PRIORITY = 10  # a real-time one: packets are not to wait for ranks that poll


def ip(*words: str, check: bool = True) -> None:
    """Run iproute2's command."""
    subprocess.run(["ip", *words], check=check, stderr=None if check else subprocess.DEVNULL)


def join(namespace: str, address: str) -> int:
    """Make a device in a namespace; return the file that its packets are read from and written to."""
    outside = f"tun-{os.getpid()}"[:15]
    file = os.open(TUN, os.O_RDWR | os.O_NONBLOCK)
    fcntl.ioctl(file, TUNSETIFF, struct.pack("16sH22x", outside.encode(), IFF_TUN | IFF_NO_PI))
    ip("link", "set", outside, "netns", namespace, "name", DEVICE)
    ip("-n", namespace, "link", "set", "lo", "up")
    ip("-n", namespace, "address", "add", f"{address}/24", "dev", DEVICE)
    ip("-n", namespace, "link", "set", DEVICE, "mtu", str(MTU), "txqueuelen", "10000", "up")
    return file


def carry(files: tuple[int, int], delay: float, rate: float, end: int) -> None:
    """Carry packets between two files, until a third can be read or has ended."""
    other, free = dict(zip(files, files[::-1], strict=True)), dict.fromkeys(files, 0.0)
    flying: dict[int, deque[tuple[float, bytes]]] = {file: deque() for file in files}
    while True:
        now = time.perf_counter()
        for file, packets in flying.items():
            while packets and packets[0][0] <= now:
                os.write(other[file], packets.popleft()[1])
        landing = min((packets[0][0] for packets in flying.values() if packets), default=None)
        wait = None if landing is None else max(0.0, landing - time.perf_counter())
        ready, _, _ = select.select([end, *files], [], [], wait)
        if end in ready:
            return
        for file in ready:
            while (packet := _packet(file)) is not None:
                free[file] = max(time.perf_counter(), free[file]) + 8 * len(packet) / rate
                flying[file].append((free[file] + delay, packet))


def _packet(file: int) -> bytes | None:
    try:
        return os.read(file, LARGEST)
    except BlockingIOError:
        return None


def serve(name: str, delay: float, rate: float) -> None:
    """Make the namespaces, carry packets, and remove the namespaces whatever happens."""
    names = (f"{name}0", f"{name}1")
    try:
        for namespace in names:
            ip("netns", "add", namespace)
        files = (join(names[0], "10.99.0.1"), join(names[1], "10.99.0.2"))
        os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(PRIORITY))
        print("ready", flush=True)
        carry(files, delay, rate, sys.stdin.fileno())
    finally:
        for namespace in names:
            ip("netns", "delete", namespace, check=False)


@contextmanager
def slow_network(delay: float, rate: float) -> Iterator[tuple[list[str], dict[str, str]]]:
    """Have a slow network for a with block; give the command by which each rank starts, and MPICH's variables.

    The namespaces are removed by another process when this one ends the block, or ends in whatever way.

    Raises:
        SystemExit: this is not Linux, or not root.
    """
    if not sys.platform.startswith("linux") or os.geteuid() != 0 or shutil.which("ip") is None or not TUN.exists():
        sys.exit(f"the slow network needs Linux, root, the command ip (package iproute2) and {TUN}: try sudo")
    name = f"minidl{os.getpid()}-"
    command = [sys.executable, __file__, name, str(delay), str(rate)]
    carrier = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, start_new_session=True)
    assert carrier.stdin and carrier.stdout
    try:
        if not carrier.stdout.readline():
            raise RuntimeError("the slow network could not be made; the message above says why")
        within = ["sh", "-c", f'exec ip netns exec "{name}$PMI_RANK" "$@"', "rank"]
        yield within, MPICH
    finally:
        carrier.stdin.close()
        carrier.wait()


if __name__ == "__main__":
    serve(sys.argv[1], float(sys.argv[2]), float(sys.argv[3]))
