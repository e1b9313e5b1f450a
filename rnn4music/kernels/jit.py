"""Compilation of a kernel to machine code that XLA calls.

The phases of a kernel are already in LLVM's assembly language. The entry point that XLA calls,
and the code that shares the chunks of a phase among threads, are the same for all kernels:
``kernels/runtime.ll``. Machine code is kept on disk for later processes, which then need not
write the kernel's phases either.
"""

import ctypes
import functools
import hashlib
import importlib.resources
import json
import os
import sys
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

import llvmlite
from llvmlite import binding

from rnn4music._utils import code_cache

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
    """Return the description of a kernel, the future of its machine code, and its full name.

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
        return kernel, _BESIDE.submit(Compiled, kernel, code), name
    kernel = make()
    description = Description(kernel.results, kernel.in_place, kernel.phases)
    assembly = str(kernel.module) + _run_phases(kernel)

    def compile_and_keep():
        code = _object_code(assembly)
        head = json.dumps([kernel.results, list(kernel.in_place.items()), kernel.phases])
        code_cache.write(name, head.encode() + b"\n" + code)
        return Compiled(description, code)

    return description, _BESIDE.submit(compile_and_keep), name


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
        if code is None:
            code = _object_code(str(kernel.module) + _run_phases(kernel))
        self._engine = binding.create_mcjit_compiler(binding.parse_assembly(""), _machine())
        for each in (code, _runtime_code()):
            self._engine.add_object_file(binding.ObjectFileRef.from_data(each))
        self._engine.finalize_object()
        ctypes.pythonapi.Py_IncRef(ctypes.py_object(self))

    def address(self, name="called_by_xla"):
        """Return the address of a function."""
        return self._engine.get_function_address(name)

    def run(self, *arrays):
        """Run the kernel on NumPy arrays, inputs and results, chunk after chunk."""
        addresses = (ctypes.c_void_p * len(arrays))(*(array.ctypes.data for array in arrays))
        for name, n_chunks, n_steps in self.phases:
            phase = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_int64)(self.address(name))
            for chunk in range(n_chunks * max(1, n_steps)):
                phase(ctypes.addressof(addresses), chunk)


def _object_code(assembly):
    module = binding.parse_assembly(assembly)
    module.verify()
    # LLVM's optimising passes would only cost time: they bring no measurable gain here.
    return _machine().emit_object(module)


@functools.cache
def _runtime_code():
    key = f"runtime {version()}"
    code = code_cache.read(key)
    if code is None:
        code = _object_code(_runtime())
        code_cache.write(key, code)
    return code


def version():
    """Return a digest of all that the kernels' code depends on, besides their sizes."""
    from rnn4music.kernels import chord_loops, composing_loops, lstm_loops, matmul, simd, tiling

    modules = chord_loops, composing_loops, lstm_loops, matmul, simd, tiling
    constants = [
        f"{name}={value}" for m in modules for name, value in vars(m).items() if name.isupper()
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


def _run_phases(kernel):
    """Return the LLVM assembly of the function that runs a kernel's phases."""
    advice = [
        f"call void @prefer_large_pages(ptr %results, i64 {k}, i64 {n_bytes})"
        for k, n_bytes in enumerate(kernel.result_bytes())
        if n_bytes >= LARGE and sys.platform == "linux"
    ]
    phases = [
        f"call void @parallel_for(ptr %frame, ptr @{name}, ptr %addresses, "
        f"i64 {n_chunks}, i64 {n_steps})"
        if n_chunks > 1
        else f"call void @{name}(ptr %addresses, i64 0)"
        for name, n_chunks, n_steps in kernel.phases
    ]
    lines = [
        "declare void @prefer_large_pages(ptr, i64, i64)",
        "declare void @parallel_for(ptr, ptr, ptr, i64, i64)",
        "define void @run_phases(ptr %frame, ptr %addresses, ptr %results) {",
        *advice,
        *phases,
        "ret void",
        "}",
    ]
    return "\n".join(lines)


@functools.cache
def _runtime():
    """Return the LLVM assembly that all kernels share."""
    file = importlib.resources.files("rnn4music.kernels") / "runtime.ll"
    return file.read_text("utf8")


def _machine():
    """Return LLVM's description of this processor, for one engine, which then owns it."""
    binding.initialize_native_target()
    binding.initialize_native_asmprinter()
    triple, cpu, features = code_cache.processor()
    target = binding.Target.from_triple(triple)
    return target.create_target_machine(cpu=cpu, features=features, opt=3, jit=True)
