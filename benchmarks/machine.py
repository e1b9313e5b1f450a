"""What a figure was measured on: the cores in use, the machine, the versions.

Imports the standard library alone, so that the cores are chosen before any engine starts
its threads.
"""

import importlib.metadata
import importlib.util
import os
import platform
from pathlib import Path


def available_cores():
    """Return how many cores this process may run on."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def pin_to_one_core():
    """Keep this process and all that it starts on one core.

    Returns
    -------
    bool
        False where the system has no such call.
    """
    if not hasattr(os, "sched_setaffinity"):
        return False
    os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    return True


def processor():
    """Return the processor's name as well as the system tells it."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = []
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


def describe():
    """Return a dict that names the machine and how busy it was with other things."""
    return {
        "platform": platform.platform(),
        "processor": processor(),
        "cores": os.cpu_count(),
        "cores_used": available_cores(),
        "load_before": os.getloadavg()[0] if hasattr(os, "getloadavg") else None,
        "python": platform.python_version(),
    }


def installed(package):
    """Return whether a package can be imported, without importing it."""
    return importlib.util.find_spec(package) is not None


def versions(packages):
    """Return a dict of the versions of those packages that are installed."""
    return {name: importlib.metadata.version(name) for name in packages if installed(name)}
