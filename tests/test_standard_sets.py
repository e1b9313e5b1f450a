"""The standard sets in all their forms, and pickles that contain more than data."""

import io
import json
import os
import pickle
import zipfile
from pathlib import Path

import numpy as np
import pytest
from scipy.io import savemat
from scipy.sparse import csr_array

from rnn4music.data import safe_pickle, standard_sets
from rnn4music.data.standard_sets import load_standard_set

DATA = Path(os.environ.get("RNN4MUSIC_TEST_DATA") or Path(__file__).parents[2] / "shared") / "data"
PARTS = ("train", "valid", "test")
PITCHES = {
    "train": [[[60, 64, 67], [], [21]], [[108]]],
    "valid": [[[60], [61, 62]]],
    "test": [[[70], [], []], [[71], [72]], [[73]]],
}


def roll(tune):
    array = np.zeros((len(tune), 88), np.uint8)
    for t, pitches in enumerate(tune):
        array[t, [pitch - 21 for pitch in pitches]] = 1
    return array


def objects(items):
    array = np.empty(len(items), dtype=object)
    array[:] = items
    return array


def voices(tune):
    """Pad each step to three voices with NaN, as arrays of floats."""
    return np.array([pitches + [np.nan] * (3 - len(pitches)) for pitches in tune])


ROLLS = {part: [roll(tune) for tune in PITCHES[part]] for part in PARTS}


def write_mat(path):
    cells = {f"{part}data": np.array([objects(ROLLS[part])]) for part in PARTS}
    savemat(path, cells)


def write_pickle(protocol, content=PITCHES):
    def write(path):
        path.write_bytes(pickle.dumps(content, protocol))

    return write


def read_here(path):
    """Read a file in this process, as the reading process would."""
    with open(path, "rb") as file:
        return standard_sets._read(file, path.suffix.lower(), 88, 10**9)


def write_npz(content):
    def write(path):
        np.savez(path, **{part: objects(content[part]) for part in PARTS})

    return write


FORMS = {
    "mat": ("set.mat", write_mat),
    "json": ("set.json", lambda path: path.write_text(json.dumps(PITCHES))),
    **{f"pickle {n}": ("set.pickle", write_pickle(n)) for n in range(6)},
    "pickle of rolls": ("set.PKL", write_pickle(4, ROLLS)),
    "pickle of rolls, protocol 2": ("set.pkl", write_pickle(2, ROLLS)),
    "pickle of NumPy integers": (
        "set.pickle",
        write_pickle(2, {p: [[[np.int64(n) for n in s] for s in t] for t in PITCHES[p]]
                         for p in PARTS}),
    ),
    "pickle of tuples": (
        "set.pickle",
        write_pickle(0, {p: [[tuple(s) for s in t] for t in PITCHES[p]] for p in PARTS}),
    ),
    "npz of rolls": ("set.npz", write_npz(ROLLS)),
    "npz of voices": (
        "set.npz", write_npz({part: list(map(voices, PITCHES[part])) for part in PARTS})
    ),
}  # fmt: skip


@pytest.mark.parametrize("form", FORMS)
def test_every_form_gives_the_same_rolls(tmp_path, form):
    name, write = FORMS[form]
    write(tmp_path / name)
    found = read_here(tmp_path / name)
    for part, ours in zip(PARTS, ("train", "validation", "test"), strict=True):
        dataset = standard_sets._dataset(found, "set", ours, (21, 109))
        assert len(dataset) == len(ROLLS[part])
        for roll, expected in zip(dataset, ROLLS[part], strict=True):
            assert roll.dtype == bool
            np.testing.assert_array_equal(roll, expected)
        assert dataset.names[0] == f"set {ours} 0"


@pytest.mark.parametrize("form", ("mat", "json", "pickle 2", "npz of voices"))
def test_a_file_is_read_in_another_process(tmp_path, form):
    name, write = FORMS[form]
    write(tmp_path / name)
    split = load_standard_set(tmp_path / name)
    for part, dataset in zip(PARTS, split, strict=True):
        assert [roll.tolist() for roll in dataset] == [roll.tolist() for roll in ROLLS[part]]
        assert dataset.n_notes == sum(map(np.sum, ROLLS[part]))
    assert split.validation.names == ["set validation 0"]


