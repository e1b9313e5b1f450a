"""Hostile files: they are rejected by an error that gives the reason, and take little memory.

`peak` counts memory that is requested, not memory that is touched. It notices an array of the size
that a file claims even if the system never provides that memory.
"""

import ast
import io
import json
import pickle
import re
import struct
import tracemalloc
import warnings
import zipfile
import zlib
from pathlib import Path

import numpy as np
import pytest
from conftest import small_model
from scipy.io import savemat

import midi
from midi.contents import describe
from rnn4music import RNN4Music, numpy_network
from rnn4music._utils import npz
from rnn4music.data import safe_pickle, shards, standard_sets
from rnn4music.data.dataset import DatasetWarning
from rnn4music.data.midi_files import load_midi
from rnn4music.data.standard_sets import load_standard_set
from rnn4music.experiment import config
from rnn4music.numpy_network import NumpyNetwork
from rnn4music.saving import model_file

LITTLE = 2**26  # bytes
PARTS = ("train", "valid", "test")


def peak(function, *arguments):
    """Return the peak of the memory that a call requests, in bytes, and the error it raises."""
    tracemalloc.start()
    try:
        function(*arguments)
    except Exception as error:
        return tracemalloc.get_traced_memory()[1], error
    else:
        return tracemalloc.get_traced_memory()[1], None
    finally:
        tracemalloc.stop()


def assert_refused(function, *arguments, message):
    n_bytes, error = peak(function, *arguments)
    assert isinstance(error, ValueError), repr(error)
    assert message in str(error), str(error)
    assert n_bytes < LITTLE, n_bytes


def npy(array):
    file = io.BytesIO()
    np.save(file, array)
    return file.getvalue()


def with_header(text, data=b""):
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(text)) + text.encode() + data


def claiming(shape, dtype="<f8", data=b""):
    header = f"{{'descr': '{dtype}', 'fortran_order': False, 'shape': {shape}}}"
    return with_header(header + " \n", data)


def zipped(path, entries, method=zipfile.ZIP_STORED):
    with zipfile.ZipFile(path, "w") as file:
        for name, content in entries.items():
            file.writestr(zipfile.ZipInfo(name), content, method)
    return path


def with_sizes(path, old, new):
    """Change the unpacked size that a zip claims for an entry."""
    data = path.read_bytes()
    assert data.count(struct.pack("<I", old)) == 2  # beside the entry, and in the directory
    path.write_bytes(data.replace(struct.pack("<I", old), struct.pack("<I", new)))
    return path


# ---- .npz


@pytest.fixture(scope="module")
def model_entries(tmp_path_factory):
    path = small_model(seed=1).saveParameters(tmp_path_factory.mktemp("model") / "model")
    with zipfile.ZipFile(path) as file:
        return {name: file.read(name) for name in file.namelist()}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (claiming("(10000000000000,)"), "claims the shape"),
        (claiming("(-1,)", data=bytes(64)), "claims the shape (-1,)"),
        (claiming("(-2, -4)", data=bytes(64)), "claims the shape (-2, -4)"),
        (claiming("(8,)", data=bytes(65)), "claims the shape"),
        (claiming("(100000000000000000, 0)"), "claims the shape"),  # counting them would never end
        (claiming("(1,)", dtype="<U500000000"), "claims the shape"),
        (claiming("(" * 1000 + "1" + ")" * 1000), "EOF: reading array header"),
        (with_header("-" * 1000 + "1\n"), "malformed node"),
        (b"\x93NUMPY\x02\x00\xff\xff\xff\xff", "unknown format (2, 0)"),
        (b"\x93NUMPY\x03\x00" + bytes(100), "unknown format (3, 0)"),
    ],
)
def test_arrays_that_claim_too_much(tmp_path, model_entries, content, message):
    path = zipped(tmp_path / "x.npz", {**model_entries, "parameters/output/bias.npy": content})
    assert_refused(model_file.read, path, message=message)
    path = zipped(tmp_path / "x.npz", {"train.npy": content})
    assert_refused(load_standard_set, path, message=message)


