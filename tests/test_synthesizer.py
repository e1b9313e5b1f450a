"""Sound: pitch, timing, loudness and direction, files and SoundFonts."""

import io
import multiprocessing
import os
import wave

import numpy as np
import pytest
import tiny_soundfont

import midi
from rnn4music.render import synthesizer
from rnn4music.render.synthesizer import (
    SAMPLE_RATE,
    encoded,
    render,
    synthesise,
    synthesise_notes,
    write_wav,
)


def rows(pitch, pattern):
    """Return the roll of one pitch, on where the pattern has an x."""
    roll = np.zeros((len(pattern), 88))
    roll[:, pitch - 21] = [sign == "x" for sign in pattern]
    return roll


def spectrum(samples, start=0.0, end=None):
    """Return the amplitudes of a part of a sound, left plus right, at most 0.25 Hz apart."""
    end = len(samples) if end is None else round(end * SAMPLE_RATE)
    part = samples[round(start * SAMPLE_RATE) : end].sum(axis=1)
    return np.abs(np.fft.rfft(part * np.hanning(len(part)), 4 * SAMPLE_RATE))


def loudest(amplitudes):
    return np.argmax(amplitudes) / 4  # Hz


def at(amplitudes, frequency):
    """Return the greatest amplitude within 3 Hz."""
    return amplitudes[round(4 * frequency) - 12 : round(4 * frequency) + 13].max()


def level(samples, start, end):
    """Return the root mean square over both channels."""
    part = samples[round(start * SAMPLE_RATE) : round(end * SAMPLE_RATE)].astype(float)
    return np.sqrt(np.mean(part**2))


def greatest_jump(samples):
    """Return the largest difference of adjacent samples, including silence before and after."""
    return np.abs(np.diff(np.pad(samples, ((1, 1), (0, 0))), axis=0)).max()


@pytest.fixture
def dry(monkeypatch):
    """Turn the echoes off."""
    monkeypatch.setattr(synthesizer, "ROOM", 0)


def test_a_note_sounds_at_its_pitch():
    amplitudes = spectrum(synthesise(rows(69, "x" * 10), 0.3))
    assert loudest(amplitudes) == pytest.approx(440, abs=1)
    for lowest_pitch in (0, 57):
        roll = np.zeros((10, 20))
        roll[:, 12] = 1
        heard = loudest(spectrum(synthesise(roll, 0.3, lowest_pitch)))
        assert heard == pytest.approx(440 * 2 ** ((lowest_pitch + 12 - 69) / 12), abs=1)


def test_a_chord_has_all_its_notes_and_no_others():
    roll = sum(rows(pitch, "x" * 7) for pitch in (60, 64, 67))
    amplitudes = spectrum(synthesise(roll, 0.3))
    for pitch in range(60, 72):
        share = at(amplitudes, 440 * 2 ** ((pitch - 69) / 12)) / amplitudes.max()
        assert (share > 0.5) == (pitch in (60, 64, 67)) and (share > 0.5 or share < 0.02), pitch


@pytest.mark.parametrize("time_step", [0.3, 0.1, 1 / 3, 0.21371, 1 / 44100, 2])
@pytest.mark.parametrize("n_steps", [1, 7])
def test_a_sound_lasts_as_long_as_its_roll(time_step, n_steps):
    for pattern in ("x" * n_steps, "." * n_steps, "x" + "." * (n_steps - 1)):
        samples = synthesise(rows(60, pattern), time_step)
        assert samples.shape == (round(n_steps * time_step * SAMPLE_RATE), 2)
        assert samples.dtype == np.float32


def test_silence_is_silent(dry):
    samples = synthesise(rows(60, "...xx......"), 0.3)
    begin, end = round(0.9 * SAMPLE_RATE), round((1.5 + synthesizer.RELEASE) * SAMPLE_RATE)
    assert not samples[:begin].any() and not samples[end:].any()
    assert level(samples, 0.95, 1.5) > 0.01
    assert not synthesise(np.zeros((4, 88), bool), 0.3).any()


