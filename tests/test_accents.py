"""Accents: velocities by place in the bar and in the chord, counted in files and given back."""

import json

import numpy as np
import pytest

from midi import Beats, midiread, midiwrite
from rnn4music.data import RollStore, convert, load_midi, velocities
from rnn4music.data import accents as accents_module
from rnn4music.data.accents import Accents, counted, learned, period_of

RANGE = (21, 109)
WALTZ = Beats(2, tempo=90.0, meter=(3, 4))  # six steps per bar
TRUE = Accents(70.0, [12.0, -4.0, 0.0, -4.0, 0.0, -4.0], [-6.0, -9.0, 15.0])


@pytest.fixture
def weak_penalty(monkeypatch):
    """Make deviations nearly those of the notes."""
    monkeypatch.setattr(accents_module, "SHRINK", 20)


def music(n_bars=60, seed=0, period=6):
    """Return chords of one to four notes, struck at some of the steps, each one step long."""
    rng = np.random.default_rng(seed)
    roll = np.zeros((n_bars * period, 88), bool)
    for step in range(len(roll)):
        n_notes = 4 if step % period == 0 else rng.integers(0, 5)
        roll[step, rng.choice(60, n_notes, replace=False)] = True
    return roll


def struck_only(roll):
    """Return the roll with a silent step after each struck one, so that nothing is held."""
    return np.repeat(roll, 2, axis=0) & (np.arange(2 * len(roll)) % 2 == 0)[:, np.newaxis]


def counts_of(roll, velocity, beats=None):
    step, column = np.nonzero(velocity)
    return counted(roll, step, column, velocity[step, column], beats)


def same_effects(found, true, tolerance):
    """Compare the sums of the effects, since a constant may move between them."""
    sums = [np.add.outer(each.positions, each.heights) for each in (found, true)]
    np.testing.assert_allclose(sums[0] - sums[0].mean(), sums[1] - sums[1].mean(), atol=tolerance)
    return True


def test_flat_without_information():
    assert (velocities(music()) == 90).all()
    assert velocities(music(), WALTZ).shape == music().shape
    with_onsets = np.hstack([music(), music()])
    assert velocities(with_onsets, onsets=True).shape == music().shape
    np.testing.assert_array_equal(
        velocities(with_onsets, WALTZ, TRUE, onsets=True), velocities(music(), WALTZ, TRUE)
    )


def test_a_chord_has_a_lowest_inner_and_highest_notes():
    roll = np.zeros((3, 8), bool)
    roll[0, [1, 3, 4, 6]] = roll[1, [2, 5]] = roll[2, 4] = True
    found = velocities(roll, None, Accents(60.0, [0.0], [-10.0, 0.0, 20.0]))
    assert found[0, [1, 3, 4, 6]].tolist() == [50, 60, 60, 80]
    assert found[1, [2, 5]].tolist() == [50, 80]
    assert found[2, 4] == 80  # alone


def test_positions_are_counted_from_the_first_step_of_the_bar():
    roll = np.ones((7, 1), bool)
    accents = Accents(60.0, [6.0, 5.0, 4.0, 3.0, 2.0, 1.0], [0.0, 0.0, 0.0])
    first = velocities(roll, WALTZ, accents)[:, 0]
    assert first.tolist() == [66, 65, 64, 63, 62, 61, 66]
    upbeat = velocities(roll, WALTZ._replace(first_step=4), accents)[:, 0]
    assert upbeat.tolist() == [62, 61, 66, 65, 64, 63, 62]
    for other in (None, Beats(2), Beats(4, meter=(5, 16), first_step=2)):
        assert (velocities(roll, other, accents) == 60).all()


def test_velocities_stay_in_their_range():
    loud = Accents(120.0, [50.0, -200.0], [0.0, 0.0, 0.0])
    beats = Beats(1, meter=(2, 4))
    assert velocities(np.ones((2, 1)), beats, loud)[:, 0].tolist() == [127, 1]


def test_a_bar_that_is_no_whole_number_of_steps_has_one_position():
    assert period_of(WALTZ) == 6
    assert period_of(Beats(1, meter=(3, 8))) == period_of(None) == 1


def test_bars_of_too_many_steps_have_one_position():
    assert period_of(Beats(125)) == 500 and period_of(Beats(126)) == period_of(Beats(10**9)) == 1


def test_accents_of_a_metre_are_for_that_metre():
    """A bar of 6/8 has as many steps as one of 3/4, and other accents."""
    jig = Beats(4, meter=(6, 8))
    counts = np.zeros((12, 3, 2), int)
    counts[0, 2], counts[1, 2] = (1000, 300_000), (1000, -300_000)
    found = learned([(90 * 2000, *counts.ravel().tolist())], jig)
    assert found.meter == [6, 8] and found.positions[0] > 10
    roll = np.ones((12, 1), bool)
    assert velocities(roll, jig, found)[0] > velocities(roll, jig, found)[1]
    assert len(set(velocities(roll, jig._replace(meter=(3, 4)), found)[:, 0])) == 1
    without_bars = Accents(90.0, [5.0], [0.0] * 3, [6, 8])
    assert velocities(roll, Beats(1, meter=(3, 8)), without_bars)[0] == 95