@pytest.mark.parametrize(
    "answer",
    (
        {},
        {"train lengths": np.array([2**62] * 4 + [3]), "train": np.zeros((3, 16), np.uint8)},
        {"train lengths": np.array([4, -1]), "train": np.zeros((3, 16), np.uint8)},
        {"train lengths": np.array([0, 3]), "train": np.zeros((3, 16), np.uint8)},
        {"train lengths": np.array([[3]]), "train": np.zeros((3, 16), np.uint8)},
        {"train lengths": np.array([3], "M8[s]"), "train": np.zeros((3, 16), np.uint8)},
        {"train lengths": np.array([np.nan]), "train": np.zeros((3, 16), np.uint8)},
        {"train lengths": np.array([2]), "train": np.zeros((3, 16), np.uint8)},
        {"train lengths": np.array([3]), "train": np.zeros((3, 15), np.uint8)},
        {"train lengths": np.array([3]), "train": np.zeros((3, 16), np.float32)},
    ),
)
def test_the_answer_of_the_other_process_is_not_trusted(monkeypatch, tmp_path, answer):
    monkeypatch.setattr(standard_sets, "in_limited_process", lambda *_, **__: answer)
    (tmp_path / "set.json").write_bytes(b"")
    with pytest.raises(
        ValueError, match=r"set\.json cannot be read: the reading process returned invalid"
    ):
        load_standard_set(tmp_path / "set.json")


def test_a_pickle_of_python_2(tmp_path):
    # {'train': [[(60,)]], 'valid': [[(61,)]], 'test': [[(62,)]]}, as Python 2 writes it
    data = (
        b"(dp0\nS'test'\np1\n(lp2\n(lp3\n(I62\ntp4\naasS'train'\np5\n(lp6\n(lp7\n(I60\ntp8\n"
        b"aasS'valid'\np9\n(lp10\n(lp11\n(I61\ntp12\naas."
    )
    (tmp_path / "set.pickle").write_bytes(data)
    split = load_standard_set(tmp_path / "set.pickle", (60, 63))
    assert [dataset[0].tolist() for dataset in split] == [
        [[True, False, False]], [[False, True, False]], [[False, False, True]]
    ]  # fmt: skip


def test_the_pitch_range(tmp_path):
    (tmp_path / "set.json").write_text(json.dumps(PITCHES))
    train = load_standard_set(tmp_path / "set.json", (0, 128)).train
    assert train[0].shape == (3, 128)
    assert np.argwhere(train[0]).tolist() == [[0, 60], [0, 64], [0, 67], [2, 21]]


# Hostile pickles -----------------------------------------------------------------------


class Runs:
    """An object whose pickle is a call."""

    def __init__(self, function, *arguments):
        self.call = function, arguments

    def __reduce__(self):
        return self.call


