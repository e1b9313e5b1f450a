"""The notebooks run from top to bottom, and are stored with complete outputs."""

import json
import re
from pathlib import Path

import pytest

for needed in ("nbclient", "ipykernel"):
    pytest.importorskip(needed, reason=f"notebooks are run by {needed}: pip install {needed}")

import nbformat  # noqa: E402
from nbclient import NotebookClient  # noqa: E402

FOLDER = Path(__file__).resolve().parent.parent / "docs" / "notebooks"

PICTURES = {"first_steps": 3, "inside_the_network": 5}

CHECKS = {
    "first_steps": """
        import numpy as np
        from midi import midiread
        assert min(later.history.validation) < min(history.validation) < history.baseline
        assert later.history.epochs == 20 and len(later.history.cost) == 20 * 72
        assert score.nats_per_step < history.baseline / 2
        written = midiread(FOLDER / "tune.mid", PITCH_RANGE, TIME_STEP).piano_roll
        np.testing.assert_array_equal(written, roll)
        assert roll.sum(axis=1).mean() > 1.5
        assert b"<audio" in (FOLDER / "tune.html").read_bytes()
    """,
    "inside_the_network": """
        assert min(history.validation) < history.baseline / 4
        assert max(errors) < 1e-6 and len(errors) == len(parameters)
        assert all((parameters[k] == array).all() for k, array in model.get_parameters().items())
        assert expected > 0.5 and effects.any() and not effects[step:].any()
        assert returns_after(activations[0]["cell"], 32) > 0.9 > 0 > returns_after(
            activations[0]["cell"], 16
        )
    """,
}
"""Assertions after the last cell that confirm what the texts claim."""


def outputs(notebook):
    return [output for cell in notebook.cells for output in cell.get("outputs", ())]


def n_pictures(notebook):
    return sum("image/png" in output.get("data", {}) for output in outputs(notebook))


@pytest.mark.slow
@pytest.mark.parametrize("name", PICTURES)
def test_notebooks_run_and_confirm_their_texts(name, tmp_path, monkeypatch):
    for variable in ("IPYTHONDIR", "JUPYTER_CONFIG_DIR", "JUPYTER_RUNTIME_DIR"):
        monkeypatch.setenv(variable, str(tmp_path / variable))
    monkeypatch.setenv("PYTHONPATH", str(FOLDER.parent.parent))
    monkeypatch.delenv("MPLBACKEND", raising=False)  # so that the kernel shows pictures
    notebook = nbformat.read(FOLDER / f"{name}.ipynb", as_version=4)
    check = "\n".join(line[8:] for line in CHECKS[name].splitlines())
    notebook.cells.append(nbformat.v4.new_code_cell(check))
    place = {"metadata": {"path": str(tmp_path)}}
    NotebookClient(notebook, timeout=600, kernel_name="python3", resources=place).execute()
    assert n_pictures(notebook) == PICTURES[name]
    printed = "".join(each.get("text", "") for each in outputs(notebook))
    assert "Warning" not in printed and "training: 100%" in printed


@pytest.mark.parametrize("name", PICTURES)
def test_notebooks_are_stored_with_their_outputs(name):
    path = FOLDER / f"{name}.ipynb"
    notebook = nbformat.read(path, as_version=4)
    nbformat.validate(notebook)
    assert path.stat().st_size < 400_000
    cells = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert [cell.execution_count for cell in cells] == list(range(1, len(cells) + 1))
    assert n_pictures(notebook) == PICTURES[name]
    kinds = {output.output_type for output in outputs(notebook)}
    assert kinds <= {"stream", "display_data", "execute_result"}
    assert not re.search(r"/(home|root|work|tmp|Users)/", json.dumps(notebook))


def test_all_notebooks_are_tested():
    assert {path.stem for path in FOLDER.glob("*.ipynb")} == set(PICTURES)
