"""The package as a whole: light imports, dependencies in one direction, engines, floatX."""

import ast
import os
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from rnn4music import backend

PACKAGE = Path(backend.__file__).parent


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


def imports_of(path):
    """Return the package's own modules and the outside packages that a module imports."""
    own, outside = set(), set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf8"))):
        names = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            names = [f"{node.module}.{a.name}" for a in node.names] + [node.module or ""]
        for name in names:
            parts = name.split(".")
            if parts[0] != "rnn4music":
                outside.add(parts[0])
            elif len(parts) > 1 and (PACKAGE / f"{parts[1]}.py").exists():
                own.add(parts[1])
    return own, outside


ALLOWED = {
    "backend": set(),
    "gates": {"backend"},
    "sequences": {"backend"},
    "lstm": {"backend", "gates", "sequences"},
    "network": {"backend", "gates", "lstm", "sequences"},
    "costs": {"backend", "gates"},
    "updates": {"backend"},
    "optimisers": {"backend", "updates"},
    "regularisation": {"functions"},
    "runs": {"evaluation", "minibatches", "pieces", "regularisation", "streams"},
    "checkpoints": {"archive", "screen", "streams"},
    "callbacks": {"sound"},
    "notes": set(),
    "screen": set(),
    "minibatches": {"streams"},
    "archive": {"checks", "npz"},
    "npz": set(),
    "processes": set(),
    "evaluation": {"streams"},
    "generation": set(),
    "training": {"checks", "screen"},
    "checks": {"streams"},
    "keys": set(),
    "near_copies": set(),
    "roll_cache": {"npz"},
    "cluster": {"processes", "screen"},
    "data_parallel": {"cluster", "replicas", "runs", "screen"},
    "replicas": {"functions", "parameters", "pieces", "runs"},
    "streams": set(),
    "collection": {"checks"},
    "datasets": {
        "checks", "collection", "keys", "near_copies", "npz", "processes", "roll_cache",
    },
    "shards": {"near_copies"},
    "stored_rolls": {"collection", "keys", "near_copies", "shards"},
    "roll_store": {
        "cluster", "collection", "datasets", "processes", "roll_cache", "screen", "shards",
        "stored_rolls",
    },
    "commands_convert": {"cluster", "commands", "configuration", "roll_store"},
    "chorales": {"datasets", "processes"},
    "restricted_pickle": set(),
    "matlab_cells": set(),
    "standard_sets": {
        "checks", "collection", "datasets", "matlab_cells", "npz", "restricted_pickle",
    },
    "rolls": {"checks"},
    "influence": {"checks", "rolls"},
    "picture_parts": {"checks", "rolls"},
    "network_plots": {"checks", "influence", "numpy_network", "picture_parts"},
    "plots": {"checks", "network_plots", "picture_parts"},
    "numpy_network": set(),
    "sound": {"checks", "rolls", "soundfonts"},
    "soundfonts": set(),
    "tune_statistics": {"checks"},
    "page": {"rolls"},
    "tune": {"checks", "page", "picture_parts", "plots", "rolls", "sound"},
    "settings": {"checks", "costs", "optimisers"},
    "parameters": {"backend", "checks", "lstm", "network"},
    "machine_code": set(),
    "tiles": {"machine_code"},
    "step_kernels": {"gates", "lstm", "machine_code", "tiles"},
    "product_kernels": {"machine_code", "tiles"},
    "native": set(),
    "fast": {
        "backend", "lstm", "machine_code", "native", "processes", "product_kernels",
        "step_kernels",
    },
    "pieces": set(),
    "functions": {
        "backend", "costs", "fast", "lstm", "network", "optimisers", "parameters", "updates",
    },
    "model": {
        "archive", "callbacks", "checkpoints", "checks", "cluster", "data_parallel", "evaluation",
        "functions", "generation",
        "minibatches", "notes", "numpy_network", "optimisers", "parameters", "runs", "settings",
        "training",
    },
    "model_card": {"notes"},
    "configuration": set(),
    "command_line": {"configuration", "screen"},
    "commands": {"archive", "checks", "keys", "numpy_network", "screen"},
    "commands_learn": {
        "archive", "callbacks", "cluster", "commands", "datasets", "model", "roll_store", "screen",
        "standard_sets", "streams",
    },
    "commands_search": {"cluster", "commands", "search"},
    "search": {
        "archive", "checkpoints", "checks", "roll_store", "search_fleets", "search_journal",
        "search_results", "search_space", "search_trials",
    },
    "search_fleets": {
        "cluster", "processes", "screen", "search_owners", "search_results", "search_space",
        "search_trials", "search_worker",
    },
    "search_results": {"configuration", "search_trials"},
    "search_worker": {"search_trials"},
    "search_trials": {
        "archive", "callbacks", "commands_learn", "configuration", "processes", "search_journal",
        "search_owners", "search_space", "training",
    },
    "search_owners": {"search_journal"},
    "search_space": {"checks", "configuration"},
    "search_journal": set(),
    "commands_compose": {
        "archive", "checks", "commands", "keys", "model_card", "screen", "sound", "tune",
    },
    "commands_look": {
        "archive", "checks", "commands", "model_card", "numpy_network", "picture_parts", "plots",
        "training",
    },
    "commands_demo": {
        "checks", "chorales", "command_line", "commands", "commands_compose", "commands_learn",
        "configuration", "model",
    },
    "__main__": {"command_line"},
    "__init__": {"evaluation", "minibatches", "model", "training", "tune"},
}  # fmt: skip
"""For each module those of the package that it may import."""


def test_dependencies_point_one_way():
    modules = {path.stem: imports_of(path) for path in PACKAGE.glob("*.py")}
    assert modules.keys() == ALLOWED.keys()
    engines = {"pytensor", "theano", "jax", "numba"}
    assert {name for name, (_, outside) in modules.items() if "llvmlite" in outside} == {
        "machine_code",
        "tiles",
        "native",
    }
    for name, (own, outside) in modules.items():
        assert own <= ALLOWED[name], (name, own - ALLOWED[name])
        if name != "backend":
            assert not outside & engines, name
    for path in (PACKAGE.parent / "midi").glob("*.py"):
        own, outside = imports_of(path)
        assert not own and outside & engines == set()


def test_no_automatic_differentiation_in_the_package():
    for path in PACKAGE.glob("*.py"):
        names = {
            node.attr if isinstance(node, ast.Attribute) else getattr(node, "id", "")
            for node in ast.walk(ast.parse(path.read_text(encoding="utf8")))
        }
        assert not names & {"grad", "Lop", "Rop", "value_and_grad", "vjp", "jvp"}, path


def test_the_heart_stays_readable():
    heart = ("gates", "lstm", "network", "costs", "updates")
    lengths = {n: len((PACKAGE / f"{n}.py").read_text("utf8").splitlines()) for n in heart}
    assert sum(lengths.values()) < 600, lengths


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