@pytest.mark.parametrize("period", (1, 7))
def test_the_least_squares_are_those_of_all_equations(period):
    """Solved for positions and heights together, as the definition has them."""
    rng = np.random.default_rng(period)
    weight = rng.integers(0, 3000, (period, 3))
    tenths = np.rint(rng.normal(size=(period, 3)) * weight * 50).astype(int)
    counts = (int(weight.sum()) * 70, *np.stack([weight, tenths], -1).ravel().tolist())
    found = learned([counts], Beats(1, meter=(7, 4)) if period > 1 else None)
    # one row for each place, and one for each deviation that the penalty draws to 0
    places = np.eye(period)[:, np.newaxis].repeat(3, 1), np.eye(3)[np.newaxis].repeat(period, 0)
    rows = np.concatenate(places, axis=-1).reshape(-1, period + 3)
    weights = np.append(weight.ravel(), np.full(period + 3, accents_module.SHRINK))
    mean = np.append(tenths.ravel() / 10 / np.maximum(weight.ravel(), 1), np.zeros(period + 3))
    rows = np.vstack([rows, np.eye(period + 3)]) * np.sqrt(weights)[:, np.newaxis]
    expected = np.linalg.lstsq(rows, mean * np.sqrt(weights), rcond=None)[0]
    np.testing.assert_allclose([*found.positions, *found.heights], expected, atol=0.00501)


def test_the_true_accents_are_learned(weak_penalty):
    roll = music(600)
    velocity = np.where(roll, velocities(roll, WALTZ, TRUE), 0).astype(np.uint8)
    found = learned([counts_of(roll, velocity, WALTZ)], WALTZ)
    assert same_effects(found, TRUE, 2)
    assert found.mean == pytest.approx(velocity[roll].mean(), abs=0.01)
    later = learned([counts_of(roll[2:], velocity[2:], WALTZ._replace(first_step=2))], WALTZ)
    assert same_effects(later, TRUE, 2)


def test_loud_and_soft_passages_are_no_accents():
    roll = music(n_bars=100)
    bar = np.arange(len(roll)) // 6
    roll[(bar >= 50) & (np.arange(len(roll)) % 6 > 0)] = False  # loud bars have only a downbeat
    level = np.where(bar < 50, 40, 110)[:, np.newaxis]
    found = learned([counts_of(roll, np.where(roll, level, 0), WALTZ)], WALTZ)
    assert np.abs([*found.positions, *found.heights]).max() == 0
    assert 40 < found.mean < 110


def test_places_with_few_notes_stay_near_the_mean():
    few, many = 500, 500_000  # notes that are all struck alone, 10 louder than their bars
    for n_notes, expected in ((few, 10 / 3), (many, 10 / 2.001)):
        counts = (90 * n_notes, 0, 0, 0, 0, n_notes, 10 * 10 * n_notes)
        found = learned([counts])
        assert found == Accents(90.0, [round(expected, 2)], [0.0, 0.0, round(expected, 2)])
    rare = (90 * 1001, 0, 0, 0, 0, 1000, -100, 0, 0, 0, 0, 1, 600)  # one note, 60 louder
    assert 0 < learned([rare], Beats(1, meter=(2, 4))).positions[1] < 0.2


