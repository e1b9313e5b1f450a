"""Shared by the fuzzers: a guard around each input, and mutations that keep a file's structure.

Conventions
-----------
Mutations take and return bytes. Checksums and compression make blind mutations of a zip useless, so
its entries are unpacked, mutated, and packed again; every fourth mutation is blind.
"""

import contextlib
import io
import random
import resource
import struct
import sys
import tempfile
import zipfile
from pathlib import Path

import atheris
import numpy as np

_MEMORY = "/dev/shm"
FOLDER = Path(tempfile.mkdtemp(prefix="fuzz", dir=_MEMORY if Path(_MEMORY).is_dir() else None))
MOST_MEMORY = 2**28
"""Bytes by which one input may raise the peak memory of the process."""

_FORBIDDEN = (
    "os.system", "os.exec", "os.posix_spawn", "os.spawn", "os.fork", "os.forkpty",
    "subprocess.Popen", "socket.connect", "pickle.find_class", "ctypes.dlopen",
)  # fmt: skip
_CHANGES = ("os.remove", "os.rename", "os.mkdir", "os.rmdir", "os.link", "os.symlink", "os.chmod")
"""Events whose first path must lie in `FOLDER`; the second path of a link."""
_watching = False
_broken = []


def _audit(event, arguments):
    if not _watching:
        return
    if event in _FORBIDDEN:
        _broken.append((event, arguments))
    writes = event == "open" and isinstance(arguments[1], str) and set(arguments[1]) & set("wax+")
    if writes or event in _CHANGES:
        first = event in ("os.link", "os.symlink")
        names = [name for name in arguments[first : first + 1] if isinstance(name, str)]
        _broken.extend((event, name) for name in names if not name.startswith(str(FOLDER)))


sys.addaudithook(_audit)


@contextlib.contextmanager
def guarded(most_memory=MOST_MEMORY):
    """Fail if an input makes the program execute or write something, or take much memory.

    The kernel refuses much larger requests. A reader that turns this MemoryError into its own error
    allocated memory before it checked, and fails too.
    """
    global _watching
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    _watching = True
    try:
        yield
    finally:
        _watching = False
    grown = 1024 * (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - peak)
    assert grown < most_memory, f"the process grew by {grown} bytes"
    assert not _broken, str(_broken)[:300]


def refused(error):
    """Check that the error of a reader has a message and was not caused by a MemoryError."""
    assert str(error)
    while error is not None:
        assert not isinstance(error, MemoryError), "allocated what a file claims"
        error = error.__cause__ or error.__context__


def limit_memory():
    """Limit the process to 6 GiB more than atheris and the package take."""
    status = Path("/proc/self/status").read_text()
    now = 1024 * int(status.split("VmSize:")[1].split()[0])
    resource.setrlimit(resource.RLIMIT_AS, (now + 6 * 2**30,) * 2)


def fuzz(read, mutate=None, seeds=()):
    """Run the fuzzer; seeds are written to the first folder on the command line."""
    folders = [argument for argument in sys.argv[1:] if not argument.startswith("-")]
    if folders and Path(folders[0]).is_dir():
        for number, seed in enumerate(seeds):
            (Path(folders[0]) / f"seed_{number}").write_bytes(seed)
    options = {} if mutate is None else {"custom_mutator": mutate}
    limit_memory()
    atheris.Setup(sys.argv, read, **options)
    atheris.Fuzz()


# ---- mutations


def mutated(data, most):
    """Return bytes mutated blindly."""
    return atheris.Mutate(bytes(data), max(most, 1))


METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA)
NAMES = ("../up.npy", "/absolute.npy", "x", "format.npy", "history/cost.npy", "parameters/a/b.npy",
         "parameters/layer9/bias.npy", "checkpoint/x.npy", "settings", "Wxi_1.npy")  # fmt: skip
