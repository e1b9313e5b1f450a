"""The package as a whole: light imports, dependencies in one direction, engines, floatX."""

import ast
import importlib
import os
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from rnn4music import backend

PACKAGE = Path(backend.__file__).parent.parent


def run(script, **environment):
    return subprocess.run(
        [sys.executable, "-W", "error", "-c", textwrap.dedent(script)],
        capture_output=True,
        text=True,
        env={**os.environ, **environment},
    )


def test_importing_loads_no_engine_and_warns_of_nothing():
    result = run("""
        import sys
        import rnn4music
        heavy = {"pytensor", "theano", "jax", "numba", "matplotlib", "numpy", "tqdm"}
        assert not heavy & set(sys.modules), heavy & set(sys.modules)
        assert "RNN4Music" in dir(rnn4music)
        import midi.utils
        assert not (heavy - {"numpy"}) & set(sys.modules)
    """)
    assert result.returncode == 0 and not result.stdout and not result.stderr, result.stderr


def test_unknown_names_are_attribute_errors():
    import rnn4music

    with pytest.raises(AttributeError, match="no attribute 'RNN5Music'"):
        rnn4music.RNN5Music  # noqa: B018
    for name in rnn4music.__all__:
        assert getattr(rnn4music, name).__name__ == name


FLOORS = """
    _utils
    backend numpy_network midi
    saving distributed gates linear lstm chords network costs updates
    data kernels
    evaluation graphs hyperparameters
    generation plots
    render
    training
    model
    experiment
    tuning
    cli
"""
ROOMS = {room: n for n, floor in enumerate(FLOORS.split("\n")) for room in floor.split()}
HEART = {"gates", "linear", "lstm", "chords", "network", "costs", "updates"}


