"""Choosing the steps of a collection: parts of a beat for scores, seconds for performances."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from rnn4music.data import RollStore, choose_grid, convert, grid, load_midi
from rnn4music.data.grid import GRIDS, Onsets, choose, share_kept, share_on_grid

DIVISION = 480


def quantity(value):
    encoded = bytes([value & 0x7F])
    while value := value >> 7:
        encoded = bytes([value & 0x7F | 0x80]) + encoded
    return encoded


def write(path, ticks, length=60, division=DIVISION, tempos=()):
    """Write notes of one pitch after the other at these ticks, and tempo events (tick, µs)."""
    events = [(tick, 2, bytes([0x90, 40 + k % 40, 80])) for k, tick in enumerate(ticks)]
    events += [(tick + length, 1, bytes([0x80, 40 + k % 40, 0])) for k, tick in enumerate(ticks)]
    events += [(tick, 0, b"\xff\x51\x03" + tempo.to_bytes(3, "big")) for tick, tempo in tempos]
    body, now = b"", 0
    for tick, _, message in sorted(events):
        body += quantity(int(tick) - now) + message
        now = int(tick)
    body += b"\0\xff\x2f\0"
    head = b"MThd\0\0\0\6\0\0\0\1" + division.to_bytes(2, "big")
    path.parent.mkdir(exist_ok=True, parents=True)
    path.write_bytes(head + b"MTrk" + len(body).to_bytes(4, "big") + body)
    return path


def every(part, n=64, shift=0):
    """Return the ticks of n notes that are 1 / part of a quarter note apart."""
    return [shift + k * DIVISION // part for k in range(n)]


def played(n=200, seed=0):
    """Return the ticks of a performance: notes at about 0.2 s, at 120 per minute."""
    return np.cumsum(np.random.default_rng(seed).integers(120, 260, n)).tolist()


@pytest.mark.parametrize("part", GRIDS)
def test_notes_that_are_parts_of_a_beat_choose_these_parts(tmp_path, part):
    found = choose_grid(write(tmp_path / "a.mid", every(part)))
    assert (found.steps_per_beat, found.time_step) == (part, None)
    assert found.shares[part] == found.shares[12 if 12 % part == 0 else 8] == 1
    assert all(found.shares[coarser] < 0.95 for coarser in GRIDS[: GRIDS.index(part)])


def test_triplets_and_sixteenths_together_need_twelve(tmp_path):
    assert choose_grid(write(tmp_path / "a.mid", every(3) + every(4, shift=50 * DIVISION))) \
        .steps_per_beat == 12  # fmt: skip


@pytest.mark.parametrize(("n_off", "chosen"), [(5, 2), (6, 4)])
def test_five_per_cent_of_the_notes_may_lie_beside_the_grid(tmp_path, n_off, chosen):
    eighths = every(2, 100 - n_off)
    sixteenths = [tick + 120 for tick in eighths[:n_off]]
    found = choose_grid(write(tmp_path / "a.mid", sorted(eighths + sixteenths)))
    assert found.steps_per_beat == chosen


def test_ornaments_on_no_grid_leave_a_score_a_score(tmp_path):
    graces = [tick - 30 for tick in every(4, 25, shift=DIVISION)]
    found = choose_grid(write(tmp_path / "a.mid", sorted(every(4, 75) + graces), length=10))
    assert found.steps_per_beat == 4
    assert max(found.shares.values()) < 0.8


def test_a_grid_may_begin_anywhere(tmp_path):
    assert choose_grid(write(tmp_path / "a.mid", every(2, shift=37))).steps_per_beat == 2
    assert choose_grid(write(tmp_path / "b.mid", every(2, shift=-1 + DIVISION))).steps_per_beat == 2


def test_onsets_up_to_an_eighth_of_a_step_away_count():
    near = np.arange(100) / 4 + np.tile([0, 0.03, -0.03, 0.02], 25)
    assert share_on_grid(near, 4) == 1
    far = np.arange(100) / 4 + np.tile([0, 0.07], 50)  # more than a quarter of a step
    assert share_on_grid(far, 4) == 0.5
    assert share_on_grid(np.arange(100) / 4, 1) == 0.25  # a quarter of a step is not near


def test_tempo_changes_do_not_matter_to_a_score(tmp_path):
    tempos = [(60 * k, 400_000 + 997 * k % 200_000) for k in range(1000)]
    found = choose_grid(write(tmp_path / "a.mid", every(4, 200), tempos=tempos))
    assert (found.steps_per_beat, found.shares[4]) == (4, 1)


def test_a_performance_is_read_in_seconds(tmp_path):
    found = choose_grid(write(tmp_path / "a.mid", played(), length=120))
    assert (found.steps_per_beat, found.time_step) == (None, 0.1)  # notes last 0.125 s
    assert found.kept[0.15] < 0.95 <= found.kept[0.1]
    slow = choose_grid(write(tmp_path / "b.mid", played(), length=120), tempo=30)
    assert slow.time_step == 0.3  # they last 0.5 s
    dense = choose_grid(write(tmp_path / "c.mid", played(), length=3))
    assert dense.time_step == 0.05
    assert dense.kept[0.05] < 0.2  # no step is short enough


def test_smpte_time_has_no_beats(tmp_path):
    data = write(tmp_path / "a.mid", every(4), division=0xE728)  # 25 frames of 40 ticks
    found = choose_grid(data)
    assert (found.n_performances, found.time_step) == (1, 0.05)


def test_notes_kept_have_a_frame_and_an_onset_of_their_own():
    notes = [(60, 0.0, 0.5), (60, 0.0, 0.7), (64, 0.31, 0.32), (60, 0.61, 1.0), (60, 0.7, 1.2)]
    # a unison counts once; 64 lies between two frames; both last strikes are in frame 3
    assert share_kept(notes, 0.3) == 2 / 4
    assert share_kept(notes, 0.05) == 3 / 4
    # 64 is in frame 1; a note without length has no frame
    assert share_kept([*notes, (50, 0.4, 0.4)], 0.3, keep_short=True) == 3 / 5


def onsets(n_notes, best, kept=(0,) * 5):
    """Return a file with all onsets on the multiples of a grid, or a performance."""
    shares = tuple(float(grid % best == 0) if best else 0.3 for grid in GRIDS)
    return Onsets(n_notes, shares, kept)


def test_neither_a_long_file_nor_short_ones_decide():
    usual = [onsets(100, 2)] * 10
    assert choose([*usual, onsets(100_000, 8)], 11).steps_per_beat == 8  # 17 % of the weight
    many = [onsets(100, 2)] * 60
    assert choose([*many, onsets(100_000, 8)], 61).steps_per_beat == 2
    assert choose([*many, *[onsets(1, 8)] * 50], 110).steps_per_beat == 2


def test_the_greater_part_decides_between_beats_and_seconds():
    score, performance = onsets(100, 4), onsets(100, None, (0, 0.5, 0.96, 1, 1))
    mostly = choose([score, score, performance, None], 4)
    assert (mostly.steps_per_beat, mostly.time_step) == (4, None)
    assert (mostly.n_scores, mostly.n_performances, mostly.n_notes) == (2, 1, 200)
    mostly = choose([score, performance, performance], 3)
    assert (mostly.steps_per_beat, mostly.time_step) == (None, 0.15)
    assert (mostly.n_scores, mostly.n_performances, mostly.n_notes) == (1, 2, 200)
    assert mostly.kept[0.2] == 0.5


def test_the_sentence_says_what_was_chosen_and_why():
    score, performance = onsets(1000, 4), onsets(900, None, (0, 0.5, 0.96, 1, 1))
    found = choose([score, score, performance], 3)
    assert found.sentence() == (
        "4 steps per beat: 100% of the note onsets lie on them (1 per beat: 0%; 2,000 notes in 2 "
        "scores; 1 performance in the same folder)"
    )
    found = choose([performance] * 500, 1200)
    assert found.sentence() == (
        "steps of 0.15 s: 96% of the notes have a step of their own (0.2 s: 50%; 450,000 notes in "
        "500 performances; from 500 of 1,200 files)"
    )
    assert choose([onsets(9, 1)], 1).sentence() == (
        "1 step per beat: 100% of the note onsets lie on them (9 notes in 1 score)"
    )
    assert "no file has notes" in choose([None], 1).sentence()


def test_an_even_sample_of_many_files_is_read(tmp_path, monkeypatch):
    for k in range(9):
        write(tmp_path / f"{k}.mid", every(4 if k in (0, 4, 8) else 2))
    assert choose_grid(tmp_path).n_measured == 9
    monkeypatch.setattr(grid, "MOST_FILES", 3)
    found = choose_grid(tmp_path)
    assert (found.n_files, found.n_measured, found.shares[2]) == (9, 3, 0.5)


def test_loading_chooses_and_remembers_the_steps(tmp_path):
    folder = write(tmp_path / "music" / "a.mid", every(4)).parent
    chosen = load_midi(folder, steps_per_beat="auto")
    given = load_midi(folder, steps_per_beat=4)
    assert chosen.options == given.options
    assert chosen.options["steps_per_beat"] == 4
    np.testing.assert_array_equal(chosen[0], given[0])
    write(folder / "a.mid", played(), length=120)
    options = load_midi(folder, steps_per_beat="auto").options
    assert (options["time_step"], options["steps_per_beat"]) == (0.1, None)
    assert load_midi(folder).options["time_step"] == 0.3
    slow = load_midi(folder, steps_per_beat="auto", tempo=30).options
    assert slow["time_step"] == 0.3


def test_converting_chooses_the_same_steps_again(tmp_path):
    folder = write(tmp_path / "music" / "a.mid", every(4)).parent
    store = convert(folder, tmp_path / "store", steps_per_beat="auto", progress=False)
    assert store.options["steps_per_beat"] == 4
    convert(folder, tmp_path / "store", steps_per_beat="auto", progress=False)
    convert(folder, tmp_path / "store", steps_per_beat=4, progress=False)
    assert RollStore(tmp_path / "store").options == store.options
    with pytest.raises(ValueError, match="steps_per_beat"):
        convert(folder, tmp_path / "store", steps_per_beat=2, progress=False)


def test_only_pitches_and_drums_that_are_read_count(tmp_path):
    path = write(tmp_path / "a.mid", every(4, 40))  # pitches 40 to 79, one after the other
    assert choose_grid(path).n_notes == 40
    assert choose_grid(path, (40, 50)).n_notes == 10
    drums = path.read_bytes().replace(bytes([0x90]), bytes([0x99])).replace(
        bytes([0x80]), bytes([0x89])
    )  # fmt: skip
    (tmp_path / "drums.mid").write_bytes(drums)
    assert choose_grid(tmp_path / "drums.mid").n_notes == 0
    assert choose_grid(tmp_path / "drums.mid", drums=True).n_notes == 40


@pytest.mark.parametrize("option", ("sustain", "keep_short"))
def test_options_that_lengthen_notes_matter_to_both_calls(tmp_path, option):
    """A performance of short notes under one pedal, many of them between two frames."""
    path = write(tmp_path / "a.mid", played(), length=20)
    data = path.read_bytes()
    pedal, length = b"\0\xb0\x40\x7f", int.from_bytes(data[18:22], "big")
    path.write_bytes(data[:18] + (length + 4).to_bytes(4, "big") + pedal + data[22:])
    for is_on, expected in ((False, 0.05), (True, 0.3)):
        options = {option: is_on, "keep_silence": True, "to_c": True, "time_step": None}
        assert choose_grid(path, **options).time_step == expected
        assert load_midi(path, steps_per_beat="auto", **options).options["time_step"] == expected
    assert choose_grid(path, steps_per_beat=4, **options).steps_per_beat is None


def test_wrong_arguments_are_errors_before_any_file_is_read(tmp_path):
    with pytest.raises(ValueError, match="either time_step or steps_per_beat"):
        load_midi("missing", time_step=0.3, steps_per_beat="auto")
    with pytest.raises(TypeError, match="drums"):
        load_midi("missing", steps_per_beat="auto", drums=1)
    with pytest.raises(TypeError, match="steps_per_beat must be a number"):
        load_midi("missing", steps_per_beat="fine")
    with pytest.raises(FileNotFoundError):
        choose_grid(tmp_path / "missing")
    (tmp_path / "a.mid").write_bytes(b"none")
    assert choose_grid(tmp_path).time_step == 0.3
    with pytest.raises(ValueError, match="cannot be used"):
        load_midi(tmp_path, steps_per_beat="auto")


def test_the_benchmark_prints_a_row_for_each_group(tmp_path):
    for name, part in (("Bach__1.mid", 4), ("Bach__2.mid", 4), ("Satie__1.mid", 1)):
        write(tmp_path / name, every(part), length=30)
    command = [sys.executable, "-m", "benchmarks.grids", str(tmp_path), "--by", "__"]
    root = Path(__file__).resolve().parents[1]
    done = subprocess.run(command, cwd=root, capture_output=True, text=True, check=True)
    cells = [[cell.strip() for cell in line.split("|")[1:-1]] for line in done.stdout.splitlines()]
    assert [(row[0], row[1], row[10]) for row in cells[2:]] == [
        ("all", "3", "4"), ("Bach", "2", "4"), ("Satie", "1", "1")
    ]  # fmt: skip
    assert cells[4][3:] == ["100.0%"] * 7 + ["1", "64", "0.0%", "0.0%"]