HEADERS = (
    "(-1,)", "(-1, -1)", "(10000000000000,)", "(0, 10000000000)", "()", "(1,)", "(2, 3)",
    "(4611686018427387904, 4)", "(True,)", "(1.0,)", "'|O'", "'<U1'", "'<U999999999'", "'<f8'",
    "'>f4'", "'<c16'", "'|S0'", "'<M8[s]'", "[('a', '<f8'), ('b', '|O')]", "(" * 90, "-" * 9000,
    "9" * 5000, "True",
)  # fmt: skip
TEXTS = (
    "NaN", "Infinity", "-1e999", "1e308", "9" * 5000, "[" * 900 + "]" * 900, '"\\ud800"', "null",
    "{}", "[]", "true", '"\x1b[2J"', "-1", "1.5", "100000", "{\"a\":" * 300 + "1" + "}" * 300,
)  # fmt: skip


def mutated_zip(data, most, seed):
    """Return a zip with one of its entries changed, renamed, doubled, dropped or repacked."""
    rng = random.Random(seed)
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as file:
            entries = [[info.filename, info.compress_type, file.read(info)]
                       for info in file.infolist() if info.file_size < 2**20]  # fmt: skip
        assert entries and rng.random() < 0.75
    except Exception:
        return mutated(data, most)
    entry = entries[rng.randrange(len(entries))]
    change = rng.randrange(10)
    if change < 6:
        entry[2] = mutated_npy(entry[2], rng)
    elif change == 6:
        entry[0] = rng.choice((*NAMES, entry[0].removesuffix(".npy"), entry[0] + "x"))
    elif change == 7:
        entries.remove(entry)
    elif change == 8:
        entries.append([rng.choice((entry[0], *NAMES)), *entries[rng.randrange(len(entries))][1:]])
    else:
        entry[1] = rng.choice(METHODS)
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as file:
        for name, method, content in entries:
            with _silent():
                file.writestr(zipfile.ZipInfo(name), content, method)
    result = bytearray(packed.getvalue())
    if entries and rng.random() < 0.1:  # flags, sizes and methods in the directory at the end
        start = result.find(b"PK\x01\x02")
        where = start + 4 + rng.randrange(42)
        result[where] = rng.choice((0, 1, 9, 12, 14, 127, 255))
    return bytes(result) if len(result) <= most else mutated(data, most)


@contextlib.contextmanager
def _silent():
    import warnings

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about duplicate names
        yield


def mutated_npy(content, rng):
    """Return an .npy file with another header, other numbers, or another text."""
    try:
        array = np.load(io.BytesIO(content), allow_pickle=False)
        assert 0 < array.size < 2**20  # np.save iterates even over items of no bytes
        end = 10 + int.from_bytes(content[8:10], "little")
        header = content[10:end].decode("latin1")
    except Exception:
        return mutated(content, 2 * len(content) + 64)
    change = rng.randrange(4)
    if change == 0:
        old = rng.choice((header[header.find("(") : header.find(")") + 1], f"'{array.dtype.str}'"))
        text = header.replace(old, rng.choice(HEADERS)).encode("latin1")
        return content[:8] + struct.pack("<H", len(text)) + text + content[end:]
    if change == 1:
        return content[:10] + mutated(content[10:end], end - 10 + 64) + content[end:]
    if array.dtype.kind == "U" and array.shape == ():
        text = array.tobytes().decode("utf-32-le", "replace")
        if rng.random() < 0.6:  # a value for another
            colons = [k for k, letter in enumerate(text) if letter in ":,["] or [0]
            start = rng.choice(colons) + 1
            ends = [k for k, letter in enumerate(text) if k >= start and letter in ",}]"]
            text = text[:start] + rng.choice(TEXTS) + text[(ends or [len(text)])[0] :]
        else:
            text = mutated(text.encode("utf-8", "replace"), len(text) + 64)
            text = text.decode("utf-8", "replace")
        array = np.array(text.replace("\0", " "))
    else:
        flat = bytearray(array.tobytes())
        if flat:
            where = rng.randrange(len(flat))
            flat[where : where + 8] = mutated(flat[where : where + 8], 8)
            flat = flat[: array.nbytes].ljust(array.nbytes, b"\0")
        array = np.ndarray(array.shape, array.dtype, bytes(flat))
    file = io.BytesIO()
    np.save(file, array, allow_pickle=False)
    return file.getvalue()