def test_the_echoes_of_a_room_follow_the_sound():
    samples = synthesise_notes([(60, 2, 2.5)], 4)
    assert level(samples, 0, 1.99) == 0 < level(samples, 2.5, 2.8)
    tail = samples[round((2.5 + synthesizer.RELEASE) * SAMPLE_RATE) :]
    levels = [level(tail, start, start + 0.1) for start in (0, 0.1, 0.2, 0.3, 0.5)]
    assert levels[0] > 1e-4 and levels[-1] == 0
    assert all(later < 0.6 * earlier for earlier, later in zip(levels, levels[1:]))


def test_the_echoes_are_those_of_the_whole_sound(rng):
    """They are added block by block."""
    from scipy.signal import fftconvolve

    n_samples = 150_000
    impulse = np.zeros((n_samples, 2), np.float32)
    impulse[0] = 10_000
    synthesizer._add_room(impulse)
    impulse = impulse / 10_000
    impulse[0] -= 1
    assert np.abs(impulse[:400]).max() < 1e-4 and abs(np.corrcoef(impulse.T)[0, 1]) < 0.1
    sound = rng.normal(size=(n_samples, 2)).astype(np.float32)
    expected = sound + fftconvolve(sound.mean(axis=1)[:, None], impulse, axes=0)[:n_samples]
    synthesizer._add_room(sound)
    np.testing.assert_allclose(sound, expected, atol=1e-5)


def test_nothing_clicks():
    """A wave cut off abruptly jumps by much of its amplitude; that of a low note is smooth."""
    smooth = greatest_jump(synthesise_notes([(40, 0, 2)], 2.5))
    roll = rows(40, "xxxxx.x.x.xx..xxx")
    for time_step in (0.3, 0.1, 0.05, 0.01, 0.001):
        samples = synthesise(roll, time_step)
        assert greatest_jump(samples) < 1.2 * smooth, time_step
        assert np.abs(samples[-1]).max() < 1e-6
    seconds = 1
    for note in [(0, 0.0001), (0, 0.003), (0.5, 0.501), (0.9, 1), (0.99, 1), (0.9999, 1), (0.2, 9)]:
        samples = synthesise_notes([(40, *note)], seconds)
        assert samples.any() and greatest_jump(samples) < 1.2 * smooth, note
    assert not synthesise_notes([(40, 0.5, 0.5), (40, 1, 2), (40, 5, 9)], seconds).any()
    np.testing.assert_array_equal(
        synthesise_notes([(40, 0, 0.9), (40, 0.5, 0.5), (40, 1.2, 3)], seconds),
        synthesise_notes([(40, 0, 0.9)], seconds),
    )
    onset = np.abs(synthesise_notes([(84, 0, 1)], 1))  # a period of this note takes 1 ms
    assert (
        onset[:44].max() < 0.15 * onset[400:].max() and onset[:400].max() < 1.1 * onset[400:].max()
    )


@pytest.mark.parametrize("seconds", [0.1, 0.15, 0.3, 0.6])
@pytest.mark.parametrize("gap", [0, 0.03])
def test_a_note_struck_again_attacks_again_and_is_as_loud_as_the_first(dry, seconds, gap):
    for pitch in (45, 60, 72):
        repeated = [(pitch, k * seconds, (k + 1) * seconds - gap) for k in range(8)]
        samples = synthesise_notes(repeated, 8 * seconds + 0.5)
        alone = synthesise_notes(repeated[:1], 8 * seconds + 0.5)
        assert np.abs(samples).max() <= 1.001 * np.abs(alone).max()
        last = 7 * seconds
        strike, first = level(samples, last, last + 0.05), level(alone, 0, 0.05)
        assert strike == pytest.approx(first, rel=0.05)
        assert level(samples, last - 0.01, last) < 0.2 * strike  # so that the attack is heard
        assert level(samples, last - 0.07, last - 0.04) > 0.6 * strike


def test_echoes_hardly_add_up():
    """The peak of a note repeated for a second is at most 1 dB above that of a single one."""
    for pitch in (45, 60, 72):
        for seconds in (0.1, 0.15, 0.3):
            repeated = [(pitch, k * seconds, (k + 1) * seconds) for k in range(8)]
            peaks = [np.abs(synthesise_notes(notes, 3)).max() for notes in (repeated, repeated[:1])]
            assert peaks[0] < 10 ** (1 / 20) * peaks[1], (pitch, seconds)


