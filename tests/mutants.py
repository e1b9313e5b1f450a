"""Delete each term of the hand-written backward pass and check that a test fails.

    python tests/mutants.py            test all mutants; takes several minutes
    python tests/mutants.py --list     list the mutants

A mutant is one change in a function of the backward pass: a summand or a factor is removed. Each
mutant is written to a copy of the package, in which the gradient tests run. Survivors are
printed, and the exit status is then 1.
"""

import argparse
import ast
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from tqdm import tqdm

ROOT = Path(__file__).resolve().parent.parent
BACKWARD = {
    "gates": ["sigmoid_slope", "tanh_slope"],
    "lstm": ["lstm_step_backward", "run_steps_backward", "peephole_slopes", "lstm_layer_backward"],
    "linear": ["masked", "matrix_gradient", "recurrent_gradient", "vector_gradient"],
    "network": ["backward"],
    "costs": ["cross_entropy_derivative", "squared_error_derivative"],
}
TESTS = ["tests/test_gradients.py", "-k", "oracle or own_shape"]


class Replace(ast.NodeTransformer):
    """Replace one node by another."""

    def __init__(self, old, new):
        self.old, self.new = old, new

    def visit(self, node):
        return self.new if node is self.old else self.generic_visit(node)


def candidates(tree, names):
    """Yield (function, operation, remaining operand) for each term to delete."""
    for function in ast.walk(tree):
        if isinstance(function, ast.FunctionDef) and function.name in names:
            subscripts = [n.slice for n in ast.walk(function) if isinstance(n, ast.Subscript)]
            indices = {node for subscript in subscripts for node in ast.walk(subscript)}
            for node in ast.walk(function):
                if isinstance(node, ast.BinOp) and node not in indices:
                    for side in ("left", "right"):
                        if ast.dump(node.left) != ast.dump(node.right) or side == "left":
                            yield function.name, node, side


def mutants():
    """Yield (module, description, source) for every mutant."""
    for module, names in BACKWARD.items():
        source = (ROOT / "rnn4music" / f"{module}.py").read_text(encoding="utf8")
        for position in range(len(list(candidates(ast.parse(source), names)))):
            tree = ast.parse(source)
            function, node, side = list(candidates(tree, names))[position]
            remaining = getattr(node, side)
            what = (
                f"{function}, line {node.lineno}: {ast.unparse(node)}  ->  {ast.unparse(remaining)}"
            )
            yield module, what, ast.unparse(Replace(node, remaining).visit(tree))


def survives(module, source):
    """Return whether the gradient tests pass with this source."""
    with tempfile.TemporaryDirectory() as folder:
        for name in ("rnn4music", "midi", "tests"):
            shutil.copytree(ROOT / name, Path(folder, name), ignore=shutil.ignore_patterns("__py*"))
        shutil.copy(ROOT / "pyproject.toml", folder)
        Path(folder, "rnn4music", f"{module}.py").write_text(source, encoding="utf8")
        command = [sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", *TESTS]
        # the plain functions; tests/test_kernels.py compares the kernels with them
        environment = {**os.environ, "PYTHONPATH": folder, "RNN4MUSIC_KERNELS": "0"}
        result = subprocess.run(command, cwd=folder, env=environment, capture_output=True)
        if result.returncode not in (0, 1):
            sys.exit(result.stdout.decode() + result.stderr.decode())
        return result.returncode == 0


def main():
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--list", action="store_true", help="print the mutants, run nothing")
    parser.add_argument(
        "--only", metavar="TEXT", default="", help="use only mutants with TEXT in their description"
    )
    arguments = parser.parse_args()
    everything = [mutant for mutant in mutants() if arguments.only in mutant[1]]
    if arguments.list:
        print(*(what for _, what, _ in everything), sep="\n")
        return
    if not survives("gates", (ROOT / "rnn4music" / "gates.py").read_text(encoding="utf8")):
        sys.exit("the tests fail without any mutation")
    survivors = []
    for module, what, source in tqdm(everything, unit="mutant"):
        if survives(module, source):
            survivors.append(f"{module}: {what}")
    print(f"{len(everything) - len(survivors)} of {len(everything)} mutants were caught")
    if survivors:
        sys.exit("these survived:\n" + "\n".join(survivors))


if __name__ == "__main__":
    main()