def test_an_array_whose_name_hides_it_is_not_read(tmp_path, model_entries):
    """NumPy treats any entry that begins like an array as one, and allocates it."""
    hidden = claiming("(10000000000000,)")
    path = zipped(tmp_path / "x.npz", {**model_entries, "parameters/x": hidden, "../x": hidden})
    assert_refused(model_file.read, path, message="list of arrays is damaged")


def test_a_bomb_that_claims_to_be_small(tmp_path, model_entries):
    name = "parameters/output/bias.npy"
    small = npy(np.zeros(1000))
    path = zipped(tmp_path / "x.npz", {name: small + bytes(10**8)}, zipfile.ZIP_DEFLATED)
    with_sizes(path, len(small) + 10**8, len(small))
    assert_refused(model_file.read, path, message="Bad CRC-32")


@pytest.mark.parametrize("name", ("parameters/output/bias", "checkpoint/x", "settings"))
def test_a_small_file_of_large_arrays_is_refused_before_they_are_unpacked(
    tmp_path, model_entries, name
):
    path = tmp_path / "x.npz"
    large = npy(np.zeros(2**25)) if name != "settings" else npy(np.array("{" + " " * 2**26))
    zipped(path, {**model_entries, f"{name}.npy": large}, zipfile.ZIP_DEFLATED)
    assert path.stat().st_size < 10**6
    n_bytes, error = peak(model_file.read, path)
    assert "claim to hold" in str(error) and n_bytes < 2**20
    n_bytes, error = peak(NumpyNetwork.from_file, path)
    assert "claim to hold far more" in str(error) and n_bytes < 2**20


def test_arrays_are_in_memory_once_while_they_are_read(tmp_path):
    rng = np.random.default_rng(0)
    arrays: dict = {f"a{k}": rng.standard_normal((1000, 1000)) for k in range(4)}  # 8 MB each
    arrays["a1"] = np.asfortranarray(arrays["a1"])
    arrays |= {"none": np.zeros((0, 3)), "text": np.array("ä"), "number": np.array(3)}
    np.savez_compressed(tmp_path / "x.npz", **arrays)
    found = {}
    with open(tmp_path / "x.npz", "rb") as file:
        n_bytes, error = peak(lambda: found.update(npz.read(file, 10**9)))
    assert error is None and n_bytes < 1.2 * sum(array.nbytes for array in arrays.values())
    np.testing.assert_equal(found, arrays)
    assert found["a1"].flags.writeable and found["a0"].flags.aligned


def test_an_entry_that_is_shorter_than_it_claims_is_refused(tmp_path):
    data = npy(np.arange(3.0)) + bytes(8)
    path = zipped(tmp_path / "x.npz", {"a.npy": npy(np.arange(4.0))[:-8]}, zipfile.ZIP_DEFLATED)
    with_sizes(path, len(data) - 8, len(data))
    with open(path, "rb") as file, pytest.raises(ValueError, match="ends after 24 of 32 bytes"):
        npz.read(file, 10**9)


def test_methods_that_unpack_in_one_step_are_not_read(tmp_path, model_entries):
    """45 bytes of bzip2 can hold 45 MB, which `zipfile` would unpack in one read."""
    path = tmp_path / "x.npz"
    for method in (zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA):
        zipped(path, {"train.npy": npy(np.zeros(10**6))}, method)
        assert_refused(load_standard_set, path, message="compressed by an unknown method")
        assert_refused(model_file.read, path, message="compressed by an unknown method")


def test_numpy_alone_refuses_them_too(tmp_path, model_entries, monkeypatch):
    monkeypatch.setattr(numpy_network, "MOST_EXPANDED", 1000)
    path, bomb = tmp_path / "x.npz", npy(np.zeros(10**7))
    NumpyNetwork.from_file(zipped(path, model_entries))
    zipped(path, {**model_entries, "x.npy": bomb}, zipfile.ZIP_DEFLATED)
    assert_refused(NumpyNetwork.from_file, path, message="claim to hold far more")
    zipped(path, {**model_entries, "x.npy": b""}, zipfile.ZIP_BZIP2)
    assert_refused(NumpyNetwork.from_file, path, message="NumPy has not written")
    zipped(path, {**model_entries, "x": claiming("(10000000000000,)")})
    assert_refused(NumpyNetwork.from_file, path, message="NumPy has not written")