@pytest.mark.parametrize("protocol", range(6))
@pytest.mark.parametrize("form", ["pickle", "npz"])
def test_a_hostile_pickle_is_refused_and_nothing_runs(tmp_path, protocol, form):
    marker = tmp_path / "it ran"
    attacks = [
        Runs(os.system, f"touch '{marker}'"),
        Runs(open, str(marker), "w"),
        Runs(eval, f"open({str(marker)!r}, 'w')"),
        Runs(np.save, str(marker), np.zeros(3)),
        Runs(Path.touch, marker),
    ]
    for attack in attacks:
        path = tmp_path / f"set.{form}"
        if form == "pickle":
            path.write_bytes(pickle.dumps({**PITCHES, "train": attack}, protocol))
        else:
            np.savez(path, train=objects([attack]), valid=np.zeros((1, 1)), test=np.zeros((1, 1)))
        for read in (read_here, load_standard_set)[: 1 + (attack is attacks[0])]:
            with pytest.raises(ValueError, match=r"it asks for .*only containers, numbers and N"):
                read(path)
        assert not marker.exists() and not marker.with_suffix(".npy").exists()


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "damaged"),
        (pickle.dumps(PITCHES)[:-5], "damaged"),
        (b"\x80\x04\x8c\x05numpy\x8c\x07ndarray\x93)R.", "damaged"),
        (b"cnumpy\nndarray\n((I1000000000000\nttR.", "damaged"),
        (b"cnumpy\ndtype\n(S'V9999999999'\ntR.", "arrays of the type 'V9999999999'"),
        (b"c_codecs\nencode\n(Vx\nS'rot13'\ntR.", "bytes encoded as 'rot13'"),
        (b"cnumpy.core.multiarray\n_reconstruct\n(cnumpy\nndarray\n(I0\ntS'b'\ntR"
         b"(I1\n(I5\ntcnumpy\ndtype\n(S'i8'\ntRI00\nS'ab'\ntb.", r"array of the shape \(5,\)"),
        (b"cnumpy.core.multiarray\n_reconstruct\n(cnumpy\nndarray\n(I0\ntS'b'\ntR"
         b"(I1\n(I500\ntcnumpy\ndtype\n(S'O8'\ntRI00\n(ltb.", r"array of the shape \(500,\)"),
        (b"cnumpy.core.multiarray\n_reconstruct\n(cnumpy\nndarray\n(I0\ntS'b'\ntR"
         b"(I1\n(I8589934592\nI2147483648\ntcnumpy\ndtype\n(S'O8'\ntRI00\n(ltb.",
         r"array of the shape \(8589934592, 2147483648\)"),  # overflows to 0
        (b"cnumpy.core.multiarray\n_reconstruct\n(cnumpy\nndarray\n(I0\ntS'b'\ntR"
         b"(I1\n(I-1\nI-1\ntcnumpy\ndtype\n(S'b1'\ntRI00\nS'a'\ntb.", r"shape \(-1, -1\)"),
        (b"cnumpy.core.multiarray\nscalar\n(cnumpy\ndtype\n(S'O8'\ntRS'12345678'\ntR.",
         "OBJECT array"),
        # a dtype whose state hides that it contains objects
        (b"cnumpy\ndtype\n(S'O8'\nI00\nI01\ntR(I3\nS'|'\nNNNI8\nI8\nI0\ntbp0\n0"
         b"cnumpy.core.numeric\n_frombuffer\n(S'12345678'\ng0\n(I1\ntS'C'\ntR.",
         "OBJECT array"),
        (b"c__builtin__\nset\n.", "asks for __builtin__.set"),
        (b"cbuiltins\ngetattr\n.", "asks for builtins.getattr"),
        (b"cnumpy\nload\n.", "asks for numpy.load"),
        (b"cos\nsystem\n.", "asks for os.system"),
    ],
)  # fmt: skip
def test_pickles_that_are_refused(data, message):
    with pytest.raises(ValueError, match=message):
        safe_pickle.loads(data)


def test_data_are_unchanged(rng):
    array = rng.random((3, 4))
    content = {
        "text": "é", "bytes": b"\xff", "number": 3.5, "big": 2**80, "none": None, "yes": True,
        "nested": [(1, (2, [3])), {4: (5,)}], "array": array, "fortran": np.asfortranarray(array),
        "swapped": array.astype(">f4"), "scalar": np.float32(0.1), "small": np.uint8(7),
        "booleans": array > 0.5, "empty": np.zeros((0, 88)),
    }  # fmt: skip
    for protocol in (3, 4, 5):
        plain = safe_pickle.loads(pickle.dumps(content, protocol))
        assert plain["nested"] == content["nested"]
        for name in ("text", "bytes", "number", "big", "none", "yes", "scalar", "small"):
            assert plain[name] == content[name], name
        for name in ("array", "fortran", "swapped", "booleans", "empty"):
            assert plain[name].dtype.newbyteorder("=") == content[name].dtype.newbyteorder("=")
            np.testing.assert_array_equal(plain[name], content[name])


# Other errors --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("set.json", b"{", "cannot be read"),
        ("set.json", b"[1]", "a list, not a dict of three parts"),
        ("set.json", b'{"train": [[[60]]], "valid": [[[60]]]}', "no 'test', but 'train', 'valid'"),
        (
            "set.json",
            b'{"train": [], "valid": [[[60]]], "test": 3}',
            "'train' is not a list of tunes",
        ),
        ("set.json", b'{"train": [[]], "valid": [[[60]]], "test": [[[60]]]}', "has no steps"),
        ("set.json", b'{"train": [[[128]]], "valid": [[[60]]], "test": [[[60]]]}', "MIDI pitches"),
        ("set.json", b'{"train": [[[1.5]]], "valid": [[[60]]], "test": [[[60]]]}', "MIDI pitches"),
        ("set.json", b'{"train": [[["a"]]], "valid": [[[60]]], "test": [[[60]]]}', "cannot be"),
        (
            "set.json",
            b'{"train": [[7]], "valid": [[[60]]], "test": [[[60]]]}',
            "not a list of the sounding p",
        ),
        ("set.mat", b"no mat", "set.mat"),
        ("set.npz", b"no npz", "damaged"),
        ("set.pickle", b"no pickle", "damaged"),
        (
            "set.txt",
            b"",
            "unknown ending '.txt'; standard sets end in .json, .mat, .npz, .pickle, .pkl",
        ),
    ],
)
def test_files_that_are_refused(tmp_path, name, content, message):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(ValueError, match=message) as caught:
        load_standard_set(tmp_path / name)
    assert name in str(caught.value)


