"""Checks of numbers and names, and names that are loaded on first use."""

import re
import sys
import types

import numpy as np
import pytest

from rnn4music._utils import checks, lazy


@pytest.mark.parametrize(
    ("value", "bounds", "message"),
    (
        (1.5, {}, None),
        (np.float32(2), {"low": 2, "high": 2}, None),
        (np.array(7), {"above": 6, "below": 8}, None),
        (1.9, {"low": 2}, "x must be finite and at least 2, but is 1.9"),
        (2.1, {"low": 0, "high": 2}, "x must be finite and at least 0 and at most 2, but is 2.1"),
        (0, {"above": 0}, "x must be finite and larger than 0, but is 0"),
        (1, {"above": 0, "below": 1}, "finite and larger than 0 and smaller than 1, but is 1"),
        (float("nan"), {}, "x must be finite, but is nan"),
        (10**400, {"high": 3}, "x must be finite and at most 3, but is 1000"),
        (True, {}, "x must be a number, not bool True"),
        (np.True_, {}, "x must be a number, not bool"),
        ("1", {}, "x must be a number without quotes, not str '1'"),
        ("1st", {}, "x must be a number, not str '1st'"),
        (np.array([1.0]), {}, "x must be a number, not ndarray"),
    ),
)
def test_numbers(value, bounds, message):
    if message is None:
        result = checks.number("x", value, **bounds)
        assert result == value and type(result) is float
    else:
        with pytest.raises((TypeError, ValueError), match=re.escape(message)):
            checks.number("x", value, **bounds)


@pytest.mark.parametrize(
    ("value", "message"),
    (
        (3, None),
        (np.int8(4), None),
        (np.array(5), None),
        (2, "n must be at least 3, but is 2"),
        (3.0, "n must be a whole number, not float 3.0"),
        (np.float64(3), "n must be a whole number, not float64"),
        (True, "n must be a whole number, not bool True"),
        ("3", "n must be a whole number without quotes, not str '3'"),
    ),
)
def test_whole_numbers(value, message):
    if message is None:
        result = checks.integer("n", value, low=3)
        assert result == value and type(result) is int
    else:
        with pytest.raises((TypeError, ValueError), match=re.escape(message)):
            checks.integer("n", value, low=3)


def test_optional_numbers_and_choices():
    assert checks.optional_integer("n", None) is None and checks.optional_integer("n", 1) == 1
    with pytest.raises(ValueError, match="n must be at least 1, but is 0"):
        checks.optional_integer("n", 0)
    assert checks.choice("kind", "a", ("a", "b")) == "a"
    with pytest.raises(ValueError, match="kind must be one of 'a', 'b', but is 'c'"):
        checks.choice("kind", "c", ("a", "b"))


def test_a_module_loaded_on_use_is_the_real_one(tmp_path, monkeypatch):
    (tmp_path / "lazy_package").mkdir()
    (tmp_path / "lazy_package" / "slow.py").write_text("import loaded_too; number = 5")
    (tmp_path / "loaded_too.py").touch()
    monkeypatch.syspath_prepend(tmp_path)
    for name in ("lazy_package", "lazy_package.slow", "loaded_too"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    finders = list(sys.meta_path)
    with lazy.loaded_on_use("lazy_package.slow"):
        import lazy_package.slow as slow  # pyright: ignore[reportMissingImports]
    assert sys.meta_path == finders
    assert "loaded_too" not in sys.modules
    assert slow.number == 5
    assert "loaded_too" in sys.modules
    for name in ("lazy_package", "lazy_package.slow", "loaded_too"):
        sys.modules.pop(name)


def test_a_lazy_name_is_loaded_once(monkeypatch):
    package, module = types.ModuleType("lazy_package"), types.ModuleType("lazy_package.home")
    module.thing = object()
    monkeypatch.setitem(sys.modules, "lazy_package", package)
    monkeypatch.setitem(sys.modules, "lazy_package.home", module)
    get, names = lazy.lazy_names("lazy_package", {"thing": "home"})
    assert names() == sorted({*vars(package), "thing"}) and not hasattr(package, "thing")
    assert get("thing") is module.thing is package.thing  # later accesses need no `get`
    with pytest.raises(AttributeError, match="'lazy_package' has no attribute 'other'"):
        get("other")
    get = lazy.lazy_modules("lazy_package", ("home",))
    assert get("home") is module
    with pytest.raises(AttributeError, match="'lazy_package' has no attribute 'other'"):
        get("other")