def test_a_place_that_does_not_exist_is_damage(tmp_path, model_entries):
    """A seek there raises an OSError that is not a disk error."""
    path = zipped(tmp_path / "x.npz", {"train.npy": b"", **model_entries})
    data = bytearray(path.read_bytes())
    data[-16:-12] = struct.pack("<I", struct.unpack("<I", data[-10:-6])[0])
    end = data.rindex(b"PK\x05\x06")
    start = struct.unpack_from("<I", data, end + 16)[0]
    struct.pack_into("<I", data, end + 16, start + 1000)  # so that all offsets are 1000 too low
    path.write_bytes(data)
    for read in (model_file.read, load_standard_set):
        assert_refused(read, path, message="damaged")
    with pytest.raises(ValueError, match="damaged"):
        NumpyNetwork.from_file(path)


# ---- models


def changed(path, entries, **arrays):
    return zipped(path, {**entries, **{f"{k}.npy": npy(v) for k, v in arrays.items()}})


def test_a_network_that_the_file_does_not_contain(tmp_path, model_entries):
    """Its weights would take 40 GB; the check comes before their allocation."""
    settings = small_model().settings()
    for sizes, message in (
        ({"h1_length": 50_000}, "but its settings say"),
        ({"io_length": 10**12}, "but its settings say"),
        ({"h2_length": "x"}, "its h2_length is 'x', which is not a whole number"),
    ):
        text = np.array(json.dumps({**settings, **sizes}))
        path = changed(tmp_path / "x.npz", model_entries, settings=text)
        assert_refused(RNN4Music.from_file, path, message=message)
    text = np.array(json.dumps({**settings, "h3_length": 10**6}))
    states = {f"initial/layer3/{part}": np.zeros(10**6, "b") for part in ("hidden", "cell")}
    path = changed(tmp_path / "x.npz", model_entries, settings=text, **states)
    assert_refused(RNN4Music.from_file, path, message="but its settings say")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[" * 100_000, "recursion"),
        ('{"h1_length": ' + "9" * 5000 + "}", "settings cannot be read"),
        ('{"h1_length": 1' + "\U0010ffff", "settings cannot be read"),
    ],
)
def test_invalid_settings(tmp_path, model_entries, text, message):
    path = changed(tmp_path / "x.npz", model_entries, settings=np.array(text))
    assert_refused(model_file.read, path, message=message)


def test_a_text_that_is_not_unicode(tmp_path, model_entries):
    """NumPy makes a character of any four bytes; invalid ones break Python's functions."""
    metadata = npy(np.array('{"a": "?"}')).replace(b"?\0\0\0", b"\xff\xff\xff\x7f")
    path = zipped(tmp_path / "x.npz", {**model_entries, "metadata.npy": metadata})
    assert_refused(model_file.read, path, message="metadata cannot be read")


def test_invalid_histories(tmp_path, model_entries):
    path = changed(tmp_path / "x.npz", model_entries, **{"history/cost": np.zeros((2, 0))})
    assert_refused(model_file.read, path, message="the history's cost is not a list of numbers")
    history = np.array(json.dumps({"interrupted": [[]]}))  # could not be saved again
    path = changed(tmp_path / "x.npz", model_entries, history=history)
    assert_refused(RNN4Music.from_file, path, message="interrupted must be true or false")


def test_a_long_text_is_not_read(tmp_path, model_entries, monkeypatch):
    monkeypatch.setattr(model_file, "MOST_TEXT", 2000)
    metadata = np.array(json.dumps({"x": [[]] * 1000}))
    path = changed(tmp_path / "x.npz", model_entries, metadata=metadata)
    assert_refused(model_file.read, path, message="not text of at most 2000 bytes")


