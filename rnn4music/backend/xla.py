"""PyTensor on JAX: compilation modes, precision, and machine code inside graphs."""

import contextlib
import ctypes
import importlib
import threading
import warnings
from typing import Any

import jax
from jax.sharding import NamedSharding
from pytensor.compile.mode import Mode, get_mode
from pytensor.graph.basic import Apply
from pytensor.graph.op import Op
from pytensor.graph.rewriting.basic import MergeOptimizer, SequentialGraphRewriter
from pytensor.graph.traversal import applys_between
from pytensor.scan.op import Scan

from rnn4music._utils import code_cache, processes
from rnn4music._utils.lazy import loaded_on_use, paused_collector
from rnn4music.backend.devices import TUNES, Spec, placed
from rnn4music.backend.engine import fork
from rnn4music.backend.machine_code import MachineCode, Together, n_bytes, runs_on_processor

# Its first import sets JAX's global precision from PyTensor's floatX: restore it afterwards.
_before = jax.config.jax_enable_x64  # pyright: ignore[reportAttributeAccessIssue]
with loaded_on_use("jax.experimental.sparse"):  # its dispatch of sparse matrices, which takes long
    from pytensor.link.jax.dispatch.basic import jax_funcify
from pytensor.link.jax.linker import JAXLinker  # noqa: E402

jax.config.update("jax_enable_x64", _before)

_jax_cache: Any = None
with contextlib.suppress(ImportError):  # there are no public names for these
    from jax._src.config import persistent_cache_min_compile_time_secs as _least_seconds

    _module: Any = importlib.import_module("jax._src.compilation_cache")
    if {"_cache", "is_persistent_cache_enabled"} <= vars(_module).keys():
        _jax_cache = _module


def full_precision():
    """Return a context in which JAX honours float64, whatever its global setting says."""
    if fork["is_broken"]:
        raise RuntimeError(
            "this process was forked from one in which JAX had already run, so JAX would hang "
            "here: start processes with multiprocessing.get_context('spawn'), or use "
            "rnn4music.NumpyNetwork, which needs no engine"
        )
    return jax.enable_x64(True)


class _Programs:
    """Our cache on disk, with the methods of JAX's own."""

    def get(self, key):
        return code_cache.read(self._full(key))

    def put(self, key, value):
        code_cache.write(self._full(key), value)

    def _full(self, key):
        return f"{key} {processes.n_cores()} {code_cache.processor()}"


_programs, _users, _changing = _Programs(), [], threading.Lock()
_changes = contextlib.ExitStack()  # of the first thread that compiles, undone by the last


@contextlib.contextmanager
def compiling():
    """Keep what XLA compiles in this block in our cache, unless the user has set one for JAX."""
    if _jax_cache is None or _jax_cache.is_persistent_cache_enabled() or not code_cache.exists():
        with paused_collector():
            yield
        return
    with _changing:
        if not _users:
            _changes.callback(setattr, _jax_cache, "_cache", _jax_cache._cache)
            _changes.enter_context(warnings.catch_warnings())
            # XLA cannot write a program whose memory is in several blocks
            warnings.filterwarnings("ignore", "Error writing persistent compilation cache")
            _jax_cache._cache = _programs
        _users.append(None)
    try:
        with paused_collector(), _least_seconds(0):
            yield
    finally:
        with _changing:
            _users.pop()
            if not _users:
                _changes.close()


KEPT = 30_000_000
"""Size in bytes of memory blocks that the C library keeps when they are freed.

It returns larger ones (glibc: from 32 MiB) to the system, which clears each page before it is used
again. That took a fifth of an update.
"""


