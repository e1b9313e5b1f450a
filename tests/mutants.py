"""Change the package in one place at a time and check that a test fails.

    python tests/mutants.py                        the backward pass: each term is deleted
    python tests/mutants.py data/keys.py cli       other modules and folders: 20 mutants of each
    python tests/mutants.py data/keys.py --list    list the mutants, run nothing

Without MODULE, a mutant lacks one summand or factor of a function of the backward pass, and the
gradient tests run. With MODULE, a mutant has a negated condition, another comparison or operator,
a number that is one more or less, or it lacks a statement, a call or a keyword argument; the test
files that mention the module's names most run, or those given with --tests. Paths are relative
to `rnn4music/`, or begin with `midi/`. Each mutant runs in a copy of the repository. Survivors are
printed, and the exit status is then 1. A survivor that computes the same belongs in `EQUIVALENT`.
"""

import argparse
import ast
import collections
import os
import random
import re
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from tqdm import tqdm

ROOT = Path(__file__).resolve().parent.parent
BACKWARD = {
    "gates.py": ["sigmoid_slope", "tanh_slope"],
    "lstm.py": [
        "lstm_step_backward",
        "run_steps_backward",
        "peephole_slopes",
        "lstm_layer_backward",
    ],
    "linear.py": ["masked", "matrix_gradient", "recurrent_gradient", "vector_gradient"],
    "network.py": ["backward"],
    "chords.py": [
        "lower_pitches",
        "read_pitches",
        "higher_pitches",
        "chord_output",
        "chord_output_backward",
    ],
    "costs.py": ["cross_entropy_derivative", "squared_error_derivative"],
}
GRADIENTS = ["tests/test_gradients.py", "-k", "oracle or own_shape"]
SWAPPED = {
    ast.Lt: "<=", ast.LtE: "<", ast.Gt: ">=", ast.GtE: ">", ast.Eq: "!=", ast.NotEq: "==",
    ast.In: "not in", ast.NotIn: "in", ast.Is: "is not", ast.IsNot: "is",
    ast.Add: "-", ast.Sub: "+", ast.Mult: "/", ast.Div: "*", ast.FloorDiv: "/", ast.Mod: "*",
}  # fmt: skip
CONVERSIONS = ("bool", "float", "int", "list", "str", "tuple")  # a result equal to their argument
EQUIVALENT: dict[str, str] = {
    # "module: line: old  ->  new": the reason why no test can tell them apart
    "data/keys.py: return (_GOALS[key.mode] - key.tonic + 6) % 12 - 6: _GOALS[key.mode] - key.tonic"
    " + 6  ->  ((_GOALS[key.mode] - key.tonic) - (6))": "the same modulo 12",
    "data/duplicates.py: _, group = connected_components(graph, directed=False): False  ->  True": (
        "the components of a directed graph are the weakly connected ones"
    ),
    "tuning/trials.py: return self.n_trials - len(study.get_trials(deepcopy=False, states=FINISHED"
    ")): False  ->  True": "a copy has the same length",
    "midi/contents.py: if lowest is None or highest is None:: lowest is None or highest is None"
    "  ->  ((lowest is None) and (highest is None))": "both are None, or neither is",
    "midi/exclusive.py: return reset, 0: 0  ->  (1)": "a reset has no channel",
    "midi/reading.py: _SLOWEST, _FASTEST = Fraction(1, 1000), Fraction(10**9): Fraction(10 ** 9)"
    "  ->  (10 ** 9)": "equal in comparisons",
}


def deleted_terms(tree, names):
    """Yield (node, text in its place) for each summand and factor in functions of these names."""
    for function in ast.walk(tree):
        if not isinstance(function, ast.FunctionDef) or function.name not in names:
            continue
        subscripts = [n.slice for n in ast.walk(function) if isinstance(n, ast.Subscript)]
        indices = {node for subscript in subscripts for node in ast.walk(subscript)}
        for node in ast.walk(function):
            if isinstance(node, ast.BinOp) and node not in indices:
                yield node, ast.unparse(node.left)
                if ast.dump(node.left) != ast.dump(node.right):
                    yield node, ast.unparse(node.right)