@pytest.mark.parametrize(
    "changes",
    [
        {"layer9/bias": np.zeros(3)},
        {"layer0/bias": np.zeros(3)},
        {"layer1/other": np.zeros(3)},
        {"layer2/bias": np.zeros(3)},
        {"layer2/bias": np.zeros(())},
        {"layer1/bias": np.full(12, np.nan)},
        {"layer1/bias": np.array(["1"] * 12)},
        {"layer1/bias": np.ones(12, complex)},
        {"output/bias": np.zeros(8)},
        {"output/bias": np.zeros(0)},
    ],
)
def test_arrays_that_do_not_form_a_network(changes):
    model = small_model()
    initial = {f"layer{n}/{part}": np.zeros(H) for n, H in ((1, 3), (2, 5), (3, 4))
               for part in ("hidden", "cell")}  # fmt: skip
    NumpyNetwork(model.get_parameters(), initial)
    with pytest.raises((ValueError, KeyError)):
        NumpyNetwork({**model.get_parameters(), **changes}, initial)
    with pytest.raises(ValueError, match=r"layer2/cell must have the shape \(5,\)"):
        NumpyNetwork(model.get_parameters(), {**initial, "layer2/cell": np.zeros(3)})
    for settings in ({"genProbThreshold": "x"}, {"genProbThreshold": np.nan}, {"dtype": "f2"}):
        with pytest.raises(ValueError, match="must be f"):
            NumpyNetwork(model.get_parameters(), initial, settings)


# ---- .mat


def objects(items):
    array = np.empty(len(items), dtype=object)
    array[:] = items
    return array


def test_a_damaged_mat_file_is_a_value_error(tmp_path):
    """SciPy's reader crashes on the first, and on one in a hundred other changes."""
    rng = np.random.default_rng(0)
    rolls = {f"{part}data": objects([(rng.random((n, 88)) < 0.1).astype("u1") for n in (3, 1, 9)])
             for part in PARTS}  # fmt: skip
    path = tmp_path / "set.mat"
    savemat(path, rolls)
    assert load_standard_set(path).test.lengths.tolist() == [3, 1, 9]
    whole, n_refused = path.read_bytes(), 0
    for changes in ({556: 255}, {560: 14, 1766: 255}, {1617: 14, 3006: 1}, {140: 255}, {153: 15}):
        damaged = bytearray(whole)
        for place, value in changes.items():
            damaged[place] = value
        path.write_bytes(damaged)
        n_bytes, error = peak(load_standard_set, path)
        assert n_bytes < LITTLE
        if error is not None:
            assert isinstance(error, ValueError) and "set.mat cannot be read: " in str(error)
            n_refused += 1
    assert n_refused > 2


@pytest.mark.parametrize("compressed", (True, False))
def test_a_mat_file_that_claims_or_expands_to_much_is_refused(tmp_path, monkeypatch, compressed):
    monkeypatch.setattr(standard_sets, "_MOST_MEMORY", 2**28)
    path = tmp_path / "set.mat"
    zeros = np.zeros(2**27 if compressed else 16, np.uint8)
    savemat(
        path,
        {f"{part}data": zeros for part in PARTS[: 1 if compressed else 3]},
        do_compression=compressed,
    )
    content = path.read_bytes()
    if not compressed:
        content = content.replace(struct.pack("<2I", 1, 16), struct.pack("<2I", 2**15, 2**20))
        content = content.replace(struct.pack("<2I", 2, 16), struct.pack("<2I", 2, 2**31))
        path.write_bytes(content)
    assert len(content) < 10**6
    assert_refused(load_standard_set, path, message="set.mat cannot be read: ")


# ---- pickles and JSON


@pytest.mark.parametrize(
    ("data", "message"),
    [
        # a hash over 2 ** 60 nested items
        (b"}K\x01\x85" + b"q\x00h\x00\x86" * 60 + b"K\x01s.", "it takes more than 2 seconds"),
        (b"]r\xff\xff\xff\x7f.", "it takes more than 512 MiB of memory"),
        (b"\x96\x00\x00\x00\x40\x00\x00\x00\x00.", "it takes more than 512 MiB of memory"),
        # an array of 10 ** 9 copies of a text
        (b"cnumpy.core.multiarray\n_reconstruct\n(cnumpy\nndarray\n(I0\ntS'b'\ntR"
         b"(I1\n(I1000000000\nS'abcdefghij'\ntcnumpy\ndtype\n(S'O8'\ntRI00\n(ltb.",
         "set.pickle cannot be read: "),
        # a text of 64 KiB converted to bytes 10,000 times
        (b"(c_codecs\nencode\nq\x000(X\x00\x00\x01\x00" + b"a" * 65536 + b"X\x06\x00\x00\x00latin1t"
         b"q\x010" + b"h\x00h\x01R" * 10_000 + b"l.", "it takes more than 512 MiB of memory"),
        (b"(c_codecs\nencode\nq\x000(cnumpy\ndtype\ntl.", "a list, not a dict of three parts"),
    ],
)  # fmt: skip
def test_pickles_that_grow(tmp_path, monkeypatch, data, message):
    monkeypatch.setattr(standard_sets, "_MOST_MEMORY", 2**29)
    monkeypatch.setattr(standard_sets, "_SECONDS", 2)
    (tmp_path / "set.pickle").write_bytes(data)
    assert_refused(load_standard_set, tmp_path / "set.pickle", message=message)


