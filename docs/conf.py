"""Sphinx configuration of the documentation.

    python -m sphinx -W -n -b html docs build/docs

Warnings are errors, including links to missing pages or headings. A name in backticks in a
docstring that has no page is rendered as text, without a warning.
"""

import logging
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import rnn4music

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


def setup(app):
    """Connect the two functions to Sphinx's events."""
    app.connect("autodoc-process-docstring", keep_equations)
    app.connect("autodoc-skip-member", leave_out_aliases)
