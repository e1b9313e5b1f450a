"""The README and the pages under docs: snippets run, links and quotations hold, the site builds."""

import ast
import doctest
import importlib
import importlib.util
import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import scipy.io
from test_model_file import file_of_2015

from midi import midiwrite

ROOT = Path(__file__).resolve().parent.parent
DOCS = ROOT / "docs"
PAGES = sorted(DOCS.rglob("*.md"))
TEXTS = {str(path.relative_to(DOCS)): path.read_text("utf8") for path in PAGES}
ENVIRONMENT = {**os.environ, "PYTHONPATH": str(ROOT), "MPLBACKEND": "Agg"}


def blocks(text, language):
    """Return the fenced blocks of a language."""
    return re.findall(rf"^```{re.escape(language)}\n(.*?)^```", text, re.M | re.S)


def pages_with(language):
    return [name for name, text in TEXTS.items() if blocks(text, language)]


def run(command, folder):
    result = subprocess.run(
        command, cwd=folder, env=ENVIRONMENT, capture_output=True, text=True, timeout=300
    )
    assert result.returncode == 0, result.stdout + result.stderr
    return result.stdout


def script_of(name):
    """Return the module of a script under docs."""
    spec = importlib.util.spec_from_file_location(name, DOCS / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


exercises = script_of("exercises")


# ---- snippets


@pytest.fixture
def folder(tmp_path):
    """Files that the snippets read: music, a standard set, and a file of 2015."""
    (tmp_path / "music").mkdir()
    for k in range(6):
        roll = np.zeros((60 + 10 * k, 88))
        for t in range(0, len(roll), 2):
            roll[t, [30 + t * (k + 1) % 13, 34 + t * (k + 1) % 13]] = 1
        midiwrite(tmp_path / "music" / f"{k}.mid", roll, (21, 109), 0.3)
    cell = np.empty((1, 3), object)
    cell[0] = [np.ones((4, 88))] * 3
    parts = {f"{part}data": cell for part in ("train", "valid", "test")}
    scipy.io.savemat(tmp_path / "JSB_Chorales.mat", parts)
    np.savez(tmp_path / "old.npz", **file_of_2015(np.random.default_rng(0), (3, 5, 4)))
    return tmp_path


@pytest.mark.slow
@pytest.mark.parametrize("page", pages_with("python"))
def test_the_snippets_of_a_page_run(page, folder):
    script = "\n".join(blocks(TEXTS[page], "python"))
    if page == "from_2015.md":
        script = script.replace("120", "12")  # fewer units, to save time
    (folder / "script.py").write_text(script, encoding="utf8")
    out = run([sys.executable, folder / "script.py"], folder)
    if page == "from_2015.md":
        assert re.search(r"composed \d+\.0 notes\n", out) and "best validation" in out
        assert out.endswith("RNN4Music(h1_length=3, h2_length=5, h3_length=4, io_length=7, "
                            "dtype='float32', updates=2)\n")  # fmt: skip
        assert (folder / "weights.npz").exists() and (folder / "tune.mid").exists()


@pytest.mark.parametrize(
    "network, quantities",
    [("one_step", "Y h o c i f g a_o a_g a_f a_i c_previous"), ("one_chord", "Y L U s a c C V h")],
)
def test_the_tutorial_asks_the_judge_about_every_quantity(network, quantities):
    asking = [b for b in blocks(TEXTS["tutorial.md"], "python") if f"judge({network}, " in b]
    for name in quantities.split():
        named = f'judge({network}, "{name}")', f'("{name}", d_'
        assert any(text in block for text in named for block in asking), name


# ---- links

TOP_PAGES = [ROOT / name for name in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md")]


def prose(text):
    """Return the text without fenced blocks and code in backticks."""
    return re.sub(r"`[^`\n]+`", "", re.sub(r"^```.*?^```", "", text, flags=re.M | re.S))


def links(page):
    """Yield (target, anchor) of each link of a page into the repository."""
    for link in re.findall(r"\]\(([^)\s]+)\)", prose(page.read_text("utf8"))):
        if not re.match(r"\w+:", link):
            target, _, anchor = link.partition("#")
            yield (page.parent / target).resolve() if target else page, anchor


def anchors(page):
    """Return the anchors that GitHub and MyST give to the headings of a page."""
    text = re.sub(r"^```.*?^```", "", page.read_text("utf8"), flags=re.M | re.S)
    titles = re.findall(r"^#{1,3} (.*)", text, re.M)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


@pytest.mark.parametrize("page", [*TOP_PAGES, *PAGES], ids=lambda page: page.name)
def test_links_lead_to_a_file_and_a_heading(page):
    for target, anchor in links(page):
        assert target.exists(), f"{page.name} links to {target}, which does not exist"
        assert target.is_relative_to(ROOT), target
        if anchor:
            assert anchor in anchors(target), f"{page.name}: {target.name} has no heading #{anchor}"


def test_each_page_is_linked_from_the_index():
    index = DOCS / "index.md"
    reached, new = set(), {index}
    while new:
        reached |= new
        new = {
            target for page in new if page.suffix == ".md" for target, _ in links(page)
        } - reached
    pages = {*PAGES, *(DOCS / "notebooks").glob("*.ipynb"), DOCS / "api" / "index.rst"}
    assert not pages - reached


def test_the_readme_is_short_and_links_to_each_page():
    assert len((ROOT / "README.md").read_text("utf8").splitlines()) < 200
    linked = {target for target, _ in links(ROOT / "README.md")}
    assert {page for page in PAGES if page.parent == DOCS} <= linked


# ---- quotations


def quotations():
    """Yield (page, file, quoted lines) for each block whose caption is a file."""
    for page, text in TEXTS.items():
        for block in blocks(text, "{code-block} python"):
            file, *lines = block.splitlines()
            assert file.startswith(":caption: "), (page, file)
            yield page, file.removeprefix(":caption: "), lines


def test_what_is_quoted_stands_in_the_source():
    found = list(quotations())
    assert len(found) > 25
    for page, file, lines in found:
        source = (ROOT / file).read_text("utf8")
        quoted = "\n".join(lines).strip("\n")
        assert f"\n{quoted}\n" in source, f"{page}: {file} has no such lines:\n{quoted}"


@pytest.mark.parametrize(
    "file, name", [("lstm.py", "lstm_step_backward"), ("chords.py", "chord_output_backward")]
)
def test_the_tutorial_quotes_all_of_a_backward_function(file, name):
    """Check that it derives each line, and shows the whole function once."""
    source = (ROOT / "rnn4music" / file).read_text("utf8")
    tree = ast.parse(source)
    function = next(n for n in tree.body if getattr(n, "name", "") == name)
    body = source.splitlines()[function.body[1].lineno - 1 : function.end_lineno]
    quoted = [lines for _, quoted, lines in quotations() if quoted == f"rnn4music/{file}"]
    assert sum(lines == ["", *body] for lines in quoted) == 1
    singly = {line for lines in quoted if len(lines) < 5 for line in lines}
    for line in body:
        assert line in singly or "#" not in line, line


def test_what_the_midi_command_prints_is_what_the_page_shows(tmp_path):
    shown = blocks(TEXTS["your_music.md"], "text")[1].replace("docs/tune.mid", "tune.mid")
    shutil.copy(DOCS / "tune.mid", tmp_path)
    command = [sys.executable, "-m", "midi", "tune.mid", "--picture", "tune.png"]
    assert run(command, tmp_path) == shown


def test_names_of_tests_that_the_pages_mention_exist():
    names = {path.stem for path in (ROOT / "tests").rglob("test_*.py")}
    for path in (ROOT / "tests").rglob("test_*.py"):
        names |= set(re.findall(r"^def (test_\w+)", path.read_text("utf8"), re.M))
    for page, text in TEXTS.items():
        for name, rest in re.findall(r"\b(test_\w+)(…?)", text):
            known = name in names or (rest and any(each.startswith(name) for each in names))
            assert known, f"{page} mentions {name}{rest}, which does not exist"


# ---- exercises


@pytest.mark.parametrize("exercise", exercises.read(), ids=lambda exercise: exercise.number)
def test_an_exercise_changes_lines_that_are_there_and_names_a_test_that_exists(exercise):
    """Check this alone; ``python docs/exercises.py`` proves that the test turns red."""
    assert exercise.changes
    for change in exercise.changes:
        source = (ROOT / change.file).read_text("utf8")
        assert source.count(change.right) == 1, f"{change.file}:\n{change.right}"
        broken = source.replace(change.right, change.wrong)
        assert ast.dump(ast.parse(broken)) != ast.dump(ast.parse(source))
    file, name = exercise.test.split("::")
    assert f"\ndef {name}(" in (ROOT / file).read_text("utf8")


def test_each_of_the_eight_defects_has_an_exercise_and_the_masks_too():
    numbers = [exercise.number for exercise in exercises.read()]
    assert {number.split()[0] for number in numbers} == set("123456789")
    assert len(set(numbers)) == len(numbers) == TEXTS["exercises.md"].count("```diff")
    answers = TEXTS["exercises.md"].count("<summary>Answer</summary>")
    assert answers == TEXTS["exercises.md"].count("**Question.**") == 9


# ---- commands


def commands():
    """Return (page, command) for each line of all shell blocks."""
    found = []
    for page, text in TEXTS.items():
        for block in blocks(text, "sh"):
            lines = block.replace("\\\n", " ").splitlines()
            found += [(page, part.strip()) for line in lines for part in line.split("&&")]
    return [(page, command) for page, command in found if command]


@pytest.mark.parametrize("command", sorted({command for _, command in commands()}))
def test_a_command_of_the_pages_is_understood(command):
    words = shlex.split(command, comments=True)
    while "=" in words[0]:
        words = words[1:]
    program, *words = words
    program = Path(program).name
    if program == "rnn4music":
        program, words = "python", ["-m", "rnn4music", *words]
    assert program in ("python", "python3"), f"this test does not handle the command: {command}"
    if words[:3] == ["-m", "pip", "install"]:
        named = {e for word in words for m in re.findall(r"\[(.*?)\]", word) for e in m.split(",")}
        for extra in named:
            assert re.search(rf"^{extra} = \[", (ROOT / "pyproject.toml").read_text("utf8"), re.M)
    elif words[:2] == ["-m", "pytest"]:
        for word in words[2:]:
            file, _, name = word.partition("::")
            assert (ROOT / file).exists() and f"def {name}(" in (ROOT / file).read_text("utf8")
    elif words[:2] != ["-m", "venv"]:
        described = run([sys.executable, *words, "--help"], ROOT)
        for option in (word.split("=")[0] for word in words if word.startswith("--")):
            assert option in described, option


# ---- docstrings, figures, site


def documented():
    """Return the modules whose docstrings are in the reference."""
    pages = "\n".join(path.read_text("utf8") for path in (DOCS / "api").rglob("*.rst"))
    return sorted({"rnn4music", *re.findall(r"automodule:: (\S+)", pages)})


@pytest.mark.parametrize("name", documented())
def test_the_doctests_of_a_module_pass(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert doctest.testmod(importlib.import_module(name)).failed == 0


def public_names():
    """Yield each package with a list of public names, and the module of each name."""
    for path in sorted((ROOT / "rnn4music").glob("*/__init__.py")):
        calls = [n for n in ast.walk(ast.parse(path.read_text("utf8"))) if isinstance(n, ast.Call)]
        for call in calls:
            if ast.unparse(call.func) == "lazy_names":
                yield path.parent.name, ast.literal_eval(call.args[1])


def test_each_package_has_a_page_with_its_public_names():
    packages = dict(public_names())
    assert packages.keys() >= {"data", "training", "evaluation", "plots", "render"}
    for package, names in packages.items():
        page = (DOCS / "api" / f"{package}.rst").read_text("utf8")
        assert set(re.findall(r"auto(?:function|class|exception):: (\w+)", page)) == names.keys()


def test_public_names_are_there_and_none_is_that_of_a_module():
    """Check for clashes: a package attribute would be whichever was imported last."""
    for package, names in public_names():
        module = importlib.import_module(f"rnn4music.{package}")
        for name, home in names.items():
            assert getattr(module, name).__module__ == f"rnn4music.{package}.{home}"
            assert importlib.util.find_spec(f"rnn4music.{package}.{name}") is None, name


def test_the_names_of_the_package_itself_are_in_the_reference():
    import rnn4music

    page = (DOCS / "api" / "model.rst").read_text("utf8")
    for name in rnn4music.__all__:
        assert re.search(rf":: {name}$|[.]{name}`", page, re.M), name


QUICK = ("step", "unrolled", "judges", "through_time", "masks")


@pytest.mark.slow
def test_the_figures_are_drawn_by_the_script(tmp_path):
    run([sys.executable, DOCS / "figures.py", *QUICK, "--output", tmp_path], tmp_path)
    drawn = {path.name for path in tmp_path.iterdir()}
    kept = {path.name for path in (DOCS / "figures").iterdir()}
    assert drawn == {f"{name}.svg" for name in QUICK} and kept == {*drawn, "mistakes.svg"}
    for name in drawn:
        texts = [set(re.findall("<!-- (.*?) -->", (folder / name).read_text("utf8")))
                 for folder in (tmp_path, DOCS / "figures")]  # fmt: skip
        assert texts[0] == texts[1] and len(texts[0]) > 3, name
    text = "".join(TEXTS.values())
    for name in kept:
        assert f"](figures/{name})" in text, name


@pytest.mark.slow
def test_the_site_builds_without_a_warning_and_loads_nothing_from_elsewhere(tmp_path):
    for package in ("sphinx", "myst_nb", "numpydoc", "furo"):
        pytest.importorskip(package, reason=f"{package} is not installed: extra docs")
    command = [sys.executable, "-m", "sphinx", "-q", "-W", "--keep-going", "-n", "-b", "html"]
    run([*command, "-d", tmp_path / "doctrees", DOCS, tmp_path / "site"], ROOT)
    pages = {path.relative_to(tmp_path / "site"): path for path in tmp_path.rglob("*.html")}
    assert len(pages) > 12
    for name, path in pages.items():
        html = path.read_text("utf8")
        loaded = re.findall(
            r"<(?:script|img|link|iframe|source)\b[^>]*?(?:src|href)=\"([^\"]*)", html
        )
        assert loaded and not [url for url in loaded if re.match(r"(\w+:)?//", url)], name
        assert not re.search(r"@import|url\((['\"]?)(https?:)?//", html), name
    assert "worker-src blob:" in pages[Path("live.html")].read_text("utf8")
    for name in ("index", "music"):
        html = pages[Path(f"{name}.html")].read_text("utf8")
        played = re.findall(r'<(?:audio|iframe)[^>]* src="(.*?)"', html)
        assert played and all((tmp_path / "site" / file).stat().st_size > 1e5 for file in played)
    tutorial = pages[Path("tutorial.html")].read_text("utf8")
    assert "c_t = f_t ⊙ c_{t−1} + i_t ⊙ g_t" in tutorial
    heart = pages[Path("api/heart.html")].read_text("utf8")
    equations = re.search(r"<pre>.*?\(1\)\n.*?\(6\)\n", heart, re.S)
    assert equations and "lstm_step_backward" in heart
