"""A quick start: names that load their modules on first use, without garbage collection."""

import contextlib
import gc
import importlib
import sys


@contextlib.contextmanager
def paused_collector():
    """Pause the garbage collector: it would look again and again at what this block builds."""
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()


def lazy_names(package, homes):
    """Return `__getattr__` and `__dir__` for a package.

    Parameters
    ----------
    package : str
        Its name.
    homes : dict of str to str
        Module of the package that defines each public name.
    """

    def get(name):
        if name not in homes:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        with paused_collector():
            value = getattr(importlib.import_module(f"{package}.{homes[name]}"), name)
        setattr(sys.modules[package], name, value)
        return value

    def names():
        return sorted({*vars(sys.modules[package]), *homes})

    return get, names


def lazy_modules(package, names):
    """Return a `__getattr__` for a package that imports these modules of it on first use."""

    def get(name):
        if name not in names:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        return importlib.import_module(f"{package}.{name}")

    return get
