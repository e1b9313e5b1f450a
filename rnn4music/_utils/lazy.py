"""A quick start: names that load their modules on first use, without garbage collection."""

import contextlib
import gc
import importlib
import importlib.util
import sys
from importlib.machinery import PathFinder


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


@contextlib.contextmanager
def loaded_on_use(module):
    """Let imports of this module in the block succeed at once; it is loaded when it is used."""

    class Finder:
        @staticmethod
        def find_spec(name, path, target=None):
            spec = PathFinder.find_spec(name, path, target) if name == module else None
            if spec and spec.loader:
                spec.loader = importlib.util.LazyLoader(spec.loader)
            return spec

    sys.meta_path.insert(0, Finder)
    try:
        yield
    finally:
        sys.meta_path.remove(Finder)


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
