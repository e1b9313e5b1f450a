"""A network with a limited rate and a delay, between two processes of this machine.

Two network namespaces have a TUN device each. The kernel limits what each of them sends (`tc`, a
token bucket), and a thread of this process hands every packet to the other one after the delay.
Many kernels lack netem, which could do both. Needs Linux and root.
"""

import contextlib
import ctypes
import fcntl
import os
import select
import shutil
import socket
import struct
import subprocess
import sys
import threading
import time
from collections import deque
from pathlib import Path

DEVICE = "wire"
_NEW_NETWORK = 0x40000000  # CLONE_NEWNET
_TUN, _ATTACH, _OFFLOAD = 0x5001, 0x400454CA, 0x400454D0  # packets of up to 64 kB, unsplit


class Link:
    """Two namespaces and what joins them; see `joined`."""

    def __init__(self, at_the_end):
        self.names = [f"rnn4music-{os.getpid()}-{k}" for k in (1, 2)]
        self.addresses, self.delay = ["10.77.0.1", "10.77.0.2"], 0.0
        devices = []
        for name, address in zip(self.names, self.addresses):
            _run("ip", "netns", "add", name)
            at_the_end.callback(_run, "ip", "netns", "del", name)
            folder = Path("/etc/netns") / name  # `ip netns exec` puts it over /etc
            folder.mkdir(parents=True)
            at_the_end.callback(shutil.rmtree, folder)
            # gloo listens at the address of the host's name
            hosts = f"127.0.0.1 localhost\n{address} {socket.gethostname()}\n"
            (folder / "hosts").write_text(hosts)
            devices.append(_in_namespace(name, _device))
            at_the_end.callback(os.close, devices[-1])
            _run("ip", "-n", name, "address", "add", f"{address}/24", "dev", DEVICE)
            for device in ("lo", DEVICE):
                _run("ip", "-n", name, "link", "set", device, "up")
            route = ["10.77.0.0/24", "dev", DEVICE, "src", address, "congctl", "cubic"]
            _run("ip", "-n", name, "route", "replace", *route)
        ended, end = os.pipe()
        thread = threading.Thread(target=self._hand_over, args=(*devices, ended))
        thread.start()
        at_the_end.callback(thread.join)
        at_the_end.callback(os.close, end)

    def limit(self, gigabits, milliseconds):
        """Set the rate in Gbit/s, and the delay in one direction."""
        self.delay = milliseconds / 1000
        bucket = ["rate", f"{gigabits}gbit", "burst", "80kb", "latency", "50ms"]
        for name in self.names:
            _run("tc", "-n", name, "qdisc", "replace", "dev", DEVICE, "root", "tbf", *bucket)

    def _hand_over(self, one, two, ended):
        """Pass packets on, with a clock of microseconds, until the pipe is closed."""
        ctypes.CDLL(None).prctl(29, 1, 0, 0, 0)  # PR_SET_TIMERSLACK: else it sleeps 50 µs longer
        os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(1))
        waiting = {one: (two, deque()), two: (one, deque())}
        while True:
            times = [packets[0][0] for _, packets in waiting.values() if packets]
            pause = max(0, min(times) - time.monotonic()) if times else None
            if ended in select.select([one, two, ended], [], [], pause)[0]:
                return
            for device, (_, packets) in waiting.items():
                with contextlib.suppress(BlockingIOError):
                    for _ in range(64):
                        packet = os.read(device, 70_000)
                        packets.append((time.monotonic() + self.delay, packet))
            now = time.monotonic()
            for other, packets in waiting.values():
                while packets and packets[0][0] <= now:
                    with contextlib.suppress(OSError):  # it does not take broadcasts yet
                        os.write(other, packets.popleft()[1])


@contextlib.contextmanager
def joined():
    """Yield a `Link`; all that it has made is removed afterwards.

    Raises
    ------
    PermissionError
        If this is not root on Linux.
    """
    if not sys.platform.startswith("linux") or os.geteuid():
        raise PermissionError("network namespaces need Linux and root")
    with contextlib.ExitStack() as at_the_end:
        yield Link(at_the_end)


def _run(*command):
    subprocess.run(command, check=True)


def _in_namespace(name, function):
    """Return function(), called in a network namespace."""
    change = ctypes.CDLL(None, use_errno=True).setns
    with open("/proc/self/ns/net") as here, open(f"/run/netns/{name}") as there:
        if change(there.fileno(), _NEW_NETWORK):
            raise OSError(ctypes.get_errno(), "cannot enter the network namespace")
        try:
            return function()
        finally:
            change(here.fileno(), _NEW_NETWORK)


def _device():
    """Make a TUN device; return its file descriptor."""
    device = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK)
    fcntl.ioctl(device, _ATTACH, struct.pack("16sH22x", DEVICE.encode(), _TUN))
    fcntl.ioctl(device, _OFFLOAD, 0x03)  # checksums and TCP segments
    return device
