"""The machine on which figures are measured: its cores, load and versions.

This module imports only the standard library, so that cores can be chosen before an engine starts
its threads.
"""

import importlib.metadata
import importlib.util
import os
import platform
from pathlib import Path


def available_cores():
    """Return the number of cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def pin_to_one_core():
    """Pin this process and its children to one core.

    Returns
    -------
    bool
        False if the system does not support it.
    """
    if not hasattr(os, "sched_setaffinity"):
        return False
    os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    return True


def processor():
    """Return the name of the processor, as far as the system reports it."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = []
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


def describe():
    """Return a description of the machine and its load as a dict."""
    return {
        "platform": platform.platform(),
        "processor": processor(),
        "cores": os.cpu_count(),
        "cores_used": available_cores(),
        "load_before": os.getloadavg()[0] if hasattr(os, "getloadavg") else None,
        "python": platform.python_version(),
    }


def installed(package):
    """Return whether a package is installed, without importing it."""
    return importlib.util.find_spec(package) is not None


def versions(packages):
    """Return the versions of the installed packages among these, by name."""
    return {name: importlib.metadata.version(name) for name in packages if installed(name)}