class Linker(JAXLinker):
    """PyTensor's linker to JAX, for programs of our own.

    XLA compiles a program while LLVM compiles the `MachineCode` in it.

    Parameters
    ----------
    in_blocks : bool
        Whether XLA's temporary memory is in blocks of `KEPT` bytes at most.
    mesh : jax.sharding.Mesh, optional
        The devices that run the program at the same time, each on its share of the tunes.
    of_inputs, of_outputs : list of (int or None)
        With a mesh: the axis of tunes of each input and each output, and None for the others,
        which are the same on all devices, as all shared variables are.
    """

    def __init__(self, in_blocks, mesh=None, of_inputs=(), of_outputs=()):
        super().__init__()
        self.options = {"xla_multiheap_size_constraint_per_heap": KEPT} if in_blocks else {}
        self.mesh, self.of_inputs, self.of_outputs = mesh, of_inputs, of_outputs
        self.awaited = []

    def fgraph_convert(self, fgraph, *, storage_map, **others):
        """Convert a graph to a function of arrays; see `JAXLinker`.

        PyTensor would compile a copy of each shared variable's value, which nothing uses.
        """
        inputs = set(fgraph.inputs)
        constants = {name: cell for name, cell in storage_map.items() if name not in inputs}
        return super().fgraph_convert(fgraph, storage_map=constants, awaited=self.awaited, **others)

    def jit_compile(self, fn):
        """Compile a function of arrays; see `JAXLinker`."""
        compiled, places = self._compiled(fn)
        awaited = self.awaited

        def call(*arrays):
            nonlocal awaited
            arrays = arrays if places is None else tuple(map(placed, arrays, places))
            if awaited:
                compiled.lower(*arrays).compile()
                for code in awaited:
                    code.result()
                awaited = ()
            return compiled(*arrays)

        return call

    def _compiled(self, fn):
        """Return JAX's function, and on a mesh the sharding of each input."""
        if self.mesh is None:
            return jax.jit(fn, compiler_options=self.options), None

        def specs(axes, n):
            axes = [*axes, *(None for _ in range(n - len(axes)))]
            return [Spec(*([None] * axis), TUNES) if axis is not None else Spec() for axis in axes]

        graph: Any = self.fgraph
        into = specs(self.of_inputs, len(graph.inputs))
        out_of = specs(self.of_outputs, len(graph.outputs))
        by_device = jax.shard_map(
            lambda *arrays: list(fn(*arrays)),
            mesh=self.mesh,
            in_specs=tuple(into),
            out_specs=out_of,
            check_vma=False,
        )
        places = [NamedSharding(self.mesh, spec) for spec in into]
        compiled = jax.jit(
            by_device,
            in_shardings=tuple(places),
            out_shardings=[NamedSharding(self.mesh, spec) for spec in out_of],
            compiler_options=self.options,
        )
        return compiled, places


class SumOverReplicas(Op):
    """The sum of an array over the devices of a mesh; all of them then have it."""

    __props__ = ()

    def make_node(self, array):
        """See `Op`."""
        return Apply(self, [array], [array.type()])

    def perform(self, node, inputs, outputs):
        """See `Op`."""
        raise NotImplementedError("this operation is compiled by JAX only")


@jax_funcify.register(SumOverReplicas)  # pyright: ignore[reportArgumentType]
def _convert_sum(op, **_):
    return lambda array: jax.lax.psum(array, TUNES)


def mode(inputs, outputs, new_values=(), mesh=None):
    """Return PyTensor's mode for a graph, for one device or for all of a mesh.

    XLA optimises nearly everything by itself, and PyTensor's own rewrites would only cost time.
    Only graphs with loops need them. XLA's temporary memory is divided into blocks of `KEPT` bytes
    if all arrays are smaller.
    """
    nodes = list(applys_between(inputs, [*outputs, *new_values]))
    arrays = [array for node in nodes for array in node.outputs]
    in_blocks = runs_on_processor() and all(n_bytes(array) <= KEPT for array in arrays)
    axes = ([getattr(array.tag, TUNES, None) for array in them] for them in (inputs, outputs))
    if any(isinstance(node.op, Scan) for node in nodes):
        if mesh is None:
            return "JAX"
        return Mode(Linker(False, mesh, *axes), get_mode("JAX").provided_optimizer)
    rewriter: Any = SequentialGraphRewriter(MergeOptimizer(), Together())
    return Mode(Linker(in_blocks, mesh, *axes), rewriter)


_registered, _registering = set(), threading.Lock()  # names of functions that XLA knows


def _register(op):
    """Make a function known to XLA by its name."""
    with _registering:
        if op.name not in _registered:
            pointer = ctypes.CFUNCTYPE(ctypes.c_void_p, ctypes.c_void_p)(op.code.entry)
            jax.ffi.register_ffi_target(op.name, jax.ffi.pycapsule(pointer), platform="cpu")
            _registered.add(op.name)


@jax_funcify.register(MachineCode)  # pyright: ignore[reportArgumentType]
def _convert(op, awaited=None, **_):
    results = [jax.ShapeDtypeStruct(shape, op.dtype) for shape in op.shapes]
    if awaited is not None:
        awaited.append(op.code)

    def call(*arrays):
        if awaited is None:
            op.code.result()
        _register(op)
        call = jax.ffi.ffi_call(op.name, results, input_output_aliases=dict(op.in_place))
        # JAX may take a constant scalar for a number of another precision
        return tuple(call(*(jax.numpy.asarray(x, op.dtype) for x in arrays)))

    return call
