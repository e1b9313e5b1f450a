"""Tunes as sound: a small synthesiser, SoundFonts, WAV and MP3.

A note is a sum of harmonics: sines of 1, 2, 3, … times its frequency. Each decays exponentially,
higher ones faster, which sounds like a soft electric piano. In complex numbers such a sine is a
geometric sequence z⁰, z¹, z², …. Since z^(Bm + j) = z^(Bm) · z^j, the m blocks of B samples each
are one matrix product over all harmonics.

Conventions
-----------
A sound is an (n, 2) float32 array in [−1, 1]: left and right, `SAMPLE_RATE` samples per second. A
note is (pitch, start, end) in seconds from the start of the sound. In a roll, consecutive steps in
which a pitch is on are one note, unless strikes divide it (`midi.onsets`). After its end a note
fades within `RELEASE` seconds, and sooner where its pitch is struck again or the sound ends. The
amplitude of a note is proportional to the square of its velocity, as SoundFont players have it, and
softer notes are darker. The usual velocity 90 leaves headroom for four or five notes at a time. The
echoes of a small room follow. A sound whose peak would exceed `PEAK` is scaled down as a whole.
"""

import io
from inspect import signature
from typing import Any

import numpy as np

import midi
from midi.files import written_whole
from midi.reading import checked_flag
from midi.writing import USUAL_VELOCITY, checked_velocity
from rnn4music._utils import checks
from rnn4music.data import pianoroll
from rnn4music.render import soundfont as soundfonts

SAMPLE_RATE = 44100  # samples per second
LONGEST = 7200  # seconds; an hour of sound takes 1.3 GB of memory
LOUDNESS = 0.14  # amplitude of a sine as strong as an A4 of usual velocity; 1.5 dB less per octave
PEAK = 0.9
ATTACK, RELEASE = 0.005, 0.15  # seconds
DAMPING = 0.025  # seconds before a strike, and before the end, in which what sounds fades
ROOM = 0.2  # amplitude of all echoes, relative to the sound
_ROOM_DELAY, _ROOM_SECONDS = 0.012, 0.4  # first echo; fall to a thousandth
_ROOM_DARKNESS = 4000  # Hz at which echoes are half as strong
_ROOM_BLOCK = 2**16  # samples per transform
_NOISE = 2.0**-20  # greatest error of a transform, so that silence stays silent
_DECAY = 1.5  # seconds for the fundamental of A4 to fall to 1/e; half as long two octaves up
_MOST_HARMONICS = 24
_BRIGHTNESS = 2000  # Hz over which the amplitudes of harmonics fall to 1/e
_BRIGHTER, _SHARED = 36, 9  # velocities that double the brightness; that share a timbre
_INAUDIBLE = 2.0**-15  # relative to the initial amplitude of the fundamental
_BLOCK, _ROWS = 256, 8  # samples; blocks per product, few enough for BLAS to stay on one thread
_MIDDLE, _HIGHEST = 64, 127  # pitches
_WIDTH = np.pi / 2  # angle between the directions of the lowest and the highest pitch


def synthesise(roll, time_step, lowest_pitch=21, *, onsets=False, velocity=USUAL_VELOCITY):
    """Return the sound of a piano roll.

    Parameters
    ----------
    roll : (T, P), or (T, 2P) with `onsets`
        Zeros and ones, or booleans.
    time_step : float
        Seconds per row.
    lowest_pitch : int
        MIDI pitch of column 0.
    onsets : bool
        Whether the roll has its onset roll beside it: first the P sounding columns, then the P
        struck ones.
    velocity : int or (T, P) array of int
        How hard the notes are struck, as for `midi.midiwrite`.

    Returns
    -------
    (n, 2) float32
        n = round(T · time_step · SAMPLE_RATE), including silence at the end of the roll.

    Raises
    ------
    TypeError, ValueError
        If the roll is empty, does not have two axes, or holds values other than 0 and 1; if the
        time step is not above 0; if a pitch is above 127; if a velocity is not from 1 to 127; if
        the sound would exceed `LONGEST` seconds.
    """
    roll, lowest_pitch = validate(roll, lowest_pitch, onsets)
    time_step = checks.number("time_step", time_step, above=0)
    sounding, struck = pianoroll.halves(roll, onsets)
    velocities = checked_velocity(velocity, midi.canonical_onsets(sounding, struck))
    column, first, end = midi.onset_notes(sounding, struck).T
    notes = np.column_stack([column + lowest_pitch, first * time_step, end * time_step])
    return synthesise_notes(notes, len(roll) * time_step, velocities[first, column])