def test_rolls_hold_zeros_and_ones(tmp_path):
    with_velocities = {**ROLLS, "train": [ROLLS["train"][0] * 90]}
    write_npz(with_velocities)(tmp_path / "set.npz")
    with pytest.raises(ValueError, match=r"train\[0\] is not a piano roll of zeros and ones"):
        load_standard_set(tmp_path / "set.npz")


def test_an_array_that_claims_more_than_it_has(tmp_path):
    buffer = io.BytesIO()
    np.save(buffer, np.zeros((3, 88)))
    data = buffer.getvalue().replace(b"(3, 88)", b"(9999999, 8888)")
    data = data.replace(b" " * 8 + b"\n", b"\n", 1)
    with zipfile.ZipFile(tmp_path / "set.npz", "w") as archive:
        archive.writestr("train.npy", data)
    with pytest.raises(ValueError, match=r"claims the shape \(9999999, 8888\)"):
        load_standard_set(tmp_path / "set.npz")


def write_json(path, tunes):
    path.write_text(json.dumps({"train": tunes, "valid": [[[60]]], "test": [[[60]]]}))
    return path


def test_rolls_as_lists_are_rolls(tmp_path):
    path = write_json(tmp_path / "set.json", [ROLLS["train"][0].tolist()])
    np.testing.assert_array_equal(load_standard_set(path).train[0], ROLLS["train"][0])


@pytest.mark.parametrize(
    ("tune", "message"),
    [
        ([["60", "64"]], "values that are not MIDI pitches"),
        ([[60] * 129], "129 pitches"),
        ([[10**30]], "values that are not MIDI pitches"),
        ([[[60]]], "values that are not MIDI pitches"),
        ([[None]], "values that are not MIDI pitches"),
        ([[True, False]], "values that are not MIDI pitches"),
    ],
)
def test_steps_that_are_not_pitches(tmp_path, tune, message):
    with pytest.raises(ValueError, match=message):
        read_here(write_json(tmp_path / "set.json", [tune]))


@pytest.mark.parametrize("shape", [(4,), (2, 3, 4), (3, 129)])
def test_arrays_that_are_not_tunes(tmp_path, shape):
    write_npz({**ROLLS, "train": [np.full(shape, 60)]})(tmp_path / "set.npz")
    with pytest.raises(
        ValueError, match=r"train\[0\] has the shape .*; it must be \(steps, 88 pitches\) or"
    ):
        read_here(tmp_path / "set.npz")


def test_notes_outside_the_range_are_counted(tmp_path):
    split = load_standard_set(write_json(tmp_path / "set.json", [[[60, 64], [20]]]), (60, 64))
    assert split.train.dropped_notes == {"outside the pitch range": 2} and split.train.n_notes == 1


def test_a_set_without_notes_is_refused(tmp_path):
    path = write_json(tmp_path / "set.json", [[[62, 64], [20]]])
    with pytest.raises(ValueError, match=r"no notes in pitch_range=\(100, 109\), and 5 outside"):
        load_standard_set(path, (100, 109))
    path.write_text(json.dumps({part: [[[], []]] for part in PARTS}))
    with pytest.raises(
        ValueError, match="set.json cannot be read: it has no notes in .* 0 outside"
    ):
        load_standard_set(path)


def test_a_set_is_bounded(tmp_path):
    path = write_json(tmp_path / "set.json", [[[]] * 1000])
    with pytest.raises(
        ValueError, match="1002 steps of 88 pitches, more cells than most_cells=88000"
    ):
        load_standard_set(path, most_cells=88_000)
    assert len(load_standard_set(path, most_cells=88_176).train[0]) == 1000
    flat = [np.zeros((10**8, 0))]  # a few hundred bytes
    write_pickle(4, dict.fromkeys(PARTS, flat))(tmp_path / "flat.pickle")
    with pytest.raises(ValueError, match="more cells than most_cells=1000000000"):
        load_standard_set(tmp_path / "flat.pickle")


