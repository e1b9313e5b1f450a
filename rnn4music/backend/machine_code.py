"""Machine code inside PyTensor's graphs, which `xla` compiles.

Graphs are built without JAX, whose import takes long: LLVM compiles their machine code meanwhile.
"""

import collections
import hashlib
import importlib.metadata
import importlib.util
import math
import os
import sys
import threading
from typing import Any

import numpy as np
import pytensor.tensor as symbolic
from pytensor.graph.basic import Apply
from pytensor.graph.op import Op
from pytensor.graph.rewriting.basic import GraphRewriter

from rnn4music._utils import processes


def runs_on_processor():
    """Return whether JAX computes on the processor, not on a GPU.

    JAX is not imported for this if nothing is installed with which it could compute elsewhere.
    """
    others = "JAX_PLATFORMS", "TPU_LIBRARY_PATH", "PJRT_NAMES_AND_LIBRARY_PATHS"
    if not (
        "jax" in sys.modules
        or any(os.environ.get(name, "cpu") != "cpu" for name in others)
        or any(map(importlib.util.find_spec, ("jax_plugins", "libtpu")))
        or importlib.metadata.entry_points(group="jax_plugins")
    ):
        return True
    import jax

    return jax.default_backend() == "cpu"


class MachineCode(Op):
    """A graph node for a machine-code function that XLA calls.

    Parameters
    ----------
    code : object
        `entry` is the address of the function, which takes XLA's call frame. It may be called
        after `result()` has returned. `n_chunks` is the number of parts that threads can share
        with those of other functions, `together` makes one such object of several.
    name : str
        Unique name for what the function computes, in all processes: XLA's programs on the
        disk call it by this name.
    shapes : tuple of tuple of int
        Shapes of the results.
    dtype : str
        Of the inputs and the results.
    in_place : tuple of (int, int)
        Pairs (input, result): the result may overwrite the input's memory if nothing else
        needs it.
    """

    __props__ = ("code", "name", "shapes", "dtype", "in_place")

    def __init__(self, code, name, shapes, dtype, in_place):
        self.code, self.name, self.shapes = code, name, shapes
        self.dtype, self.in_place = dtype, in_place

    def make_node(self, *inputs):
        """See `Op`."""
        for dtype in {given.type.dtype for given in inputs} - {self.dtype}:
            raise TypeError(f"{self.name} takes {self.dtype}, not {dtype}")
        outputs = [symbolic.tensor(dtype=self.dtype, shape=shape) for shape in self.shapes]
        return Apply(self, [symbolic.as_tensor_variable(x) for x in inputs], outputs)

    def perform(self, node, inputs, outputs):
        """See `Op`."""
        raise NotImplementedError("this operation is compiled by JAX only")


LARGEST = 2**21
"""Size of a result in bytes beyond which a function uses all cores well by itself."""
WORTH_A_CORE = 2**16
"""Size of results in bytes that are worth another core: some 15 microseconds of a product."""
_JOINING = threading.Lock()  # so that no two threads make the same code


class Together(GraphRewriter):
    """Makes one node of functions that do not depend on each other, so that cores share them all.

    The level of a node is the greatest number of functions on a path to it. Those of one level do
    not depend on each other.
    """

    def apply(self, fgraph):
        """See `GraphRewriter`."""
        level_of, levels = {}, {}
        for node in fgraph.toposort():
            level = max((level_of.get(each.owner, 0) for each in node.inputs), default=0)
            level_of[node] = level + isinstance(node.op, MachineCode)
            if _can_be_shared(node):
                levels.setdefault((level_of[node], node.op.dtype), []).append(node)
        for nodes in levels.values():
            size = sum(n_bytes(result) for node in nodes for result in node.outputs)
            n_threads = min(processes.n_cores(), size // WORTH_A_CORE)
            if len(nodes) > 1 and n_threads > 1:
                fgraph.replace_all(_joined(nodes, n_threads), import_missing=True)


def _can_be_shared(node):
    if not isinstance(node.op, MachineCode) or not node.op.code.n_chunks:
        return False
    return max(map(n_bytes, node.outputs)) <= LARGEST


def n_bytes(array):
    """Return the size of an expression's array, if its shape is known; else 0."""
    shape: Any = getattr(array.type, "shape", (None,))
    return 0 if None in shape else math.prod(shape) * np.dtype(array.type.dtype).itemsize


def _joined(nodes, n_threads):
    """Return pairs: a result of a node, and the same of the one that replaces them all."""
    nodes = sorted(nodes, key=lambda node: -node.op.code.n_chunks)  # those with the most begin
    uses = collections.Counter(given for node in nodes for given in node.inputs)
    inputs = list(uses)
    arrays, shapes, in_place = [], [], []
    for node in nodes:
        numbers, first = [inputs.index(given) for given in node.inputs], len(shapes)
        shapes += node.op.shapes
        results = range(first, len(shapes))
        arrays.append((*numbers, *(len(inputs) + result for result in results)))
        pairs = ((numbers[given], results[result]) for given, result in node.op.in_place)
        in_place += [pair for pair in pairs if uses[inputs[pair[0]]] == 1]
    old = [result for node in nodes for result in node.outputs]
    codes = tuple(node.op.code for node in nodes)
    others = tuple(arrays), tuple(map(n_bytes, old)), n_threads
    with _JOINING:
        code = nodes[0].op.code.together(codes, *others)
    names = hashlib.sha256(repr([[node.op.name for node in nodes], others]).encode())
    name = f"rnn4music_together_{names.hexdigest()[:16]}"
    op: Any = MachineCode(code, name, tuple(shapes), nodes[0].op.dtype, tuple(in_place))
    return list(zip(old, op(*inputs, return_list=True)))