def validate(roll, lowest_pitch, onsets=False):
    """Return a roll of zeros and ones and its lowest pitch; raise for pitches above 127."""
    roll = pianoroll.validate("roll", roll, binary=True)
    lowest_pitch = checks.integer("lowest_pitch", lowest_pitch, low=0)
    sounding = pianoroll.halves(roll, checked_flag("onsets", onsets))[0]
    n_pitches = sounding.shape[1]
    if lowest_pitch + n_pitches - 1 > _HIGHEST:
        remedy = f"give at most {_HIGHEST + 1 - n_pitches}"
        if n_pitches > _HIGHEST + 1:
            remedy = "if half of its columns are struck ones, give onsets=True"
        raise ValueError(
            f"lowest_pitch={lowest_pitch} puts the last of {n_pitches} columns at pitch "
            f"{lowest_pitch + n_pitches - 1}, above {_HIGHEST}; {remedy}"
        )
    return roll, lowest_pitch


def synthesise_notes(notes, seconds, velocities: Any = USUAL_VELOCITY):
    """Return the sound of notes (pitch, start, end), such as ``midiread(path).notes``.

    `velocities` is one for all notes, or one for each. Notes are cut at `seconds`; notes of length
    0 are silent. A note is damped before its pitch is struck again, and one that is struck within a
    longer one of its pitch lasts as long as that. The loudest of several struck together is heard.
    """
    sound = np.zeros((_n_samples(seconds), 2), np.float32)
    notes = np.array([*notes], float).reshape(-1, 3)
    times = np.minimum(np.rint(notes[:, 1:] * SAMPLE_RATE), len(sound)).astype(int)
    velocities = np.broadcast_to(np.asarray(velocities, np.float32), len(notes))
    release, damper = round(RELEASE * SAMPLE_RATE), round(DAMPING * SAMPLE_RATE)
    fade, damping = (_fade(n).astype(np.float32) for n in (release, damper))
    for pitch in np.unique(notes[:, 0]):
        played = np.flatnonzero((notes[:, 0] == pitch) & (times[:, 0] < times[:, 1]))
        played = played[np.lexsort((velocities[played], times[played, 0]))]
        (start, end), velocity = times[played].T, velocities[played]
        again = np.append(start[1:], len(sound) + damper)[: len(start)]  # the next strike, if any
        end = np.minimum(np.maximum.accumulate(end), again)
        stop = np.minimum(np.minimum(end + release, again), len(sound))
        timbre = np.rint((velocity - USUAL_VELOCITY) / _SHARED) * _SHARED
        tones = {
            each: _struck(pitch, max((stop - start)[timbre == each]), each)
            for each in np.unique(timbre)
        }
        gain = (velocity / USUAL_VELOCITY) ** 2
        lengths = end - start, stop - start, again - start
        for begin, held, length, damped, tone, factor in zip(start, *lengths, timbre, gain):
            note = tones[tone][:length] * factor
            note[held:] *= fade[: len(note[held:])]
            first = max(damped - damper, 0)
            note[first:] *= damping[first - damped :][: len(note[first:])]
            sound[begin : begin + len(note)] += note
    _add_room(sound)
    sound[-damper:] *= damping[-len(sound) :] if len(sound) else 1
    return _without_clipping(sound)


