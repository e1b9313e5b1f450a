"""`Tune`: a composed tune, and the files that can be made of it.

Conventions
-----------
A roll is (T, P), zeros and ones; column 0 is `lowest_pitch`, a row lasts `time_step` seconds.
The start is what the network was given: pictures and pages draw it before second 0; MIDI and
sound files leave it out.
"""

import os
import tempfile
from dataclasses import dataclass

import numpy as np

from midi import midiwrite
from midi.files import written_whole
from midi.timing import exact_time_step
from rnn4music._utils import checks
from rnn4music.data import pianoroll

_HIGHEST_PITCH = 127
_SHORTEST_STEP, _LONGEST_STEP = 1e-6, 3600  # what a MIDI file can hold


@dataclass(frozen=True, eq=False, repr=False)
class Tune:
    """A tune and how it was composed; Jupyter shows its roll and a player.

    Attributes
    ----------
    roll : (T, P)
        What was composed, zeros and ones.
    time_step : float
        Seconds that a row lasts, from 1e-6 to 3600.
    lowest_pitch : int
        MIDI pitch of column 0; the highest column is at most pitch 127.
    start : (S, P), optional
        The roll that it continues.
    probabilities : (T, P), optional
        The probability with which each note was drawn.
    title : str

    Raises
    ------
    TypeError, ValueError
        If an argument does not fit.
    """

    roll: np.ndarray
    time_step: float = 0.3
    lowest_pitch: int = 21
    start: np.ndarray | None = None
    probabilities: np.ndarray | None = None
    title: str = ""

    def __post_init__(self):
        roll = pianoroll.validate("roll", self.roll, binary=True)
        n_pitches = roll.shape[1]
        time_step = float(exact_time_step(self.time_step, "time_step"))
        checks.number("time_step", time_step, low=_SHORTEST_STEP, high=_LONGEST_STEP)
        lowest_pitch = checks.integer("lowest_pitch", self.lowest_pitch, low=0)
        if lowest_pitch + n_pitches - 1 > _HIGHEST_PITCH:
            raise ValueError(
                f"lowest_pitch={lowest_pitch} puts the last of {n_pitches} columns at pitch "
                f"{lowest_pitch + n_pitches - 1}, above {_HIGHEST_PITCH}; "
                f"give at most {_HIGHEST_PITCH + 1 - n_pitches}"
            )
        start, probabilities = self.start, self.probabilities
        if start is not None:
            start = pianoroll.validate("start", start, n_pitches, binary=True)
        if probabilities is not None:
            probabilities = pianoroll.validate("probabilities", probabilities, n_pitches)
            if len(probabilities) != len(roll):
                raise ValueError(
                    f"probabilities has {len(probabilities)} rows, the roll {len(roll)}; "
                    "give both as genMusic returned them"
                )
        if not isinstance(self.title, str):
            raise TypeError(f"title must be text, not {type(self.title).__name__} {self.title!r}")
        for name, value in (
            ("roll", roll), ("time_step", time_step), ("lowest_pitch", lowest_pitch),
            ("start", start), ("probabilities", probabilities),
        ):  # fmt: skip
            object.__setattr__(self, name, value)

    def __len__(self):
        """Return the number of steps."""
        return len(self.roll)

    def __repr__(self):
        title = f"{self.title!r}: " if self.title else ""
        return f"Tune({title}{len(self)} step{'s' * (len(self) != 1)} of {self.time_step:g} s)"

    @property
    def seconds(self):
        """The length of the tune in seconds."""
        return len(self) * self.time_step

    def write_midi(self, path):
        """Write what was composed as a MIDI file, and return `path`."""
        midiwrite(
            path,
            self.roll,
            (self.lowest_pitch, self.lowest_pitch + self.roll.shape[1]),
            self.time_step,
            name=self.title.encode("utf-8", "replace").decode("utf-8"),
        )
        return path

    def write_wav(self, path, soundfont=None):
        """Write what was composed as a sound file, and return `path`.

        Parameters
        ----------
        path : path
        soundfont : path, optional
            An .sf2 file whose piano plays; without one a plain sound is computed.
        """
        from rnn4music.render import synthesizer

        synthesizer.write_wav(path, self._samples(soundfont))
        return path

    def write_picture(self, path):
        """Draw the roll, and the probabilities below it, and return `path`.

        The ending of `path` chooses the kind: .png, .svg, .pdf.
        """
        if not os.path.splitext(os.fsdecode(path))[1]:
            raise ValueError(f"the picture {os.fsdecode(path)!r} has no ending; give it .png")
        from rnn4music.plots._axes import write_figure

        write_figure(self._figure(), path, dpi=120)
        return path

    def write_page(self, path, metadata=None, soundfont=None):
        """Write an HTML page with a player, the moving roll and the MIDI file; return `path`.

        Parameters
        ----------
        path : path
        metadata : dict, optional
            How the tune was made: names to values, or headings to dicts of those.
        soundfont : path, optional
            As for `write_wav`.
        """
        return write_page(path, [self], metadata, soundfont=soundfont)

    def _repr_html_(self):
        from rnn4music.render import html, synthesizer

        return html.fragment(self, synthesizer.encoded(self._samples(), "MP3"))

    def _samples(self, soundfont=None):
        """Return the sound, (n, 2) at `synthesizer.SAMPLE_RATE`."""
        from rnn4music.render import synthesizer

        if soundfont is None:
            return synthesizer.synthesise(self.roll, self.time_step, self.lowest_pitch)
        with tempfile.TemporaryDirectory() as folder:
            path = self.write_midi(os.path.join(folder, "tune.mid"))
            return synthesizer.render(path, soundfont, seconds=self.seconds)

    def _recording(self, soundfont):
        from rnn4music.render import html, synthesizer

        with tempfile.TemporaryDirectory() as folder:
            with open(self.write_midi(os.path.join(folder, "tune.mid")), "rb") as file:
                midi = file.read()
        return html.Recording(self, synthesizer.encoded(self._samples(soundfont), "MP3"), midi)

    def _figure(self):
        from matplotlib.figure import Figure  # needs no display, unlike pyplot

        from rnn4music import plots

        panels = 1 if self.probabilities is None else 2
        figure = Figure(figsize=(12, 1 + 3 * panels), layout="constrained")
        axes = figure.subplots(panels, sharex=True, squeeze=False)[:, 0]
        axes_of_tune = self.time_step, self.lowest_pitch, self.start
        if self.probabilities is None:
            plots.plot_piano_roll(axes[0], self.roll, *axes_of_tune)
        else:
            plots.plot_composition(axes, self.roll, self.probabilities, *axes_of_tune)
        axes[0].set_title(self.title.encode("utf-8", "replace").decode(), parse_math=False)
        return figure


def write_page(path, tunes, metadata=None, title=None, soundfont=None):
    """Write one HTML page of several tunes, and return `path`.

    Parameters
    ----------
    path : path
        Written whole or not at all.
    tunes : list of Tune
    metadata : dict, optional
        How the tunes were made, as for `Tune.write_page`.
    title : str, optional
        Of the page.
    soundfont : path, optional
        As for `Tune.write_wav`.
    """
    from rnn4music.render.html import page

    document = page([tune._recording(soundfont) for tune in tunes], metadata, title)
    with written_whole(path) as file:
        file.write(document.encode("utf-8"))
    return path
