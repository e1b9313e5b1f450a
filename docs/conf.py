"""Sphinx configuration of the documentation.

    python -m sphinx -W -n -b html docs build/docs

Warnings are errors, including links to missing pages or headings. A name in backticks in a
docstring that has no page is rendered as text, without a warning.
"""

import logging
import re
import shutil
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import rnn4music
from rnn4music.cli import main

logging.getLogger("pytensor").setLevel(logging.WARNING)  # logs each setting it reads

project = "rnn4music"
author = "the rnn4music developers"
copyright = author
version = release = rnn4music.__version__

extensions = ["myst_nb", "numpydoc", "sphinx.ext.autodoc", "sphinx.ext.autosummary"]
exclude_patterns = ["**/.ipynb_checkpoints"]

# Notebooks are stored with their output; the tests run them.
nb_execution_mode = "off"
myst_enable_extensions = []  # equations are Unicode text, not dollar-sign mathematics
myst_heading_anchors = 3

# A name in backticks in a docstring is a link if it has a page, and text otherwise.
autosummary_generate = False
default_role = "autolink"
nitpick_ignore_regex = [("py:obj", ".*")]
autodoc_default_options = {"members": True, "member-order": "bysource"}
autodoc_typehints = "none"
numpydoc_show_class_members = False
numpydoc_class_members_toctree = False

html_theme = "furo"
html_title = "rnn4music"
html_show_sphinx = False
html_static_path = ["static"]
html_css_files = ["site.css"]
# Pages load nothing from other sites: no fonts, no scripts, no MathJax.
html_theme_options = {"footer_icons": []}


def keep_equations(app, what, name, obj, options, lines):
    """Show indented parts of a module's docstring, mostly equations, verbatim."""
    if what != "module":
        return
    for k in reversed(range(2, len(lines))):
        before, gap, line = lines[k - 2], lines[k - 1], lines[k]
        indents = line.startswith("    ") and not gap and before[:1] not in ("", " ", ".")
        if indents and not before.endswith("::"):
            lines[k:k] = ["::", ""]


def leave_out_aliases(app, what, name, obj, skip, options):
    """Omit the fields of named tuples, which the signature already lists."""
    return skip or (getattr(obj, "__doc__", None) or "").startswith("Alias for field number")


# The site has what GitHub cannot show: the page that composes in place of its picture, and players
# in place of the links to MIDI files that are paragraphs. Both are made when the site is built.
COMPOSER = ["--title", "A network composes chorales", "--licence", ""]
PICTURE = re.compile(r"^!\[([^]\n]+)\]\(live\.png\)$", re.MULTILINE)
FRAME = r"""<figure class="player"><iframe src="live.html" title="\1" loading="lazy"></iframe>
<figcaption><a href="live.html">The page by itself</a></figcaption></figure>"""
TUNE = re.compile(r"^\[([^]\n]+)\]\((\w+)\.mid\)$", re.MULTILINE)
PLAYER = r"""<figure class="player"><figcaption>\1 (<a href="\2.mid" download>MIDI</a>)</figcaption>
<audio controls preload="metadata" src="\2.mp3" aria-label="\1"></audio></figure>"""


def embed(app, page, source):
    """Replace pictures and links in the text of a page."""
    source[0] = PICTURE.sub(FRAME, TUNE.sub(PLAYER, source[0]))


def write_music(app, exception):
    """Write the page that composes, the tunes, and their sounds."""
    if exception or app.builder.name != "html":
        return
    docs, site = Path(app.srcdir), Path(app.outdir)
    commands = [["page", str(docs / "bach.npz"), "-o", str(site / "live.html"), *COMPOSER]]
    for tune in docs.glob("*.mid"):
        shutil.copy(tune, site)
        commands.append(["render", str(tune), "-o", str(site / f"{tune.stem}.mp3")])
    for command in commands:
        if main(command):
            raise RuntimeError(f"this command failed: rnn4music {' '.join(command)}")


def setup(app):
    """Connect the functions to Sphinx's events."""
    app.connect("autodoc-process-docstring", keep_equations)
    app.connect("autodoc-skip-member", leave_out_aliases)
    app.connect("source-read", embed)
    app.connect("build-finished", write_music)
