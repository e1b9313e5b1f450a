"""Make each mistake of docs/exercises.md in a copy of the package, and check that its test fails.

    python docs/exercises.py             all of them; takes a few minutes
    python docs/exercises.py 1 "5 a"     only these

The mistakes are read from the page itself: a ``diff`` block gives the change, and the ``pytest``
command under it the test that has to fail. Only the copy is changed.
"""

import argparse
import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parent.parent
PAGE = ROOT / "docs" / "exercises.md"


class Change(NamedTuple):
    """Lines that occur once in a file, and the wrong lines that replace them."""

    file: str
    right: str
    wrong: str


class Exercise(NamedTuple):
    """One mistake: its number and title, the changes, the test that catches it."""

    number: str
    title: str
    changes: list
    test: str


def read(page=PAGE):
    """Return the exercises of the page."""
    exercises = []
    for section in re.split(r"^##+ (?=\d)", page.read_text(encoding="utf8"), flags=re.M)[1:]:
        heading = section.splitlines()[0]
        diffs = re.findall(r"^```diff\n(.*?)^```", section, re.M | re.S)
        tests = re.findall(r"pytest \\\s+(tests/\S+)", section)
        if not diffs:
            continue
        if len(tests) != 1:
            raise ValueError(f"{page}: {heading!r} names {len(tests)} tests instead of one")
        number, _, title = heading.partition(". ")
        exercises.append(Exercise(number, title, [c for d in diffs for c in changes(d)], tests[0]))
    return exercises


def changes(diff):
    """Yield the changes of a diff without line numbers, which ``@@`` separates."""
    file = None
    for piece in re.split(r"^@@.*\n|^(?=--- )", diff, flags=re.M):
        lines = piece.splitlines()
        if lines and lines[0].startswith("--- "):
            file, lines = lines[0][4:], lines[2:]
        if lines and file:
            right = [line[1:] for line in lines if line[:1] != "+"]
            wrong = [line[1:] for line in lines if line[:1] != "-"]
            yield Change(file, "\n".join(right) + "\n", "".join(f"{line}\n" for line in wrong))


def copy_package(folder):
    """Copy the files that the tests need into an empty folder."""
    for name in ("rnn4music", "midi", "tests"):
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__py*"))
    shutil.copy(ROOT / "pyproject.toml", folder)


def apply(exercise, folder):
    """Make the mistake in a copy of the package."""
    for change in exercise.changes:
        path = folder / change.file
        source = path.read_text(encoding="utf8")
        if source.count(change.right) != 1:
            raise ValueError(
                f"exercise {exercise.number}: {change.file} has these lines "
                f"{source.count(change.right)} times instead of once:\n{change.right}"
            )
        path.write_text(source.replace(change.right, change.wrong), encoding="utf8")


def run_test(test, folder):
    """Return the exit status of pytest for one test in a copy, and what it printed."""
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", test]
    # the plain functions: the machine code has its own loops, which these changes do not reach
    environment = {**os.environ, "PYTHONPATH": str(folder), "RNN4MUSIC_KERNELS": "0"}
    result = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)
    return result.returncode, result.stdout + result.stderr


def outcome(exercise):
    """Return whether the mistake makes the test fail by an assertion, and the reasons given."""
    with tempfile.TemporaryDirectory() as folder:
        copy_package(Path(folder))
        apply(exercise, Path(folder))
        status, output = run_test(exercise.test, Path(folder))
    reasons = [line[1:].strip() for line in output.splitlines() if line.startswith("E  ")]
    reasons = [reason for reason in reasons if reason]
    return status == 1 and "AssertionError" in output, reasons[:6] or output.splitlines()[-20:]


def main():
    """Run the requested exercises."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("numbers", nargs="*", metavar="NUMBER", help="such as 1 or '5 a'")
    parser.add_argument("--list", action="store_true", help="print the exercises, run nothing")
    arguments = parser.parse_args()
    everything = read()
    known = [exercise.number for exercise in everything]
    for number in arguments.numbers:
        if number not in known:
            parser.error(f"there is no exercise {number!r}; choose from {', '.join(known)}")
    chosen = [e for e in everything if not arguments.numbers or e.number in arguments.numbers]
    if arguments.list:
        print(*(f"{e.number}. {e.title}: {e.test}" for e in chosen), sep="\n")
        return
    tests = sorted({exercise.test for exercise in chosen})
    with tempfile.TemporaryDirectory() as folder:
        copy_package(Path(folder))
        for test in tests:
            status, output = run_test(test, Path(folder))
            if status != 0:
                sys.exit(f"{test} fails without any mistake:\n{output}")
    print(f"without any mistake all {len(tests)} tests pass")
    unseen = []
    for exercise in chosen:
        red, reasons = outcome(exercise)
        print(f"\n{exercise.number}. {exercise.title}")
        print(f"   {'caught' if red else 'NOT CAUGHT'} by {exercise.test}")
        print(*(f"   | {reason}" for reason in reasons), sep="\n", flush=True)
        if not red:
            unseen.append(exercise.number)
    if unseen:
        sys.exit(f"not caught: {', '.join(unseen)}")


if __name__ == "__main__":
    main()
