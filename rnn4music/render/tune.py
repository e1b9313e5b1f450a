"""`Tune`: a composed tune, and the files that it can be written to.

Conventions
-----------
A roll is (T, P), zeros and ones; column 0 is `lowest_pitch`, a row lasts `time_step` seconds.
The start is what the network was given. Pictures and pages draw it before second 0; MIDI and
sound files leave it out.
"""

import os
import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from midi import midiwrite
from midi.files import written_whole
from midi.timing import exact_time_step
from rnn4music._utils import checks
from rnn4music.data import pianoroll
from rnn4music.render import html, synthesizer

_SHORTEST_STEP, _LONGEST_STEP = 1e-6, 3600  # limits of a MIDI file


@dataclass(frozen=True, eq=False, repr=False)
class Tune:
    """A tune and how it was composed; Jupyter shows its roll and a player.

    Attributes
    ----------
    roll : (T, P)
        The composed steps, zeros and ones.
    time_step : float
        Seconds that a row lasts, from 1e-6 to 3600.
    lowest_pitch : int
        MIDI pitch of column 0; the highest column is at most pitch 127.
    start : (S, P), optional
        The roll that it continues.
    probabilities : (T, P), optional
        The probability with which each note was sampled.
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
        roll, lowest_pitch = synthesizer.validate(self.roll, self.lowest_pitch)
        time_step = float(exact_time_step(self.time_step, "time_step"))
        checks.number("time_step", time_step, low=_SHORTEST_STEP, high=_LONGEST_STEP)
        start, probabilities = self.start, self.probabilities
        if start is not None:
            start = pianoroll.validate("start", start, roll.shape[1], binary=True)
        if probabilities is not None:
            probabilities = pianoroll.validate("probabilities", probabilities, roll.shape[1])
            if len(probabilities) != len(roll):
                raise ValueError(
                    f"probabilities has {len(probabilities)} rows, the roll {len(roll)}; "
                    "give both as genMusic returned them"
                )
        if not isinstance(self.title, str):
            raise TypeError(f"title must be text, not {type(self.title).__name__} {self.title!r}")
        vars(self).update(roll=roll, time_step=time_step, lowest_pitch=lowest_pitch)
        vars(self).update(start=start, probabilities=probabilities)

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
        """Write the tune without its start as a MIDI file, and return `path`."""
        pitch_range = self.lowest_pitch, self.lowest_pitch + self.roll.shape[1]
        midiwrite(path, self.roll, pitch_range, self.time_step, name=html.valid(self.title))
        return path

    def write_wav(self, path, soundfont=None):
        """Write the tune without its start as a sound file, and return `path`.

        Parameters
        ----------
        path : path
        soundfont : path, optional
            An .sf2 file whose piano plays, instead of the built-in synthesiser.
        """
        synthesizer.write_wav(path, self._samples(soundfont))
        return path

    def write_picture(self, path):
        """Draw the roll, and the probabilities below it, and return `path`.

        The ending of `path` chooses the format: .png, .svg, .pdf.
        """
        if not os.path.splitext(os.fsdecode(path))[1]:
            raise ValueError(f"the picture {os.fsdecode(path)!r} has no ending; give it .png")
        from matplotlib.figure import Figure  # needs no display, unlike pyplot

        from rnn4music import plots
        from rnn4music.plots._axes import write_figure

        axes_of_tune = self.time_step, self.lowest_pitch, self.start
        if self.probabilities is None:
            figure = Figure(figsize=(12, 4), layout="constrained")
            plots.plot_piano_roll(figure.subplots(), self.roll, *axes_of_tune)
        else:
            figure = Figure(figsize=(12, 7), layout="constrained")
            panels = figure.subplots(2, sharex=True)
            plots.plot_composition(panels, self.roll, self.probabilities, *axes_of_tune)
        figure.axes[0].set_title(html.valid(self.title), parse_math=False)
        write_figure(figure, path, dpi=120)
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
        return html.fragment(self, synthesizer.encoded(self._samples(), "MP3"))

    def _samples(self, soundfont=None):
        """Return the sound, (n, 2) at `synthesizer.SAMPLE_RATE`."""
        if soundfont is None:
            return synthesizer.synthesise(self.roll, self.time_step, self.lowest_pitch)
        with tempfile.TemporaryDirectory() as folder:
            path = self.write_midi(Path(folder, "tune.mid"))
            return synthesizer.render(path, soundfont, seconds=self.seconds)

    def _recording(self, soundfont):
        with tempfile.TemporaryDirectory() as folder:
            midi = self.write_midi(Path(folder, "tune.mid")).read_bytes()
        return html.Recording(self, synthesizer.encoded(self._samples(soundfont), "MP3"), midi)


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
        Of the page; default that of the only tune, or the number of tunes.
    soundfont : path, optional
        As for `Tune.write_wav`.
    """
    document = html.page([tune._recording(soundfont) for tune in tunes], metadata, title)
    with written_whole(path) as file:
        file.write(document.encode("utf-8"))
    return path
