"""The sentences of README and docs that promise something, and the tests that show each.

``promises.txt`` has a line for each: words of the sentence, an arrow, and the names of tests, or
`explains` where the sentence promises nothing about the program. A sentence with one of `WORDS`
needs a line: write a test for it, or weaken or delete the sentence. Not read are the tutorial and
its exercises, which argue, and sentences that begin with a number, which are results.
"""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
PAGES = [page for page in PAGES if page.name not in ("tutorial.md", "exercises.md")]
WORDS = re.compile(
    r"\b(never|nothing|always|every|unchanged|bit for bit|refuse[sd]?|last (bit|digit)|power cuts?"
    r"|(?-i:No) (command|file|content)|no call)\b",
    re.IGNORECASE,
)
EXPLAINS = "explains"


def sentences(text):
    """Return the sentences, items and cells of a page in Markdown, without its programs."""
    text = re.sub(r"^```.*?^```", "", text, flags=re.DOTALL | re.MULTILINE)
    blocks = re.split(r"\n\s*\n|\n(?=\s*[-*#|])|\|", text)
    blocks = [" ".join(block.split()) for block in blocks]
    return [part for block in blocks for part in re.split(r"(?<=[.:;!?]) (?=[A-Z`\[*(])", block)]


def promising(text):
    return [each for each in sentences(text) if WORDS.search(each) and not each[:1].isdigit()]


def entries():
    """Return the tests of each fragment in the list: dict of str to list of str."""
    lines = (ROOT / "tests" / "promises.txt").read_text("utf8").splitlines()
    pairs = [line.split(" → ") for line in lines if line and not line.startswith("#")]
    assert all(len(pair) == 2 for pair in pairs)
    found = {fragment: tests.split(", ") for fragment, tests in pairs}
    assert len(found) == len(pairs)
    return found


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_promise_has_a_test(page):
    missing = [
        sentence
        for sentence in promising(page.read_text("utf8"))
        if not any(fragment in sentence for fragment in entries())
    ]
    assert not missing, "add these to tests/promises.txt, or weaken them"


def test_every_entry_is_needed_and_its_tests_exist():
    promises = [each for page in PAGES for each in promising(page.read_text("utf8"))]
    unused = [each for each in entries() if not any(each in promise for promise in promises)]
    assert not unused, "no page says this any more"
    sources = "\n".join(path.read_text("utf8") for path in (ROOT / "tests").rglob("test_*.py"))
    names = {EXPLAINS, *re.findall(r"def (test_\w+)\(", sources)}
    unknown = {test for tests in entries().values() for test in tests} - names
    assert not unknown, "there are no such tests"


def test_promises_are_found_in_sentences_items_and_cells():
    page = "A b. It is\nnever lost.\n\n- Nothing is: ok\n- c\n\n| x | bit for bit |\n"
    page += "\n```\nnever\n```\n"
    assert promising(page) == ["It is never lost.", "- Nothing is: ok", "bit for bit"]
    assert promising("7 were refused") == []
