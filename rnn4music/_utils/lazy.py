"""Names of a package that load their modules on first use, so that imports stay light."""

import importlib
import sys


def lazy_names(package, homes):
    """Return `__getattr__` and `__dir__` for a package.

    Parameters
    ----------
    package : str
        Its name.
    homes : dict of str to str
        Each public name, and the module below the package that defines it.
    """

    def get(name):
        if name not in homes:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        value = getattr(importlib.import_module(f"{package}.{homes[name]}"), name)
        setattr(sys.modules[package], name, value)
        return value

    def names():
        return sorted({*vars(sys.modules[package]), *homes})

    return get, names


def lazy_modules(package, names):
    """Return `__getattr__` for a package of these modules."""

    def get(name):
        if name not in names:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        return importlib.import_module(f"{package}.{name}")

    return get