def render(midi_path, soundfont=None, seconds=None, keep_silence=False):
    """Return the sound of a MIDI file.

    The built-in synthesiser plays all notes except drums, with their velocities and the sustain
    pedal, on a single instrument. With a SoundFont, symusic plays the file's own instruments and
    velocities, but ignores pedals and other controllers.

    Parameters
    ----------
    midi_path : str or path
    soundfont : str or path, optional
        SoundFont file (.sf2 or .sf3) to play with instead of the built-in synthesiser. Requires
        the extra "soundfont".
    seconds : float, optional
        Length of the sound, from the beginning of the file.
    keep_silence : bool
        Without `seconds`: whether silence before the first and after the last note is kept. By
        default the sound ends one second after the last note that is played, and begins with the
        first note if the silence before is longer than a second.

    Returns
    -------
    (n, 2) float32
        n = round(seconds · SAMPLE_RATE).

    Raises
    ------
    FileNotFoundError
        A file does not exist.
    midi.MidiError
        The MIDI file cannot be read (a ValueError).
    ValueError
        The SoundFont is damaged or not a SoundFont, or symusic cannot read the MIDI file.
    ImportError
        A SoundFont is given and symusic is not installed.
    """
    length = midi.describe(midi_path).seconds
    # the built-in synthesiser plays the pedal but no drums, a SoundFont drums but no pedal
    is_built_in = soundfont is None
    content = midi.midiread(midi_path, (0, 128), sustain=is_built_in, drums=not is_built_in)
    notes, begin = np.array(content.notes, float).reshape(-1, 3), 0
    if len(notes) and not keep_silence and seconds is None:
        begin = notes[:, 1].min() if notes[:, 1].min() > pianoroll.SILENCE else 0
        length = min(length, notes[:, 2].max() + pianoroll.SILENCE) - begin
    seconds = length if seconds is None else seconds
    n_samples = _n_samples(seconds)
    if is_built_in:
        return synthesise_notes(notes - [0, begin, begin], seconds, content.velocities)
    played = soundfonts.play(midi_path, soundfont, SAMPLE_RATE)[round(begin * SAMPLE_RATE) :]
    sound = np.zeros((n_samples, 2), np.float32)
    sound[: len(played)] = played[:n_samples]
    if len(played) > n_samples:
        n_faded = min(round(RELEASE * SAMPLE_RATE), n_samples)
        sound[n_samples - n_faded :] *= _fade(n_faded)
    return _without_clipping(sound)


def check_format(format):
    """Raise an error if sound files of a format, "WAV" or "MP3", cannot be written."""
    import soundfile

    checks.choice("format", format, ("WAV", "MP3"))
    if format not in soundfile.available_formats():
        raise RuntimeError(
            f"libsndfile {soundfile.__libsndfile_version__} cannot write {format}; version 1.1 or "
            "later can. On most systems pip install --upgrade soundfile installs one"
        )


def encoded(samples, format):
    """Return a sound as the bytes of a file; `format` is "WAV" (16 bits per sample) or "MP3"."""
    import soundfile

    check_format(format)
    sound = pianoroll.numeric_array("samples", samples)
    if sound.ndim != 2 or sound.shape[1] != 2:
        raise ValueError(f"samples must have the shape (n, 2), but has {sound.shape}")
    if not len(sound):
        raise ValueError(f"the sound is shorter than a sample, 1/{SAMPLE_RATE} s: nothing to write")
    if not (sound.min(initial=0) >= -1 and sound.max(initial=0) <= 1):  # also rejects NaN
        raise ValueError("samples must be from −1 to 1 and not NaN; divide them by their peak")
    file = io.BytesIO()
    subtype = "PCM_16" if format == "WAV" else None
    soundfile.write(file, sound.astype(np.float32, copy=False), SAMPLE_RATE, subtype, format=format)
    return file.getvalue()