def test_files_with_one_velocity_do_not_count():
    roll = music()
    alike = np.where(roll, 90, 0)
    assert counts_of(roll, alike, WALTZ) == ()
    struck = np.argwhere(roll)
    few = alike.copy()
    few[tuple(struck[: len(struck) // 10 - 1].T)] = 50
    assert counts_of(roll, few, WALTZ) == ()
    few[tuple(struck[: len(struck) // 10 + 2].T)] = 50
    assert counts_of(roll, few, WALTZ) != ()
    assert counts_of(np.zeros((4, 3)), np.zeros((4, 3), int)) == ()
    assert learned([(), ()], WALTZ) is None
    accented = counts_of(roll, np.where(roll, velocities(roll, WALTZ, TRUE), 0), WALTZ)
    assert learned([accented, ()], WALTZ) == learned([accented], WALTZ)
    other = counts_of(roll, np.where(roll, velocities(roll, WALTZ, TRUE), 0), Beats(2))
    assert learned([accented, other], WALTZ) == learned([accented], WALTZ)  # another length of bars


def test_accents_are_json(tmp_path):
    roll = music()
    found = learned(
        [counts_of(roll, np.where(roll, velocities(roll, WALTZ, TRUE), 0), WALTZ)], WALTZ
    )
    assert Accents(**json.loads(json.dumps(found._asdict()))) == found


@pytest.fixture
def folder(tmp_path):
    """Two waltzes with accents, a flat waltz, and a short march with other accents."""
    folder = tmp_path / "music"
    folder.mkdir()
    for seed in (0, 1):
        write(
            folder / f"{seed}.mid", struck_only(music(300, seed)), WALTZ._replace(steps_per_beat=4)
        )
    roll = struck_only(music(seed=2))
    midiwrite(folder / "flat.mid", roll, RANGE, beats=WALTZ._replace(steps_per_beat=4))
    march = struck_only(music(20, 3, 4))
    write(
        folder / "march.mid",
        march,
        Beats(4, meter=(2, 4)),
        Accents(50.0, [40.0] + 7 * [0.0], [0.0] * 3),
    )
    return folder


FINE = Accents(70.0, np.repeat(TRUE.positions, 2).tolist(), TRUE.heights)


def write(path, roll, beats, accents=FINE):
    midiwrite(path, roll, RANGE, beats=beats, velocity=velocities(roll, beats, accents))


def test_collections_learn_the_accents_of_their_metre(folder, tmp_path, weak_penalty):
    options = {"steps_per_beat": 4, "onsets": True}
    convert(folder, tmp_path / "store", **options, progress=False)
    cached = [load_midi(folder, **options, cache=tmp_path / "cache") for _ in range(2)]
    for tunes in (*cached, RollStore(tmp_path / "store")):
        found = tunes.accents
        even = Accents(found.mean, found.positions[::2], found.heights)
        assert same_effects(even, TRUE, 2)
        assert found.positions[1::2] == [0.0] * 6  # nothing is struck there
        assert tunes.select([0, 1]).accents == found  # the flat waltz and the march do not count
        assert tunes.select([2]).accents is None
        assert tunes.select([3]).accents.positions[0] > 10
        assert tunes.in_keys([0, 1]).accents.mean == found.mean
    # rolls in seconds have no bars, but heights
    slow = load_midi(folder, time_step=0.1).accents
    assert len(slow.positions) == 1
    assert slow.heights[2] - slow.heights[0] > 10


def test_metres_of_as_many_steps_are_not_mixed(tmp_path):
    roll = struck_only(music(50))
    for name, meter, accent in (("a", (3, 4), 40.0), ("b", (3, 4), 40.0), ("c", (6, 8), -40.0)):
        beats = Beats(4, meter=meter)
        accents = Accents(70.0, [accent] + 11 * [0.0], [0.0] * 3)
        write(tmp_path / f"{name}.mid", roll, beats, accents)
    tunes = load_midi(tmp_path, steps_per_beat=4)
    assert tunes.beats.meter == (3, 4) and tunes.accents.meter == [3, 4]
    assert tunes.accents == tunes.select([0, 1]).accents
    assert tunes.select([2]).accents.positions[0] < 0 < tunes.accents.positions[0]


def test_files_whose_metre_changes_do_not_count(tmp_path):
    beats, roll, path = Beats(4, meter=(3, 4)), struck_only(music(60)), tmp_path / "a.mid"
    midiwrite(path, roll, RANGE, beats=beats, velocity=velocities(roll, beats, FINE), format=1)
    assert load_midi(path, steps_per_beat=4).accents is not None
    data = bytearray(path.read_bytes())
    data[11] += 1  # the number of tracks; the new one has 2/4 after nine quarter notes
    late = b"\xa1\x60\xff\x58\x04\x02\x02\x18\x08\x00\xff\x2f\x00"
    path.write_bytes(data + b"MTrk" + len(late).to_bytes(4, "big") + late)
    changing = load_midi(path, steps_per_beat=4)
    assert (changing.notations[0].n_meter_changes, changing.accents) == (1, None)


def test_tunes_in_c_keep_their_accents(folder):
    plain = load_midi(folder, steps_per_beat=4)
    in_c = load_midi(folder, (0, 128), steps_per_beat=4, to_c=True)
    assert in_c.accents == plain.accents


def test_the_velocity_roll_has_the_velocities_of_struck_cells(folder):
    path = folder / "0.mid"
    content = midiread(path, steps_per_beat=4)
    roll = struck_only(music(300, 0))
    beats = WALTZ._replace(steps_per_beat=4)
    n_steps = len(content.piano_roll)
    expected = np.where(roll, velocities(roll, beats, FINE), 0)
    np.testing.assert_array_equal(content.velocity_roll, expected[:n_steps])
    assert content.velocity_roll.dtype == np.uint8
    coarse = midiread(path, (30, 60), steps_per_beat=1)
    assert ((coarse.velocity_roll > 0) == (coarse.onset_roll > 0)).all()
    assert coarse.n_too_short > 0
    loudest = {}
    for note, velocity in zip(coarse.notes, coarse.velocities, strict=True):
        step = round(note.start * 90 / 60, 6)
        if step == int(step):
            loudest[int(step), note.pitch - 30] = velocity
    assert {cell: coarse.velocity_roll[cell] for cell in loudest} == loudest


def test_the_loudest_of_merged_notes_counts(tmp_path):
    roll = np.zeros((8, 88), bool)
    roll[0, 40] = roll[1, 40] = True
    path = tmp_path / "a.mid"
    velocity = np.where(np.arange(8) == 0, 100, 30)[:, np.newaxis].repeat(88, 1)
    midiwrite(path, roll, RANGE, 0.1, velocity=velocity, onset_roll=roll)
    content = midiread(path, dt=0.4, keep_short=True)
    assert content.n_merged == 1
    assert content.velocity_roll[0, 40] == 100