def test_other_arrays_are_not_read(tmp_path, monkeypatch):
    monkeypatch.setattr(standard_sets, "_MOST_BYTES", 10_000)
    arrays = {part: objects(ROLLS[part]) for part in PARTS}
    np.savez(tmp_path / "set.npz", **arrays, other=np.zeros(10_000))
    assert len(load_standard_set(tmp_path / "set.npz").train) == 2
    np.savez(tmp_path / "set.npz", **{**arrays, "valid": np.zeros(10_000)})
    with pytest.raises(ValueError, match="at most 10000 are read"):
        read_here(tmp_path / "set.npz")


@pytest.mark.parametrize(
    ("content", "message"),
    (
        (
            np.zeros((3, 88)),
            r"train\[0\] has the shape \(88,\); it must be \(steps, 88 pitches\) or",
        ),
        (np.array([objects([np.full((2, 88), 0.5)])]), r"train\[0\] is not a piano roll of zeros"),
        (np.array([objects([np.full((2, 3), 1j)])]), "values that are not MIDI pitches"),
        (np.array([objects(["text"])]), r"train\[0\] has the shape \(1,\)"),
        ({"field": np.zeros((2, 88))}, "values that are not MIDI pitches"),
        (csr_array(np.eye(88)), "is not a list of tunes"),
        (np.zeros((0, 88)), "is not a list of tunes"),
    ),
)
def test_mat_files_with_other_contents(tmp_path, content, message):
    savemat(tmp_path / "set.mat", {f"{part}data": content for part in PARTS})
    with pytest.raises(ValueError, match=message):
        read_here(tmp_path / "set.mat")


def test_a_mat_file_may_be_cut_off_or_of_another_version(tmp_path):
    path = tmp_path / "set.mat"
    write_mat(path)
    whole = path.read_bytes()
    for length in (0, 100, 128, 200, len(whole) // 2, len(whole) - 1):
        path.write_bytes(whole[:length])
        with pytest.raises(ValueError, match=r"set\.mat cannot be read"):
            load_standard_set(path)
    path.write_bytes(b"MATLAB 7.3 MAT-file".ljust(124) + b"\0\2IM" + bytes(400))
    with pytest.raises(ValueError, match="it is a MATLAB 7.3 file; save it with -v7 or older"):
        load_standard_set(path)


def test_repeated_objects_of_a_pickle_are_made_once():
    doubled = b"](K<e" + b"q\x00](h\x00h\x00e" * 60 + b"."  # 2 ** 60 numbers if written out
    found = safe_pickle.loads(doubled)
    for _ in range(60):
        first, second = found
        assert first is second
        found = first
    assert found == [60]


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no FIFOs here")
def test_what_is_not_a_file_is_refused(tmp_path):
    os.mkfifo(tmp_path / "fifo.mat")
    os.symlink("/dev/zero", tmp_path / "device.json")
    (tmp_path / "folder.npz").mkdir()
    for name, message in (
        ("fifo.mat", "not a regular file"),
        ("device.json", "not a regular file"),
        ("folder.npz", "Is a directory"),
    ):
        with pytest.raises(OSError, match=f"{message}.*{name}"):
            load_standard_set(tmp_path / name)


def test_a_missing_file(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"there is no file .*set\.mat"):
        load_standard_set(tmp_path / "set.mat")


# The sets themselves -------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "n_tunes", "n_frames"),
    [
        ("JSB_Chorales.mat", (229, 76, 77), 13_807),
        ("jsb-chorales-quarter.json", (229, 76, 77), 13_807),
        ("Nottingham.mat", (694, 173, 170), None),
    ],
)
def test_the_sets_have_the_sizes_of_the_literature(name, n_tunes, n_frames):
    if not (DATA / name).exists():
        pytest.skip(f"no {DATA / name}; RNN4MUSIC_TEST_DATA may name another folder")
    split = load_standard_set(DATA / name)
    assert tuple(map(len, split)) == n_tunes
    if n_frames:
        assert sum(map(len, split.train)) == n_frames


def test_two_forms_of_the_chorales_hold_the_same():
    paths = [DATA / "JSB_Chorales.mat", DATA / "jsb-chorales-quarter.json"]
    if not all(path.exists() for path in paths):
        pytest.skip(f"no {paths[0]} and {paths[1].name}")
    for ours, theirs in zip(*map(load_standard_set, paths), strict=True):
        assert all(np.array_equal(a, b) for a, b in zip(ours, theirs, strict=True))