def test_a_pickle_cannot_change_the_stand_ins_into_code(tmp_path):
    """Functions accept attributes, and have no state of NumPy's; no other change is possible."""
    for name in (b"numpy\ndtype", b"numpy.core.multiarray\n_reconstruct", b"_codecs\nencode"):
        attack = b"c" + name + b"\n(N}S'__code__'\nS'x'\nstb."
        with pytest.raises(ValueError, match="a damaged pickle: TypeError: __code__ must be set"):
            safe_pickle.loads(attack)
    for name in ("globals", "__globals__"):  # only the names in the table, none of their attributes
        with pytest.raises(ValueError, match="it asks for numpy"):
            safe_pickle.loads(b"\x80\x04\x8c\x05numpy\x8c" + bytes([len(name) + 6])
                                    + f"dtype.{name}".encode() + b"\x93.")  # fmt: skip


def as_set(tune):
    """Return the pickle of a set in which every tune is the value that the pickle `tune` makes."""
    parts = b"".join(b"S'%s'\n]" % part.encode() + tune + b"as" for part in PARTS)
    return b"}" + parts + b"."


@pytest.mark.parametrize(
    ("tune", "message"),
    [
        # a step of 100 pitches, 200,000 times
        (b"](" + b"](" + b"K<" * 100 + b"eq\x00" + b"h\x00" * 200_000 + b"e", "20000100 notes"),
        # a pitch that is lists of lists, 2 ** 40 numbers if written out
        (b"](](](K<e" + b"q\x00](h\x00h\x00e" * 40 + b"ee", "values that are not MIDI pitches"),
    ],
)
def test_tunes_that_grow(tmp_path, tune, message):
    (tmp_path / "set.pickle").write_bytes(as_set(tune))
    assert_refused(load_standard_set, tmp_path / "set.pickle", message=message)


def test_tunes_without_end(tmp_path):
    """An array of no bytes may claim any number of tunes; counting them would never end."""
    (tmp_path / "set.pickle").write_bytes(pickle.dumps(dict.fromkeys(PARTS, np.zeros((10**17, 0)))))
    assert_refused(load_standard_set, tmp_path / "set.pickle", message="is not a list of tunes")


@pytest.mark.parametrize("suffix", ("json", "pickle", "mat"))
def test_a_large_file_is_not_read(tmp_path, monkeypatch, suffix):
    for name in ("_MOST_TEXT", "_MOST_BYTES"):
        monkeypatch.setattr(standard_sets, name, 1000)
    with open(tmp_path / f"set.{suffix}", "wb") as file:
        file.truncate(10**12)  # a sparse file
    path = tmp_path / f"set.{suffix}"
    assert_refused(load_standard_set, path, message="more than 1000 bytes")


def test_lists_within_lists(tmp_path):
    (tmp_path / "set.json").write_bytes(b"[" * 10**5)
    assert_refused(load_standard_set, tmp_path / "set.json", message="is damaged: RecursionError")
    deep = b"(" * 10**5 + b"l" * 10**5
    for content, message in (
        (deep + b".", "a list, not a dict"),
        (as_set(deep), "not MIDI pitches"),
    ):
        (tmp_path / "set.pickle").write_bytes(content)
        assert_refused(load_standard_set, tmp_path / "set.pickle", message=message)