def small_mp3(samples, most_bytes):
    """Return the beginning of a sound as an MP3 file of at most `most_bytes`, and its seconds.

    It has one channel and half of the sample rate. It is compressed more if it does not fit whole.
    """
    import soundfile
    from scipy.signal import resample_poly

    encoded(samples[:1], "MP3")  # raises if it cannot be
    mono, options = resample_poly(np.mean(samples, axis=1), 1, 2), {}
    while True:
        file = io.BytesIO()
        sound = np.clip(mono, -1, 1)
        soundfile.write(file, sound, SAMPLE_RATE // 2, format="MP3", **options)
        size = len(file.getvalue())
        if size <= most_bytes:
            return file.getvalue(), 2 * len(mono) / SAMPLE_RATE
        if not options and "compression_level" in signature(soundfile.write).parameters:
            options = {"compression_level": 0.8, "bitrate_mode": "VARIABLE"}  # soundfile 0.13
            continue
        n = int(0.97 * most_bytes / size * len(mono))
        if n < SAMPLE_RATE:
            raise ValueError("the roll alone is large for a notebook; write_page has a player")
        mono = mono[:n] * np.minimum(1, np.arange(n, 0, -1) / (SAMPLE_RATE // 2))  # fades out


def write_wav(path, samples):
    """Write a sound, (n, 2), as a 16-bit WAV file, whole or not at all."""
    data = encoded(samples, "WAV")
    with written_whole(path) as file:
        file.write(data)


def _struck(pitch, n_samples, harder):
    """Return the sound of a held note, (n, 2), until it is inaudible.

    It has the loudness of the usual velocity, and the timbre of a velocity `harder` above it.
    """
    brightness = _BRIGHTNESS * 2 ** (harder / _BRIGHTER)
    frequency = 440 * 2 ** ((pitch - 69) / 12)
    number = np.arange(1, _MOST_HARMONICS + 1)
    number = number[number * frequency < SAMPLE_RATE / 2]
    amplitude = np.exp(-number * frequency / brightness) / number**1.3
    amplitude *= LOUDNESS * 2 ** ((69 - pitch) / 48) / np.sqrt(np.sum(amplitude**2))
    decay = _DECAY * 2 ** ((69 - pitch) / 24) * SAMPLE_RATE  # samples
    n_samples = min(n_samples, round(-np.log(_INAUDIBLE) * decay))
    log_z = 2j * np.pi * number * frequency / SAMPLE_RATE - number**0.7 / decay
    block = np.arange(0, n_samples, _BLOCK * _ROWS)[:, None] + _BLOCK * np.arange(_ROWS)
    first = np.exp(block[:, :, None] * log_z).astype(np.complex64)  # (products, rows, harmonics)
    within = (amplitude * np.exp(np.outer(np.arange(_BLOCK), log_z))).astype(np.complex64)
    mono = (first @ within.T).imag.ravel()[:n_samples]
    attack = np.sin(np.linspace(0, np.pi / 2, round(ATTACK * SAMPLE_RATE))) ** 2
    mono[: len(attack)] *= attack[:n_samples]
    direction = np.pi / 4 + _WIDTH * (pitch - _MIDDLE) / _HIGHEST  # 0 is left, π/2 is right
    return mono[:, None] * np.array([np.cos(direction), np.sin(direction)], np.float32)


def _add_room(sound):
    """Add the echoes of a small room, in place: noise that decays, another on each side."""
    from scipy.fft import irfft, rfft, rfftfreq  # in single precision

    seconds = np.arange(round(_ROOM_SECONDS * SAMPLE_RATE)) / SAMPLE_RATE
    echoes = np.random.default_rng(1).uniform(-1, 1, (2, len(seconds)))
    echoes *= (seconds > _ROOM_DELAY) * 10 ** (-3 * seconds / _ROOM_SECONDS)
    echoes *= ROOM / np.sqrt(np.mean(np.sum(echoes**2, axis=1)))
    spectrum = np.asarray(rfft(echoes, _ROOM_BLOCK))
    spectrum /= 1 + (rfftfreq(_ROOM_BLOCK, 1 / SAMPLE_RATE) / _ROOM_DARKNESS) ** 2
    spectrum = spectrum.astype(np.complex64)
    middle = np.full(2, 0.5, np.float32)
    tail, n_samples = np.float32(0), _ROOM_BLOCK - len(seconds)
    for begin in range(0, len(sound), n_samples):  # the echoes of a block last into the next
        block = sound[begin : begin + n_samples]
        heard = np.asarray(irfft(np.asarray(rfft(block @ middle, _ROOM_BLOCK)) * spectrum))
        heard[:, : len(seconds)] += tail
        added = heard[:, : len(block)].T
        block += added * (np.abs(added) > _NOISE)
        tail = heard[:, n_samples:]


def _fade(n_samples):
    """Return a column of factors falling from 1 to 0."""
    return np.cos(np.linspace(0, np.pi / 2, n_samples))[:, None] ** 4


def _without_clipping(sound):
    """Scale a sound, in place, if its peak exceeds `PEAK`."""
    peak = max(sound.max(initial=0), -sound.min(initial=0))
    if peak > PEAK:
        sound *= PEAK / peak
    return sound


def _n_samples(seconds):
    seconds = checks.number("the length of the sound in seconds", seconds, low=0)
    if seconds > LONGEST:
        raise ValueError(
            f"the sound would last {seconds:,.0f} seconds, and at most {LONGEST:,} are supported; "
            "shorten the tune, or use its MIDI file"
        )
    return round(seconds * SAMPLE_RATE)
