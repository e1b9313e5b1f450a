"""Compilation of a kernel to machine code that XLA calls.

The phases of a kernel are already in LLVM's assembly language. The entry points that XLA calls,
and the code that shares the chunks of a phase among threads, are the same for all kernels:
``kernels/runtime.ll``. XLA gets a kernel's entry point at once, so that it compiles the graph
while LLVM compiles the kernels. Machine code is kept on disk for later processes, which then need
not write the kernel's phases either.
"""

import ctypes
import functools
import hashlib
import importlib.resources
import itertools
import json
import os
import sys
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

import llvmlite
from llvmlite import binding

from rnn4music._utils import code_cache
from rnn4music.kernels import (
    chord_loops,
    composing_loops,
    elementwise_loops,
    lstm_loops,
    matmul,
    simd,
    tiling,
)

MODULES = chord_loops, composing_loops, elementwise_loops, lstm_loops, matmul
"""The modules that make kernels."""

LARGE = 2**20
"""Size of a result in bytes from which large pages are requested."""


_BESIDE = ThreadPoolExecutor(1, "rnn4music-llvm")
"""The thread that compiles while the graph is built; LLVM computes on one thread at a time."""


_PLACES = (ctypes.c_int64 * (64 * 8))()  # where threads wait for jobs of all kernels: runtime.ll
ctypes.pythonapi.Py_IncRef(ctypes.py_object(_PLACES))  # threads may outlive the interpreter
binding.add_symbol("rnn4music_places", ctypes.addressof(_PLACES))


class Description(NamedTuple):
    """What is known of a kernel without its code: see `tiling.Kernel`."""

    results: list
    in_place: dict
    phases: list


def compiled(name, make):
    """Return the description of a kernel, its `Code`, and its full name.

    Parameters
    ----------
    name : str
        Names the kernel and its sizes; `version` is added.
    make : callable
        Returns the kernel; it is not called if the machine code is on the disk.
    """
    name = f"{name}_{version()}"
    kept = code_cache.read(name)
    if kept is not None:
        head, _, code = kept.partition(b"\n")
        results, in_place, phases = json.loads(head)
        kernel = Description(results, dict(in_place), phases)
        return kernel, Code(lambda: Compiled(kernel, code), phases), name
    kernel = make()
    description = Description(kernel.results, kernel.in_place, kernel.phases)
    assembly = _assembly(kernel)

    def compile_and_keep():
        code = _object_code(assembly)
        head = json.dumps([kernel.results, list(kernel.in_place.items()), kernel.phases])
        code_cache.write(name, head.encode() + b"\n" + code)
        return Compiled(description, code)

    return description, Code(compile_and_keep, kernel.phases), name


class Code:
    """The machine code of a kernel that is compiled meanwhile.

    Parameters
    ----------
    make : callable
        Returns a `Compiled` or a `CommonJob`; called by another thread.
    phases : list of (str, int, int)
        Those of the kernel, as in `tiling.Kernel`.

    Attributes
    ----------
    entry : int
        Address of the function that XLA calls, but not before `result` has returned.
    n_chunks : int
        Number of its chunks; 0 if it cannot be part of a `CommonJob`.
    """

    def __init__(self, make, phases=()):
        copy, number = divmod(next(_NUMBERS), N_ENTRIES)
        entries, kernels, _ = _runtime(copy)
        self.entry, self._place = entries[number], kernels + 16 * number
        self.n_chunks = phases[0][1] if len(phases) == 1 and phases[0][2] == 0 else 0
        self._future = _BESIDE.submit(self._finish, make)

    def _finish(self, make):
        code = make()
        function, data = code.called
        ctypes.c_void_p.from_address(self._place + 8).value = data
        ctypes.c_void_p.from_address(self._place).value = function
        return code

    def result(self):
        """Wait for the code that `make` returns."""
        return self._future.result()

    @staticmethod
    @functools.cache
    def together(codes, *others):
        """Return the `Code` of several kernels as one job, with the `others` of `CommonJob`."""
        return Code(lambda: CommonJob([code.result() for code in codes], *others))


class Compiled:
    """A kernel's machine code, which lives as long as the process, since XLA may call it any time.

    Parameters
    ----------
    kernel : tiling.Kernel, or Description
    code : bytes, optional
        Its object code; without it, the kernel is compiled.
    """

    def __init__(self, kernel, code=None):
        self.phases = kernel.phases
        _runtime(0)
        self._engine = _loaded(_object_code(_assembly(kernel)) if code is None else code)
        self.called = self.address("run_phases"), None

    def address(self, name):
        """Return the address of a function."""
        return self._engine.get_function_address(name)

    def run(self, *arrays):
        """Run the kernel on NumPy arrays, inputs and results, chunk after chunk."""
        addresses = (ctypes.c_void_p * len(arrays))(*(array.ctypes.data for array in arrays))
        for name, n_chunks, n_steps in self.phases:
            phase = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_int64)(self.address(name))
            for chunk in range(n_chunks * max(1, n_steps)):
                phase(ctypes.addressof(addresses), chunk)