# ---- TOML


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("units = " + "[" * 5000 + "]" * 5000, "is not a TOML file"),
        (
            "units = " + "[" * 200 + "]" * 200,
            "units must be a whole number, not list [[[[[[[...]]]]]]]",
        ),
        ("units." + "a." * 3000 + "a = 1", "units must be a whole number, not dict {'a': {"),
        ("learning_rates = [" + "9" * 400 + "]", "learning_rates is too large a number"),
        ("clip = 0x" + "f" * 400, "clip is too large a number"),
        ("seed = 0x" + "f" * 5000, "seed is too large a number"),
        ("seed = " + "9" * 5000, "is not a TOML file"),
        ("steps-per-beat = 1\nsteps_per_beat = 2", "steps_per_beat occurs twice"),
        ("a" * 1000 + " = 1", "there is no setting 'aaaaaaaaaaaa...aaaaaaaaaaaaa'"),
        ('log = "\\ud800"', "is not a TOML file"),
        ("# " + "x" * 2**20, "more than 1048576 bytes; a configuration has fewer"),
    ],
)
def test_invalid_toml(tmp_path, text, message):
    (tmp_path / "run.toml").write_text(text)
    assert_refused(config.read, tmp_path / "run.toml", message=message)


def test_a_large_file_of_settings_is_not_read(tmp_path):
    with open(tmp_path / "run.toml", "wb") as file:
        file.truncate(10**12)
    assert_refused(config.read, tmp_path / "run.toml", message="more than 1048576 bytes")


# ---- MIDI files in a .zip


@pytest.fixture(scope="module")
def midi_bytes(tmp_path_factory):
    path = tmp_path_factory.mktemp("midi") / "x.mid"
    midi.midiwrite(path, np.eye(8, 88, dtype=int), (21, 109), 0.3)
    return path.read_bytes()


def test_paths_that_leave_a_zip_are_only_names(tmp_path, midi_bytes, monkeypatch):
    names = ["../up.mid", "/tmp/absolute.mid", "..\\back.mid", "C:\\x.mid", "a/../../b.mid"]
    (tmp_path / "inside").mkdir()
    path = zipped(tmp_path / "inside" / "x.zip", dict.fromkeys(names, midi_bytes))
    monkeypatch.chdir(tmp_path / "inside")
    before = sorted(tmp_path.rglob("*"))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = load_midi(path, cache=None, progress=False)
    assert len(found) == 5 and sorted(tmp_path.rglob("*")) == before
    assert not Path("/tmp/absolute.mid").exists()


@pytest.mark.parametrize(
    ("method", "n_bytes", "reason"),
    [
        (zipfile.ZIP_BZIP2, 10**8, "compresses it by an unsupported method"),
        (zipfile.ZIP_LZMA, 10**5, "compresses it by an unsupported method"),
        (zipfile.ZIP_DEFLATED, 10**8, "Bad CRC-32"),
    ],
)
def test_bombs_in_a_zip_are_skipped(tmp_path, midi_bytes, method, n_bytes, reason):
    """They claim to be small; one that claims its true size is rejected for it."""
    bomb, path = midi_bytes + bytes(n_bytes), tmp_path / "x.zip"
    zipped(path, {"bomb.mid": bomb}, method)
    assert len(path.read_bytes()) < 10**6
    if n_bytes > 2**24:
        assert_refused(load_midi, path, message="at most 16777216 are read")
    with_sizes(path, len(bomb), len(midi_bytes))
    assert_refused(load_midi, path, message=reason)


def test_a_damaged_zip_is_a_value_error(tmp_path, midi_bytes):
    path = zipped(tmp_path / "x.zip", {"a.mid": midi_bytes, "é.mid": midi_bytes})
    whole = path.read_bytes()
    start, n_refused = whole.index(b"PK\x01\x02"), 0
    places = {start + 6: 99, start + 8: 0, start + 46: 255, len(whole) - 6: 255}
    for place, value in places.items():
        damaged = bytearray(whole)
        damaged[place] = value
        path.write_bytes(damaged)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DatasetWarning)
            try:
                load_midi(path, progress=False)
            except ValueError as error:
                assert re.search("x.zip is damaged or not a .zip file|in the .zip", str(error))
                n_refused += 1
    assert n_refused == 2


@pytest.mark.parametrize("read", (midi.midiread, describe, load_midi))
def test_a_midi_file_of_a_terabyte_is_not_read(tmp_path, read):
    with open(tmp_path / "x.mid", "wb") as file:
        file.truncate(10**12)
    assert_refused(read, tmp_path / "x.mid", message="it has 1000000000000 bytes; ")


