"""Time of turning tunes into sound, on one core.

    python -m benchmarks.sound                        the built-in synthesiser, WAV and MP3
    python -m benchmarks.sound --soundfont FILE.sf2   also with this SoundFont

Run it from the repository's root. The music is 60 seconds of four voices, each of which moves by
up to three semitones per step. Steps last 0.3 s, and 0.1 s for a tune with more notes.

Conventions
-----------
Figures are medians, with the quartiles in brackets. The time with a SoundFont includes the start of
the process of symusic.
"""

import argparse
import tempfile
from functools import partial
from pathlib import Path

from benchmarks import machine
from benchmarks.figures import print_row, summary, timed

SECONDS = 60
VOICES = (31, 40, 49, 58)
"""Lowest pitch of each voice, which moves within two octaves."""


def main():
    """Measure and print the results."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.sound",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--rounds", type=int, default=5, help="number of rounds (%(default)s)")
    parser.add_argument("--soundfont", type=Path, metavar="FILE", help="your SoundFont")
    arguments = parser.parse_args()
    if not machine.pin_to_one_core():
        print("this system cannot pin a process to one core, so that NumPy may use more cores")
    host = machine.describe()
    print(f"{host['processor']}, {host['cores_used']} of {host['cores']} cores")
    for time_step in (0.3, 0.1):
        measure(time_step, arguments.rounds, arguments.soundfont)


def measure(time_step, rounds, soundfont):
    """Measure and print the times for one tune; imports NumPy only after pinning."""
    from midi import midiwrite
    from rnn4music.render.synthesizer import encoded, render, synthesise

    roll = four_voices(round(SECONDS / time_step))
    samples = synthesise(roll, time_step)
    calls = {"built-in synthesiser": partial(synthesise, roll, time_step)}
    calls |= {form: partial(encoded, samples, form) for form in ("WAV", "MP3")}
    print(f"\n{SECONDS} s, steps of {time_step} s, {n_notes(roll)} notes")
    with tempfile.TemporaryDirectory() as folder:
        tune = Path(folder) / "tune.mid"
        midiwrite(tune, roll, (21, 109), time_step)
        if soundfont:
            calls["SoundFont"] = partial(render, tune, soundfont)
        for label, call in calls.items():
            print_row(label, summary([timed(call) for _ in range(rounds)]), "s")


def four_voices(n_steps):
    """Return a fixed roll of four random voices, (n_steps, 88)."""
    import numpy as np

    rng = np.random.default_rng(1)
    roll = np.zeros((n_steps, 88), np.int8)
    for lowest in VOICES:
        place = np.cumsum(rng.integers(-3, 4, n_steps))
        roll[np.arange(n_steps), lowest - 21 + np.abs(place % 48 - 24)] = 1
    return roll


def n_notes(roll):
    """Return the number of notes."""
    import numpy as np

    return np.count_nonzero(np.diff(roll, axis=0, prepend=0) == 1)


if __name__ == "__main__":
    main()