def test_overlapping_notes_of_one_pitch_do_not_add_up(dry):
    one = synthesise_notes([(60, 0, 2)], 2.5)
    unison = synthesise_notes([(60, 0, 2), (60, 0, 1)], 2.5)
    np.testing.assert_array_equal(unison[300:], one[300:])  # after the attack
    assert np.abs(unison).max() == np.abs(one).max()
    inside = synthesise_notes([(60, 0.5, 0.6), (60, 0, 2)], 2.5)
    struck_later = synthesise_notes([(60, 0.5, 2)], 2.5)
    np.testing.assert_array_equal(inside[:20900], one[:20900])
    np.testing.assert_array_equal(inside[22300:], struck_later[22300:])


@pytest.mark.parametrize("seconds", [0.1, 0.02, 0.008])
def test_a_repeated_note_does_not_click(seconds):
    notes = [(40, k * seconds, (k + 1) * seconds) for k in range(10)]
    smooth = greatest_jump(synthesise_notes([(40, 0, 2)], 2.5))
    assert greatest_jump(synthesise_notes(notes, 1.2)) < 1.1 * smooth


def test_nothing_clips_and_quiet_sounds_are_not_amplified():
    everything = synthesise(np.ones((4, 88)), 0.3)
    assert np.abs(everything).max() == pytest.approx(0.9, abs=1e-4)
    for lowest_pitch in (0, 88):
        assert np.abs(synthesise(np.ones((4, 40)), 0.3, lowest_pitch)).max() <= 0.9001
    one = synthesise(rows(60, "xxxx"), 0.3)
    assert 0.05 < np.abs(one).max() < 0.3
    three = sum(rows(pitch, "xxxx") for pitch in (60, 64, 67))
    alone = sum(synthesise(rows(pitch, "xxxx"), 0.3) for pitch in (60, 64, 67))
    np.testing.assert_allclose(
        synthesise(three, 0.3), alone, atol=4e-6
    )  # a step of 16 bits is 3e-5


def test_consecutive_on_steps_are_one_held_note(dry):
    held = synthesise(rows(60, "xxxxx."), 0.3)
    np.testing.assert_array_equal(held, synthesise_notes([(60, 0, 1.5)], 1.8))
    assert level(held, 1.2, 1.25) < level(held, 0.6, 0.65) < level(held, 0.1, 0.15)
    struck_twice = synthesise(rows(60, "xxx.xx"), 0.3)
    assert level(struck_twice, 1.25, 1.3) > 1.2 * level(struck_twice, 0.75, 0.8)
    np.testing.assert_array_equal(
        struck_twice, synthesise_notes([(60, 0, 0.9), (60, 1.2, 1.8)], 1.8)
    )