def changes(tree):
    """Yield (node, text in its place) for each change outside messages, imports and types."""
    pending: list[ast.AST] = [tree]
    while pending:
        node = pending.pop()
        children = list(ast.iter_child_nodes(node))
        if isinstance(node, (ast.Raise, ast.JoinedStr, ast.AnnAssign, ast.Import, ast.ImportFrom)):
            continue
        if isinstance(node, ast.arg):  # its annotation
            continue
        if isinstance(node, ast.FunctionDef) and node.returns:
            children.remove(node.returns)
        pending += children
        text = ast.unparse(node)
        if isinstance(node, (ast.If, ast.IfExp, ast.While)):
            yield node.test, f"not ({ast.unparse(node.test)})"
        elif isinstance(node, ast.comprehension):
            yield from ((each, "True") for each in node.ifs)
        elif isinstance(node, ast.Compare) and len(node.ops) == 1:
            left, right = ast.unparse(node.left), ast.unparse(node.comparators[0])
            yield node, f"({left} {SWAPPED[type(node.ops[0])]} {right})"
        elif isinstance(node, ast.BoolOp):
            word = " or " if isinstance(node.op, ast.And) else " and "
            yield node, f"({word.join(f'({ast.unparse(value)})' for value in node.values)})"
        elif isinstance(node, ast.BinOp) and type(node.op) in SWAPPED:
            left, right = ast.unparse(node.left), ast.unparse(node.right)
            yield node, f"(({left}) {SWAPPED[type(node.op)]} ({right}))"
        elif isinstance(node, ast.Constant) and isinstance(node.value, bool):
            yield node, str(not node.value)
        elif isinstance(node, ast.Constant) and isinstance(node.value, (int, float)):
            others = node.value + 1, node.value - 1
            yield from ((node, f"({each!r})") for each in others if each != node.value)
        elif isinstance(node, (ast.AugAssign, ast.Delete)):
            yield node, "pass"
        elif isinstance(node, ast.Expr) and not isinstance(node.value, (ast.Constant, ast.Yield)):
            yield node, "pass"
        elif isinstance(node, ast.Call):
            name = getattr(node.func, "id", "int")
            if len(node.args) == 1 and not node.keywords and name not in CONVERSIONS:
                yield node, f"({ast.unparse(node.args[0])})"
            for keyword in node.keywords:
                if keyword.arg not in (None, "stacklevel", "help"):
                    rest = [each for each in node.keywords if each is not keyword]
                    yield node, ast.unparse(ast.Call(node.func, node.args, rest))
        elif isinstance(node, ast.UnaryOp) and isinstance(node.op, (ast.Not, ast.USub)):
            yield node, text.removeprefix("not ").removeprefix("-")


def mutated(source, node, text):
    """Return the source with a text in the place of a node; columns count bytes."""
    lines = source.encode("utf8").splitlines(keepends=True)
    first, last = node.lineno - 1, node.end_lineno - 1
    end = lines[last][node.end_col_offset :]
    lines[first : last + 1] = [lines[first][: node.col_offset] + text.encode("utf8") + end]
    return b"".join(lines).decode("utf8")


def mutants(module, names=()):
    """Yield (description, source) for every mutant of a module that is Python."""
    source = source_of(module).read_text("utf8")
    tree = ast.parse(source)
    for node, text in deleted_terms(tree, names) if names else changes(tree):
        line = source.splitlines()[node.lineno - 1].strip()
        what = f"{module}: {line}: {ast.unparse(node).splitlines()[0]}  ->  {text.splitlines()[0]}"
        changed = mutated(source, node, text)
        try:
            ast.parse(changed)
        except SyntaxError:  # for example inside an f-string of Python 3.10
            continue
        yield f"line {node.lineno} of {what}", changed


def source_of(module, root=ROOT):
    return Path(root, module if module.startswith("midi/") else f"rnn4music/{module}")


def expanded(path):
    """Return the modules at this path: itself, or those in the folder."""
    found = source_of(path)
    files = sorted(found.rglob("*.py")) if found.is_dir() else [found]
    names = [file.relative_to(ROOT).as_posix().removeprefix("rnn4music/") for file in files]
    return [name for name in names if source_of(name).stat().st_size]


def tests_of(module, n_files):
    """Return the test files that mention a module's name and its public names most often."""
    body = ast.parse(source_of(module).read_text("utf8")).body
    public = [d.name for d in body if isinstance(d, (ast.FunctionDef, ast.ClassDef))]
    words = {Path(module).stem, *(name for name in public if not name.startswith("_"))}
    texts = {}
    for path in sorted(Path(ROOT, "tests").rglob("test_*.py")):
        counts = collections.Counter(re.findall(r"\w+", path.read_text("utf8")))
        texts[path.relative_to(ROOT).as_posix()] = counts
    path = Path(module)
    own = {f"test_{path.stem}": 99, f"test_{path.parent.name}": 9}
    score = {name: float(own.get(Path(name).stem, 0)) for name in texts}
    for word in words:
        total = sum(text[word] for text in texts.values())
        for name, text in texts.items():
            score[name] += text[word] / max(total, 1)
    return [name for name in sorted(texts, key=score.__getitem__)[::-1][:n_files] if score[name]]


