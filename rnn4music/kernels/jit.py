"""Compilation of a kernel to machine code that XLA calls.

The phases of a kernel are already in LLVM's assembly language. The entry point that XLA calls,
and the code that shares the chunks of a phase among threads, are the same for all kernels:
``kernels/runtime.ll``.
"""

import ctypes
import functools
import importlib.resources
import sys

from llvmlite import binding

LARGE = 2**20
"""Size of a result in bytes from which large pages are requested."""


class Compiled:
    """A kernel's machine code, which lives as long as the process, since XLA may call it any time.

    Parameters
    ----------
    kernel : tiling.Kernel
    """

    def __init__(self, kernel):
        self.phases = kernel.phases
        module = binding.parse_assembly(str(kernel.module) + _run_phases(kernel))
        module.link_in(binding.parse_assembly(_runtime()))
        module.verify()
        # LLVM's optimising passes would only cost time: they bring no measurable gain here.
        self._engine = binding.create_mcjit_compiler(module, _machine())
        self._engine.finalize_object()
        self._engine.remove_module(module)  # the instructions: only their machine code is needed
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
    return binding.Target.from_default_triple().create_target_machine(
        cpu=binding.get_host_cpu_name(),
        features=binding.get_host_cpu_features().flatten(),
        opt=3,
        jit=True,
    )
