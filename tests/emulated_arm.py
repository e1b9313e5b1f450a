"""Run the tests of the kernels with code for 64-bit ARM processors (NEON), under emulation.

    python tests/emulated_arm.py                  all tests of single kernels, in some minutes
    python tests/emulated_arm.py -k elementary    with options of pytest

LLVM compiles each kernel for ARM. A C program, linked with it, reads the kernel's arrays from a
file, runs its phases and writes the arrays back. The emulator runs this program. Debian's packages
qemu-user, gcc-aarch64-linux-gnu and libc6-dev-arm64-cross have what this needs.
"""

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

TOOLS = "qemu-aarch64", "aarch64-linux-gnu-gcc"
SINGLE_KERNELS = "elementary or test_product or products_of_a_roll or recurrent or drawing"

PROGRAM = """
#include <stdio.h>
#include <stdlib.h>
int main(int argc, char **argv) {{
    FILE *file = fopen(argv[1], "r+b");
    long n_bytes[] = {{{sizes}}}, n = sizeof n_bytes / sizeof *n_bytes;
    void *arrays[n];
    for (long k = 0; k < n; k++)
        if (fread(arrays[k] = malloc(n_bytes[k]), 1, n_bytes[k], file) != n_bytes[k]) return 1;
    {phases}
    rewind(file);
    for (long k = 0; k < n; k++) fwrite(arrays[k], 1, n_bytes[k], file);
    return fclose(file);
}}
"""
PHASE = "extern void {0}(void **, long); for (long k = 0; k < {1}; k++) {0}(arrays, k);"


def missing():
    """Return the tools that are not installed."""
    return [tool for tool in TOOLS if shutil.which(tool) is None]


class Emulated:
    """Stand-in for `jit.Compiled`, with the kernel compiled for ARM."""

    def __init__(self, kernel):
        from llvmlite import binding

        self.phases = kernel.phases
        module = binding.parse_assembly(str(kernel.module))
        machine = binding.Target.from_triple("aarch64-linux-gnu").create_target_machine(
            features="+neon", opt=3, reloc="pic"
        )
        module.triple, module.data_layout = machine.triple, str(machine.target_data)
        self.code = machine.emit_object(module)

    def run(self, *arrays):
        """Run the kernel on NumPy arrays, inputs and results, chunk after chunk."""
        with tempfile.TemporaryDirectory() as folder:
            source, code, program, data = (
                Path(folder) / name for name in ("main.c", "kernel.o", "program", "data")
            )
            phases = [PHASE.format(name, n * max(1, steps)) for name, n, steps in self.phases]
            sizes = ", ".join(str(array.nbytes) for array in arrays)
            source.write_text(PROGRAM.format(sizes=sizes, phases=" ".join(phases)))
            code.write_bytes(self.code)
            data.write_bytes(b"".join(array.tobytes() for array in arrays))
            compiler = [TOOLS[1], "-O1", "-static", "-o", program, source, code, "-lm"]
            subprocess.run(compiler, check=True)
            subprocess.run([TOOLS[0], program, data], check=True)
            content, place = data.read_bytes(), 0
            for array in arrays:
                array.reshape(-1).view("uint8")[:] = bytearray(
                    content[place : place + array.nbytes]
                )
                place += array.nbytes


def main():
    """Generate code for ARM in place of this processor's, and run the tests."""
    if missing():
        raise SystemExit(f"this needs {' and '.join(missing())}")
    from llvmlite import binding

    os.environ["RNN4MUSIC_KERNELS"] = "0"  # the other tests would run the code in this process
    binding.get_host_cpu_features = lambda: {"neon": True}
    binding.initialize_all_targets()
    binding.initialize_all_asmprinters()
    import pytest

    from rnn4music.kernels import jit, simd

    assert (simd.N_REGISTERS, simd.REGISTER_BYTES) == (32, 16)
    jit.Compiled = Emulated
    options = sys.argv[1:] or ["-k", SINGLE_KERNELS]
    file = Path(__file__).with_name("test_kernels.py")
    raise SystemExit(pytest.main(["-q", "-n", "0", "-p", "no:cacheprovider", str(file), *options]))


if __name__ == "__main__":
    main()