class Copy:
    """A copy of the repository whose modules can be replaced."""

    def __init__(self, folder):
        self.folder, self.left_out = folder, []
        ignored = shutil.ignore_patterns(".*", "__pycache__", "*.egg-info", "build")
        shutil.copytree(ROOT, folder, ignore=ignored, dirs_exist_ok=True)

    def seconds_of(self, tests, kernels):
        """Return how long these tests take without a mutation; end if they fail."""
        start = time.monotonic()
        if not self.passes(tests, kernels, stop=False):
            self.leave_out_failures(tests)
            start = time.monotonic()
            if not self.passes(tests, kernels):
                sys.exit(f"{' '.join(tests)} fail without any mutation:\n{self.output}")
        return time.monotonic() - start

    def leave_out_failures(self, tests):
        """Deselect the tests that failed in the last run, and name them."""
        found = re.findall(r"^FAILED (.*?)(?: - .*)?$", self.output, re.M)
        print(f"{' '.join(tests)}: left out, since they fail without any mutation:", *found)
        self.left_out += [f"--deselect={name}" for name in found]

    def passes(self, tests, kernels, timeout=None, stop=True):
        """Return whether these tests pass; False also when they take longer than `timeout` s."""
        command = [sys.executable, "-m", "pytest", "-qp", "no:cacheprovider", "-x" * stop, *tests]
        command = [*filter(None, command), *self.left_out]
        environment = {
            **os.environ,
            "PYTHONPATH": self.folder,
            "PYTHONDONTWRITEBYTECODE": "1",
            "RNN4MUSIC_CODE_CACHE": f"{self.folder}/.compiled",
            # the plain functions; tests/test_kernels.py compares the kernels with them
            **({} if kernels else {"RNN4MUSIC_KERNELS": "0"}),
        }
        options = dict(cwd=self.folder, env=environment, stderr=subprocess.STDOUT)
        with subprocess.Popen(command, stdout=subprocess.PIPE, **options) as process:
            try:
                self.output = process.communicate(timeout=timeout)[0].decode(errors="replace")
            except subprocess.TimeoutExpired:
                process.kill()
                return False
        return process.returncode in (0, 5)  # 5: every test of the files is slow

    def survives(self, module, source, tests, kernels, timeout):
        path = source_of(module, self.folder)
        original = path.read_bytes()
        path.write_text(source, "utf8")
        try:
            return self.passes(tests, kernels, timeout)
        finally:
            path.write_bytes(original)


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("module", nargs="*", help="file or folder; without any, the backward pass")
    parser.add_argument(
        "--sample", type=int, default=20, help="mutants for each module (%(default)s)"
    )
    parser.add_argument("--seed", type=int, default=0, help="which mutants are drawn (%(default)s)")
    parser.add_argument("--tests", nargs="+", help="what pytest runs instead")
    parser.add_argument(
        "--files", type=int, default=2, help="test files for a module (%(default)s)"
    )
    parser.add_argument("--list", action="store_true", help="print the mutants, run nothing")
    parser.add_argument(
        "--only", metavar="TEXT", default="", help="use only mutants with TEXT in their description"
    )
    arguments = parser.parse_args()
    plan = {}
    for path in arguments.module:
        for module in expanded(path):
            chosen = [each for each in mutants(module) if arguments.only in each[0]]
            size = min(arguments.sample, len(chosen))
            chosen = random.Random(f"{arguments.seed} {module}").sample(chosen, size)
            chosen = [each for each in chosen if each[0].split(" of ", 1)[1] not in EQUIVALENT]
            if chosen:
                plan[module] = chosen, arguments.tests or tests_of(module, arguments.files)
    for module, names in {} if arguments.module else BACKWARD.items():
        chosen = [each for each in mutants(module, names) if arguments.only in each[0]]
        plan[module] = chosen, GRADIENTS
    if arguments.list:
        print(*(what for chosen, _ in plan.values() for what, _ in chosen), sep="\n")
        return
    kernels, survivors, n_mutants, seconds = bool(arguments.module), [], 0, {}
    with tempfile.TemporaryDirectory() as folder:
        copy = Copy(folder)
        for module, (chosen, tests) in plan.items():
            options = arguments.tests or not arguments.module  # of pytest
            parts = [" ".join(tests)] if options else tests
            for part in {*parts} - {*seconds}:
                seconds[part] = copy.seconds_of(tests if options else [part], kernels)
            limit = 30 + 4 * sum(seconds[part] for part in parts)
            alive = [
                what
                for what, source in tqdm(chosen, module, unit="mutant")
                if copy.survives(module, source, tests, kernels, limit)
            ]
            print(f"{module}: {len(chosen) - len(alive)} of {len(chosen)}, {' '.join(tests)}")
            print(*alive, sep="\n", end="\n" * bool(alive), flush=True)
            survivors += alive
            n_mutants += len(chosen)
    print(f"{n_mutants - len(survivors)} of {n_mutants} mutants were caught")
    sys.exit(bool(survivors))


if __name__ == "__main__":
    main()