class CommonJob:
    """Kernels that do not depend on each other, each of one phase, as one job.

    Threads share the chunks of all of them, so that none waits while a small kernel runs.

    Parameters
    ----------
    kernels : list of Compiled
    arrays : tuple of tuple of int
        For each kernel the numbers of its inputs and results among those of the job.
    n_bytes : tuple of int
        The sizes of the job's results.
    n_threads : int
    """

    def __init__(self, kernels, arrays, n_bytes, n_threads):
        phases = [kernel.phases[0] for kernel in kernels]
        members = [
            (kernel.address(name), n_chunks, len(own))
            for kernel, (name, n_chunks, _), own in zip(kernels, phases, arrays)
        ]
        large = [n if n >= LARGE and sys.platform == "linux" else 0 for n in n_bytes]
        lists = [list(itertools.chain(*members)), list(itertools.chain(*arrays)), large]
        sizes = [sum(n for _, n, _ in phases), n_threads, len(lists[1]), len(large)]
        tables = [_table(values) for values in lists]
        self.called = _runtime(0)[2], _table([*sizes, *tables])


def _table(values):
    """Return the address of 64-bit integers that live as long as the process."""
    table = (ctypes.c_int64 * len(values))(*values)
    ctypes.pythonapi.Py_IncRef(ctypes.py_object(table))
    return ctypes.addressof(table)


def _loaded(code):
    """Load object code for the rest of the process."""
    engine = binding.create_mcjit_compiler(binding.parse_assembly(""), _machine())
    engine.add_object_file(binding.ObjectFileRef.from_data(code))
    engine.finalize_object()
    ctypes.pythonapi.Py_IncRef(ctypes.py_object(engine))
    return engine


def _object_code(assembly):
    module = binding.parse_assembly(assembly)
    module.verify()
    # LLVM's optimising passes would only cost time: they bring no measurable gain here.
    return _machine().emit_object(module)


N_ENTRIES = 32  # as in runtime.ll
_NUMBERS = itertools.count()  # of the kernels


@functools.cache
def _runtime(copy):
    """Load the code that kernels share.

    Returns
    -------
    entries : list of int
        The addresses of entry points for `N_ENTRIES` more kernels. All are looked up here, since
        LLVM would let this thread wait for what it compiles.
    kernels : int
        The address at which those of these kernels are to be stored, each with that of its data.
    together : int
        The address of the function that runs the kernels of a `CommonJob`.
    """
    engine = _loaded(_runtime_code())
    if copy == 0:
        for name in ("parallel_for", "prefer_large_pages"):
            binding.add_symbol(name, engine.get_function_address(name))
    entries = [engine.get_function_address(f"entry_{k}") for k in range(N_ENTRIES)]
    return (
        entries,
        engine.get_global_value_address("kernels"),
        engine.get_function_address("run_together"),
    )


def version():
    """Return a digest of all that the kernels' code depends on, besides their sizes."""
    constants = [
        f"{name}={value}"
        for m in (*MODULES, simd, tiling)
        for name, value in vars(m).items()
        if name.isupper()
    ]
    libraries = llvmlite.__version__, *binding.llvm_version_info, *code_cache.processor()
    return hashlib.sha256(repr([_sources(), libraries, constants]).encode()).hexdigest()[:16]


_FOLDERS = "", "kernels", "backend"


@functools.cache
def _sources():
    """Return a digest of all modules that take part in writing a kernel."""
    package = importlib.resources.files("rnn4music")
    try:
        files = [each for folder in _FOLDERS for each in package.joinpath(folder).iterdir()]
        files = sorted((each.name, each) for each in files if each.is_file())
        return hashlib.sha256(b"".join(each.read_bytes() for _, each in files)).digest()
    except OSError:
        return os.urandom(16)  # a program without its sources, whose code is not found again


def _assembly(kernel):
    """Return the LLVM assembly of a kernel, with the function that runs its phases."""
    advice = [
        f"call void @prefer_large_pages(ptr %results, i64 {k}, i64 {n_bytes})"
        for k, n_bytes in enumerate(kernel.result_bytes())
        if n_bytes >= LARGE and sys.platform == "linux"
    ]
    phases = [
        f"call void @parallel_for(ptr %frame, ptr @{name}, ptr %addresses, "
        f"i64 {n_chunks}, i64 {n_steps}, i64 {n_chunks})"
        if n_chunks > 1
        else f"call void @{name}(ptr %addresses, i64 0)"
        for name, n_chunks, n_steps in kernel.phases
    ]
    lines = [
        str(kernel.module),
        "declare void @prefer_large_pages(ptr, i64, i64)",
        "declare void @parallel_for(ptr, ptr, ptr, i64, i64, i64)",
        "define void @run_phases(ptr %frame, ptr %addresses, ptr %results, ptr %data) {",
        *advice,
        *phases,
        "ret void",
        "}",
    ]
    return "\n".join(lines)


@functools.cache
def _runtime_code():
    key = f"runtime {version()}"
    code = code_cache.read(key)
    if code is None:
        code = _object_code(_runtime_assembly())
        code_cache.write(key, code)
    return code


def _runtime_assembly():
    """Return the LLVM assembly that all kernels share."""
    file = importlib.resources.files("rnn4music.kernels") / "runtime.ll"
    entries = (
        f"define ptr @entry_{k}(ptr %frame) {{\n"
        f"%error = tail call ptr @called_by_xla(ptr %frame, i64 {k})\nret ptr %error\n}}"
        for k in range(N_ENTRIES)
    )
    return "\n".join([file.read_text("utf8"), *entries])


def _machine():
    """Return LLVM's description of this processor, for one engine, which then owns it."""
    binding.initialize_native_target()
    binding.initialize_native_asmprinter()
    triple, cpu, features = code_cache.processor()
    target = binding.Target.from_triple(triple)
    return target.create_target_machine(cpu=cpu, features=features, opt=3, jit=True)