# ---- the cache


class Source:
    """A file as `shards.cached` takes it."""

    name = "tune"

    def read(self):
        return b"bytes"


def test_a_hostile_cache_counts_as_absent(tmp_path):
    tune = shards.Tune("tune", np.eye(4, 88, dtype=bool))
    cells = np.packbits(tune.roll, axis=1).tobytes()

    def cached():
        return shards.cached(tmp_path, ("key",), [Source()], 88, lambda: [tune])

    cached()
    (path,) = tmp_path.iterdir()
    about = {"digest": path.stem, "n_pitches": 88}
    good = [["tune", "", "", {}, 4, zlib.crc32(cells), 0, 0]]

    def written(index, n_index=None):
        index = index if isinstance(index, bytes) else json.dumps(index).encode()
        n_index = len(index) if n_index is None else n_index
        end = struct.pack("<QQII8s", n_index, 0, zlib.crc32(index), 0, b"rolls 1\n")
        path.write_bytes(cells + index + end)
        n_bytes, error = peak(cached)
        assert error is None and n_bytes < LITTLE
        np.testing.assert_array_equal(cached()[0].roll, tune.roll)
        return path.read_bytes() == cells + index + end

    assert written({**about, "entries": good})  # with valid checksums it is trusted
    for entries in ([[*good[0][:4], 10**13, *good[0][5:]]], [[*good[0][:6], 1, 10**13]], [], "x"):
        assert not written({**about, "entries": entries})
    assert not written({**about, "entries": good, "n_pitches": 80})
    assert not written({**about, "entries": good, "digest": "another"})
    assert not written(b"[" * 10**5)
    assert not written({**about, "entries": good}, n_index=10**13)


# ---- nothing that is read is executed

ROOT = Path(__file__).parents[1]
SOURCES = [
    path
    for folder in ("rnn4music", "midi", "examples", "benchmarks", "docs")
    for path in sorted((ROOT / folder).rglob("*.py"))
]
MODULES = {"pickle", "_pickle", "cPickle", "marshal", "shelve", "dill", "cloudpickle", "joblib",
           "jsonpickle", "yaml", "code", "codeop"}  # fmt: skip
CALLS = {"eval", "exec", "compile", "__import__", "os.system", "os.popen", "torch.load",
         "np.load", "numpy.load", "pandas.read_pickle", "tempfile.mktemp"}  # fmt: skip
ALLOWED = {
    ("safe_pickle.py", "pickle"),
    ("numpy_network.py", "np.load"),
    ("bach.py", "np.load"),  # a file that it has written itself
    ("trainings.py", "np.load"),  # the same
}


def dangers(tree):
    """Yield the names of imports and calls that may execute data."""
    for node in ast.walk(tree):
        if isinstance(node, (ast.Import, ast.ImportFrom)):
            names = [alias.name for alias in node.names]
            names = [node.module or ""] if isinstance(node, ast.ImportFrom) else names
            yield from (name for name in names if name.split(".")[0] in MODULES)
        elif isinstance(node, ast.Call):
            name = ast.unparse(node.func)
            if name in CALLS:
                yield name
            for keyword in node.keywords:
                text = ast.unparse(keyword.value)
                if keyword.arg in ("allow_pickle", "shell") and text != "False":
                    yield f"{keyword.arg}={text}"


def test_nothing_is_unpickled_or_evaluated():
    trees = {path.name: ast.parse(path.read_text("utf8")) for path in SOURCES}
    found = {(name, danger) for name, tree in trees.items() for danger in dangers(tree)}
    assert len(SOURCES) > 60 and found == ALLOWED
    source = (
        "import pickle, yaml\nfrom marshal import loads\neval(x); np.load(x, allow_pickle=True)"
    )
    assert set(dangers(ast.parse(source))) == {
        "pickle", "yaml", "marshal", "eval", "np.load", "allow_pickle=True"
    }  # fmt: skip
    network = (ROOT / "rnn4music" / "numpy_network.py").read_text()
    assert "np.load(stream, allow_pickle=False)" in network