def imports_of(path):
    """Yield the dotted names of the modules that a module imports, wherever it does."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            name = node.module or ""
            yield from (f"{name}.{a.name}" if name == "rnn4music" else name for a in node.names)


def modules():
    """Yield the room and the path of each module of the package and of midi."""
    for path in PACKAGE.rglob("*.py"):
        yield path.relative_to(PACKAGE).parts[0].removesuffix(".py"), path
    yield from (("midi", path) for path in (PACKAGE.parent / "midi").glob("*.py"))


def test_dependencies_point_one_way():
    for room, path in modules():
        if room in ("__init__", "__main__"):
            continue
        names = [name.removeprefix("rnn4music.").split(".")[0] for name in imports_of(path)]
        for other in {name for name in names if name in ROOMS} - {room}:
            below = ROOMS[other] < ROOMS[room] or {room, other} <= HEART
            assert below, f"{path} imports {other}, which is not below {room}"


def test_each_outside_library_has_its_rooms():
    allowed = {
        "llvmlite": {"kernels", "_utils"},
        "optuna": {"tuning"},
        "matplotlib": {"midi", "plots", "render", "tuning", "cli"},
    }
    allowed |= dict.fromkeys(["pytensor", "theano", "jax", "numba"], {"backend"})
    for room, path in modules():
        for name in imports_of(path):
            top = name.split(".")[0]
            assert room in allowed.get(top, {room}), f"{path} imports {top}"
            assert room != "midi" or top != "rnn4music", path


def test_every_data_file_is_packaged():
    toml = importlib.import_module("tomllib" if sys.version_info >= (3, 11) else "tomli")
    root = PACKAGE.parent
    settings = toml.loads((root / "pyproject.toml").read_text("utf8"))["tool"]["setuptools"]
    listed = {
        Path(*package.split("."), name)
        for package, names in settings["package-data"].items()
        for name in names
    }
    files = {
        path.relative_to(root)
        for package in ("rnn4music", "midi")
        for path in (root / package).rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    modules = {path for path in files if path.suffix == ".py"}
    assert files - modules == listed
    assert all((root / path.parent / "__init__.py").exists() for path in modules)


def test_no_automatic_differentiation_in_the_package():
    for path in PACKAGE.rglob("*.py"):
        names = {
            node.attr if isinstance(node, ast.Attribute) else getattr(node, "id", "")
            for node in ast.walk(ast.parse(path.read_text(encoding="utf8")))
        }
        assert not names & {"grad", "Lop", "Rop", "value_and_grad", "vjp", "jvp"}, path


def test_the_heart_stays_readable():
    heart = ("gates", "lstm", "network", "costs", "updates")
    lengths = {n: len((PACKAGE / f"{n}.py").read_text("utf8").splitlines()) for n in heart}
    assert sum(lengths.values()) < 700, lengths


def test_an_unknown_engine_is_refused():
    result = run("from rnn4music import RNN4Music", RNN4MUSIC_BACKEND="tensorflow")
    assert "RNN4MUSIC_BACKEND='tensorflow' is not an engine; use one of jax" in result.stderr


@pytest.mark.parametrize("engine", sorted(backend.ENGINES))
def test_an_engine_that_is_asked_for_and_missing_names_its_cure(engine):
    script = """
        import importlib.util
        importlib.util.find_spec = lambda name, package=None: None
        from rnn4music import backend
    """
    result = run(script, RNN4MUSIC_BACKEND=engine)
    cure = "pip install" if engine != "theano" or sys.version_info < (3, 11) else "Python 3.10"
    assert f"ImportError: the engine '{engine}' is not installed" in result.stderr
    assert cure in result.stderr


@pytest.mark.skipif(sys.version_info < (3, 11), reason="PyTensor needs Python 3.11")
def test_numba_takes_over_where_jax_is_missing():
    result = run(
        """
        import importlib.util
        found = importlib.util.find_spec
        importlib.util.find_spec = lambda name, *a: None if name == "jax" else found(name, *a)
        from rnn4music import backend
        print(backend.ENGINE)
    """,
        RNN4MUSIC_BACKEND="",
    )
    assert result.stdout.strip() == "numba", result.stderr


GRADIENTS = """
    import numpy as np
    from rnn4music import RNN4Music
    model = RNN4Music(3, 4, 5, 6, seed=1, dtype="float64", sigRand=0.5)
    rng = np.random.default_rng(0)
    inputs, targets = rng.random((2, 5, 2, 6)) < 0.4
    cost, gradients = model.gradients(inputs, targets)
    assert all(array.dtype == np.float64 for array in gradients.values())
    print(repr(cost), *(repr(float(np.abs(a).sum())) for a in gradients.values()))
    tune, probabilities = model.genMusic(None, 20)
    assert tune.dtype == np.float64
    model.setNewRates(0.1, 0.1, 0.1, 0.1)
    model.train([inputs[:, 0]] * 2, 1, 2, 2, 4, progress=False)
    print(repr(float(sum(np.abs(a).sum() for a in model.get_parameters().values()))))
"""


@pytest.mark.slow
@pytest.mark.core
def test_precision_is_the_model_s_whatever_floatx_says():
    """Under floatX=float32 a float64 model must lose nothing, and the globals stay put."""
    flags = "THEANO_FLAGS" if backend.ENGINE == "theano" else "PYTENSOR_FLAGS"
    engine = "theano" if backend.ENGINE == "theano" else "pytensor"
    after = f"""
    import {engine} as engine
    assert engine.config.floatX == FLOATX
    """
    if backend.ENGINE == "jax":
        after += "import jax; assert not jax.config.jax_enable_x64  # JAX's own default\n"
    results = []
    for floatx in ("float64", "float32"):
        check = textwrap.dedent(after).replace("FLOATX", repr(floatx))
        script = textwrap.dedent(GRADIENTS) + check
        script = script if backend.ENGINE != "theano" else "import warnings\n" + script
        environment = {flags: f"floatX={floatx}"}
        result = subprocess.run(
            [sys.executable, "-c", script], capture_output=True, text=True,
            env={**os.environ, **environment},
        )  # fmt: skip
        assert result.returncode == 0, result.stderr
        results.append([float(word) for word in result.stdout.split()])
    assert results[0] == pytest.approx(results[1], rel=1e-12)