def test_a_note_is_released_at_its_end(dry):
    samples = synthesise_notes([(60, 0, 0.5)], 1)
    held = synthesise_notes([(60, 0, 1)], 1)
    np.testing.assert_array_equal(samples[: SAMPLE_RATE // 2], held[: SAMPLE_RATE // 2])
    assert 0 < level(samples, 0.54, 0.58) < 0.5 * level(held, 0.54, 0.58)


def test_upper_partials_and_high_notes_decay_first():
    held = synthesise_notes([(57, 0, 4)], 4)
    levels = [level(held, start, start + 0.5) for start in np.arange(0, 3.5, 0.5)]
    assert all(later < 0.95 * earlier for earlier, later in zip(levels, levels[1:]))
    assert levels[-1] > 0.1 * levels[0]
    early, late = spectrum(held, 0, 1), spectrum(held, 2, 3)
    fall = [at(late, 220 * number) / at(early, 220 * number) for number in (1, 2, 3, 4)]
    assert fall == sorted(fall, reverse=True)
    assert at(early, 220) > at(early, 440) > at(early, 660) > at(early, 220) / 100

    def kept(pitch):
        samples = synthesise_notes([(pitch, 0, 2)], 2)
        return level(samples, 1, 1.1) / level(samples, 0.1, 0.2)

    kept_of = [kept(pitch) for pitch in (36, 60, 84, 108)]
    assert kept_of == sorted(kept_of, reverse=True)


def test_an_octave_is_1_5_dB_quieter_than_the_one_below(dry):
    levels = []
    for pitch in (57, 69, 81):
        sound = synthesise_notes([(pitch, 0, 1)], 1)
        levels.append(20 * np.log10(level(sound, 0.005, 0.055)))  # whole periods after the attack
    np.testing.assert_allclose(np.diff(levels), -1.5, atol=0.2)
    assert levels[1] == pytest.approx(20 * np.log10(0.14 / 2), abs=0.4)  # of A4, unscaled


def test_harmonics_fade_with_their_number_and_frequency(dry):
    """Amplitudes exp(−n f / 2000 Hz) / n^1.3, which decay within 1.5 s / n^0.7."""
    amplitudes = spectrum(synthesise_notes([(69, 0, 1)], 1), 0.01, 0.21)
    for n in (2, 3, 4):
        expected = np.exp(-(n - 1) * 440 / 2000) / n**1.3 * np.exp(-0.1 * (n**0.7 - 1) / 1.5)
        ratio = at(amplitudes, n * 440) / at(amplitudes, 440)
        assert ratio == pytest.approx(expected, rel=0.05), n


def test_partials_do_not_alias():
    for pitch in (96, 108, 127):
        amplitudes = spectrum(synthesise_notes([(pitch, 0, 1)], 1), 0.05, 0.9)
        frequency = 440 * 2 ** ((pitch - 69) / 12)
        numbers = np.arange(1, SAMPLE_RATE / 2 // frequency + 1)
        of_the_note = np.zeros(len(amplitudes), bool)
        for partial in numbers * frequency:
            of_the_note[round(4 * partial) - 400 : round(4 * partial) + 400] = True
        assert amplitudes[~of_the_note].max() < 1e-4 * amplitudes.max(), pitch


def test_higher_notes_are_further_right_and_equally_strong(dry):
    samples = [synthesise_notes([(pitch, 0, 1)], 1) for pitch in range(21, 109, 3)]
    sides = np.array([np.sqrt(np.mean(each.astype(float) ** 2, axis=0)) for each in samples])
    right_by = 20 * np.log10(sides[:, 1] / sides[:, 0])  # dB
    assert (np.diff(right_by) > 0).all()
    assert -12 < right_by[0] < -3 and 3 < right_by[-1] < 13
    assert abs(right_by[len(right_by) // 2]) < 1
    mono = synthesise_notes([(64, 0, 1)], 1)  # is in the middle
    np.testing.assert_allclose(mono[:, 0], mono[:, 1], rtol=1e-5)


def test_a_note_is_as_loud_as_the_square_of_its_velocity_and_the_harder_the_brighter(dry):
    for pitch in (45, 60, 81):
        levels, centroids = [], []
        velocities = np.array([20, 45, 64, 90, 110, 127])
        for velocity in velocities:
            sound = synthesise_notes([(pitch, 0, 1)], 1, velocity)
            levels.append(level(sound, 0.005, 0.055))
            amplitudes = spectrum(sound, 0.005, 0.205)
            centroids.append(np.sum(amplitudes * np.arange(len(amplitudes))) / np.sum(amplitudes))
        usual = levels[3]
        np.testing.assert_allclose(levels / usual, (velocities / 90) ** 2, rtol=0.05)
        assert (np.diff(centroids) > 0).all() and centroids[-1] > 1.2 * centroids[0], pitch
    np.testing.assert_array_equal(
        synthesise(rows(60, "xx.x"), 0.3), synthesise(rows(60, "xx.x"), 0.3, velocity=90)
    )


def test_each_note_has_the_velocity_of_its_first_cell(dry):
    struck, velocity = rows(60, "x.x....."), np.full((8, 88), 1)
    velocity[0, 60 - 21], velocity[2, 60 - 21], velocity[5, 72 - 21] = 30, 70, 110
    roll = rows(60, "xxxx....") + rows(72, ".....xx.")
    sound = synthesise(np.hstack([roll, struck]), 0.3, onsets=True, velocity=velocity)
    notes, velocities = [(60, 0, 0.6), (60, 0.6, 1.2), (72, 1.5, 2.1)], [30, 70, 110]
    np.testing.assert_array_equal(sound, synthesise_notes(notes, 2.4, velocities))
    for note, each in zip(notes, velocities):
        part = note[1] + 0.1, note[2] - 0.1
        alone = level(synthesise_notes([note], 2.4, each), *part)
        assert level(sound, *part) == pytest.approx(alone, rel=0.02)


def test_a_long_note_lasts_beside_a_short_one_of_its_velocity(dry):
    both = synthesise_notes([(60, 0, 0.2), (60, 1, 2)], 2)
    np.testing.assert_array_equal(both[44100:], synthesise_notes([(60, 1, 2)], 2)[44100:])


def test_the_loudest_of_notes_struck_together_is_heard(dry):
    notes = [(60, 0, 1)] * 3
    loudest = synthesise_notes(notes[:1], 1, 110)
    for velocities in ((30, 110, 60), (110, 30, 60)):
        np.testing.assert_array_equal(synthesise_notes(notes, 1, velocities)[300:], loudest[300:])


def test_the_velocities_of_a_midi_file_are_heard(tmp_path):
    roll, velocity = rows(60, "xx.xx") + rows(72, "..xxx"), np.full((5, 88), 90)
    velocity[3:, 60 - 21], velocity[:, 72 - 21] = 120, 40
    midi.midiwrite(tmp_path / "tune.mid", roll, (21, 109), 0.3, velocity=velocity)
    samples = render(tmp_path / "tune.mid")
    np.testing.assert_allclose(samples, synthesise(roll, 0.3, velocity=velocity), atol=1e-4)
    assert np.abs(samples - synthesise(roll, 0.3)).max() > 0.02


@pytest.mark.parametrize(
    "velocity, error, message",
    [
        (0, ValueError, "velocity=0 must be from 1 to 127"),
        (128, ValueError, "velocity=128 must be"),
        (64.5, TypeError, "velocity must be an integer"),
        (np.full((2, 87), 90), ValueError, r"velocity has shape \(2, 87\), the roll \(2, 88\)"),
        (np.zeros((2, 88), int), ValueError, "velocity is 0 at row 0, column 39"),
    ],
)
def test_invalid_velocities_are_rejected(velocity, error, message):
    with pytest.raises(error, match=message):
        synthesise(rows(60, "xx"), 0.3, velocity=velocity)


@pytest.mark.parametrize(
    "roll, message",
    [
        (np.zeros((0, 88)), "roll is empty"),
        (np.zeros((5, 0)), "roll is empty"),
        (np.zeros(88), r"\(steps, pitches\)"),
        (np.zeros((2, 3, 88)), r"\(steps, pitches\)"),
        (np.full((5, 88), np.nan), "holds NaN"),
        (np.full((5, 88), 0.3), "holds 0.3"),
        (np.full((5, 88), 90), "holds values from 90 to 90"),
        (np.zeros((5, 108)), "pitch 128, above 127"),
    ],
)
def test_invalid_rolls_are_rejected(roll, message):
    with pytest.raises(ValueError, match=message):
        synthesise(roll, 0.3)


def test_invalid_times_are_rejected():
    roll = rows(60, "xx")
    for time_step in (0, -0.3, np.nan, np.inf):
        with pytest.raises(ValueError, match="time_step must be"):
            synthesise(roll, time_step)
    with pytest.raises(TypeError, match="time_step"):
        synthesise(roll, "0.3")
    with pytest.raises(TypeError, match="roll"):
        synthesise("roll", 0.3)
    with pytest.raises(ValueError, match="lowest_pitch"):
        synthesise(roll, 0.3, -1)
    with pytest.raises(ValueError, match="last 8,000 seconds, and at most 7,200 .*; shorten"):
        synthesise(roll, 4000)
    for seconds in (-1, np.nan):
        with pytest.raises(ValueError, match="seconds must be"):
            synthesise_notes([], seconds)
    assert synthesise_notes(iter([]), 0).shape == (0, 2)


def test_a_midi_file_sounds_like_its_roll(tmp_path):
    roll = rows(60, ".xx.x....") + rows(72, "xxxx.....")
    midi.midiwrite(tmp_path / "tune.mid", roll, (21, 109), 0.3)
    samples = render(tmp_path / "tune.mid", keep_silence=True)
    np.testing.assert_allclose(samples, synthesise(roll, 0.3), atol=1e-4)
    longer = render(tmp_path / "tune.mid", seconds=3.00001)
    assert len(longer) == round(3.00001 * SAMPLE_RATE)
    n_alike = len(samples) - round(synthesizer.DAMPING * SAMPLE_RATE)  # the end of a sound fades
    np.testing.assert_allclose(longer[:n_alike], samples[:n_alike], atol=1e-6)
    for seconds in (None, 3):
        with pytest.raises(FileNotFoundError):
            render(tmp_path / "none.mid", seconds=seconds)
    (tmp_path / "text.mid").write_text("no music")
    with pytest.raises(midi.MidiError, match="text.mid"):
        render(tmp_path / "text.mid")


def test_silence_around_a_midi_file_is_left_out(tmp_path):
    roll = np.zeros((600, 88))
    roll[100:110, 60 - 21] = roll[105:130, 72 - 21] = 1
    midi.midiwrite(tmp_path / "tune.mid", roll, (21, 109), 0.3)
    samples = render(tmp_path / "tune.mid")
    assert len(samples) == round((9 + 1) * SAMPLE_RATE)  # 30 rows, and a second
    np.testing.assert_allclose(
        samples, synthesise(np.vstack([roll[100:130], roll[:4]]), 0.3)[: len(samples)], atol=1e-4
    )
    assert len(render(tmp_path / "tune.mid", keep_silence=True)) == 180 * SAMPLE_RATE
    with_silence = render(tmp_path / "tune.mid", seconds=40)
    assert level(with_silence, 0, 29.9) == 0 < level(with_silence, 30, 31)
    midi.midiwrite(tmp_path / "short.mid", roll[98:132], (21, 109), 0.3)  # 0.6 s at both ends
    assert len(render(tmp_path / "short.mid")) == round(34 * 0.3 * SAMPLE_RATE)


def test_a_sound_lasts_as_long_as_the_notes_that_are_played(tmp_path, monkeypatch):
    """A SoundFont plays drums, the built-in synthesiser does not."""
    track = b"\x00\x90\x45\x40\x83\x60\x80\x45\x40\xa7\x00\x99\x24\x40\x83\x60\x89\x24\x40"
    track += b"\x83\xff\x00\xff\x2f\x00"  # long silence after the drum, 5.3 s after the note
    head = b"MThd\x00\x00\x00\x06\x00\x00\x00\x01\x01\xe0MTrk" + len(track).to_bytes(4, "big")
    (tmp_path / "tune.mid").write_bytes(head + track)
    monkeypatch.setattr(synthesizer.soundfonts, "play", lambda *_: np.zeros((9, 2), np.float32))
    assert len(render(tmp_path / "tune.mid")) == round(1.5 * SAMPLE_RATE)
    with_drums = 0.5 + 39 * 128 / 960 + 0.5 + 1  # seconds
    assert len(render(tmp_path / "tune.mid", "piano.sf2")) == round(with_drums * SAMPLE_RATE)


def test_the_pedal_of_a_midi_file_is_heard_and_drums_are_not(tmp_path):
    def file(name, *events):
        track = b"".join(events) + b"\x83\x60\xff\x2f\x00"  # a quarter note (0.5 s) later
        head = b"MThd\x00\x00\x00\x06\x00\x00\x00\x01\x01\xe0MTrk"
        (tmp_path / name).write_bytes(head + len(track).to_bytes(4, "big") + track)
        return render(tmp_path / name)

    quarter = b"\x83\x60"
    note = b"\x00\x90\x45\x40", quarter + b"\x80\x45\x40"
    assert len(file("dry.mid", *note)) == SAMPLE_RATE
    assert level(file("dry.mid", *note), 0.7, 0.9) < 0.001
    assert level(file("pedal.mid", b"\x00\xb0\x40\x7f", *note), 0.7, 0.9) > 0.01
    assert not file("drums.mid", b"\x00\x99\x45\x40", quarter + b"\x89\x45\x40").any()


def test_a_wav_file_contains_the_samples(tmp_path):
    samples = synthesise(rows(60, "xx.x.."), 0.21371)
    write_wav(tmp_path / "tune.wav", samples)
    with wave.open(str(tmp_path / "tune.wav")) as file:
        assert file.getparams()[:4] == (2, 2, SAMPLE_RATE, len(samples))
        stored = np.frombuffer(file.readframes(len(samples)), "<i2").reshape(-1, 2)
    assert np.abs(stored / 32768 - samples).max() <= 1 / 32768
    assert not stored[samples == 0].any()


def test_a_failed_write_leaves_the_earlier_file(tmp_path, monkeypatch):
    (tmp_path / "tune.wav").write_bytes(b"earlier")
    samples = synthesise(rows(60, "xx"), 0.3)
    with pytest.raises(FileNotFoundError, match="no folder"):
        write_wav(tmp_path / "none" / "tune.wav", samples)
    with pytest.raises(ValueError, match="NaN"):
        write_wav(tmp_path / "tune.wav", np.full((9, 2), np.nan))

    def full(*_):
        raise OSError("no space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="no space left"):
        write_wav(tmp_path / "tune.wav", samples)
    assert [path.name for path in tmp_path.iterdir()] == ["tune.wav"]
    assert (tmp_path / "tune.wav").read_bytes() == b"earlier"


def test_encoded_rejects_invalid_sounds(monkeypatch):
    for samples in (np.zeros((2, 9)), np.zeros(9)):
        with pytest.raises(ValueError, match=r"\(n, 2\)"):
            encoded(samples, "WAV")
    for worst in (1.1, -1.1, np.inf, np.nan):
        with pytest.raises(ValueError, match="from −1 to 1"):
            encoded([[0, worst]], "WAV")
    with pytest.raises(ValueError, match="'WAV', 'MP3'"):
        encoded(np.zeros((9, 2)), "OGG")
    monkeypatch.setattr("soundfile.available_formats", lambda: {"WAV": ""})
    with pytest.raises(RuntimeError, match="cannot write MP3; version 1.1 or later can"):
        encoded(np.zeros((9, 2)), "MP3")


def test_an_mp3_sounds_the_same():
    import soundfile

    if "MP3" not in soundfile.available_formats():
        pytest.skip(f"libsndfile {soundfile.__libsndfile_version__} cannot write MP3")
    samples = synthesise(rows(69, "xxx") + rows(45, "xxx"), 0.3)
    data = encoded(samples, "MP3")
    assert len(data) < len(encoded(samples, "WAV")) / 5
    heard, sample_rate = soundfile.read(io.BytesIO(data))
    assert sample_rate == SAMPLE_RATE and heard.shape[1] == 2
    heard = heard[: len(samples)]
    difference = heard - samples[: len(heard)]
    assert np.sqrt(np.mean(difference**2)) < 0.1 * level(samples, 0, 0.9)


@pytest.fixture
def files(tmp_path):
    """Return the paths of a MIDI file of 3 s, a SoundFont and their folder."""
    soundfont, tune = tmp_path / "Flügel ♪.sf2", tmp_path / "Stück ♫.mid"
    soundfont.write_bytes(tiny_soundfont.tiny_soundfont())
    midi.midiwrite(tune, rows(69, "..xxx.....") + rows(81, "......xx.."), (21, 109), 0.3)
    return tune, soundfont, tmp_path


def test_a_soundfont_plays_a_midi_file(files):
    tune, soundfont, folder = files
    try:
        samples = render(tune, soundfont)
    except ImportError as error:
        pytest.skip(str(error))
    assert samples.shape == (3 * SAMPLE_RATE, 2) and samples.dtype == np.float32
    assert loudest(spectrum(samples, 0.7, 1.4)) == pytest.approx(tiny_soundfont.FREQUENCY, abs=0.5)
    octave_up = loudest(spectrum(samples, 1.82, 2.3))
    assert octave_up == pytest.approx(2 * tiny_soundfont.FREQUENCY, abs=0.5)
    assert level(samples, 0, 0.59) < 1e-4 < level(samples, 0.7, 1.4) and np.abs(samples).max() < 1
    assert level(samples, 2.6, 3) < 1e-4

    midi.midiwrite(folder / "silent.mid", np.zeros((7, 88)), (21, 109), 0.3)
    for seconds, length in (None, 2.1), (2.5, 2.5):
        silent = render(folder / "silent.mid", soundfont, seconds)
        assert silent.shape == (round(length * SAMPLE_RATE), 2) and not silent.any()

    damaged = folder / "damaged.sf2"
    damaged.write_bytes(soundfont.read_bytes()[:-200])
    with pytest.raises(ValueError, match="damaged.sf2"):
        render(tune, damaged)


def test_files_that_are_not_soundfonts_are_rejected(files, monkeypatch):
    tune, _, folder = files
    monkeypatch.setattr("importlib.util.find_spec", lambda name: name)
    with pytest.raises(FileNotFoundError, match="none.sf2"):
        render(tune, folder / "none.sf2")
    for content in (b"", b"RIFF1234WAVE", b"text that is long enough"):
        (folder / "text.sf2").write_bytes(content)
        with pytest.raises(ValueError, match="text.sf2 is not a SoundFont"):
            render(tune, folder / "text.sf2")
    with pytest.raises(FileNotFoundError, match="none.mid"):
        render(folder / "none.mid", folder / "text.sf2", seconds=3)


def test_a_missing_symusic_names_the_remedy(files, monkeypatch):
    tune, soundfont, _ = files
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(ImportError, match="pip install 'symusic>=0.5.8,!=0.6.0'"):
        render(tune, soundfont)


def shape_of_sound(tune, soundfont):
    assert multiprocessing.current_process().daemon
    return render(tune, soundfont).shape


@pytest.mark.parametrize("method", ["spawn", "forkserver"])
def test_a_soundfont_plays_in_a_daemonic_process(files, method):
    """Such as a worker of a pool, which may not have children of multiprocessing."""
    pytest.importorskip("symusic")
    with multiprocessing.get_context(method).Pool(1) as pool:
        assert pool.apply(shape_of_sound, files[:2]) == (3 * SAMPLE_RATE, 2)


@pytest.mark.parametrize("name", [b"a b [1]", b"-x", b"\xff"])
def test_a_soundfont_and_its_tune_may_have_any_path(files, monkeypatch, name):
    pytest.importorskip("symusic")
    tune, soundfont, folder = files
    monkeypatch.chdir(folder)
    try:
        os.rename(tune, name + b".mid")
    except OSError:
        pytest.skip("the file system allows only UTF-8")
    os.rename(soundfont, name + b".sf2")
    assert render(name + b".mid", os.fsdecode(name) + ".sf2").shape == (3 * SAMPLE_RATE, 2)


SYMUSIC = """
import os
import numpy as np

class Score:
    def __init__(self, path):
        REFUSES_THE_FILE

    def note_num(self):
        return 1

class Synthesizer:
    def __init__(self, path, sample_rate, quality):
        pass

    def render(self, score, stereo):
        RENDERS
"""
"""Source of a stand-in for symusic, with two placeholders."""


@pytest.mark.parametrize(
    "renders, refuses, error, message",
    [
        ("os._exit(11)", "pass", ValueError, "symusic crashed while playing .*mid with .*sf2"),
        (
            "raise TypeError('Eigen')",
            "pass",
            ImportError,
            r"render \(Eigen\): pip install 'symusic",
        ),
        ("return np.full((2, 9), np.nan)", "pass", ValueError, ".sf2 is damaged"),
        ("pass", "raise RuntimeError('odd')", ValueError, ".mid: symusic cannot read it: odd"),
    ],
)
def test_failures_of_symusic_are_reported(files, monkeypatch, renders, refuses, error, message):
    tune, soundfont, folder = files
    stand_in = SYMUSIC.replace("RENDERS", renders).replace("REFUSES_THE_FILE", refuses)
    (folder / "symusic.py").write_text(stand_in)
    monkeypatch.syspath_prepend(str(folder))
    with pytest.raises(error, match=message):
        render(tune, soundfont)


def test_a_long_and_loud_sound_of_a_soundfont_is_scaled_and_faded_out(files, monkeypatch):
    tune, soundfont, folder = files
    stand_in = SYMUSIC.replace("RENDERS", "return np.float32([[0], [-2]]) * np.ones(5 * 44100)")
    (folder / "symusic.py").write_text(stand_in.replace("REFUSES_THE_FILE", "pass"))
    monkeypatch.syspath_prepend(str(folder))
    samples = render(tune, soundfont)
    assert samples.shape == (3 * SAMPLE_RATE, 2)
    assert samples.min() == pytest.approx(-0.9) and np.abs(samples[-1]).max() < 1e-6
    assert np.abs(np.diff(samples, axis=0)).max() < 0.001
