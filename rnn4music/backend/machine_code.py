"""Machine code inside PyTensor's graphs, which `xla` compiles.

Graphs are built without JAX, whose import takes long: LLVM compiles their machine code meanwhile.
"""

import importlib.metadata
import importlib.util
import os
import sys

import pytensor.tensor as symbolic
from pytensor.graph.basic import Apply
from pytensor.graph.op import Op


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
        after `result()` has returned.
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
