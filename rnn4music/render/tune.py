"""`Tune`: a composed tune and the files it can be written to.

Conventions
-----------
A roll is (T, P), zeros and ones; column 0 is `lowest_pitch`, and a row lasts `time_step` seconds.
With `onsets` it is (T, 2P): first the sounding columns, then the struck ones (`midi.onsets`). A
pitch struck again is then a new note; otherwise adjacent steps in which it is on are one note.

The start is the music that the network was given to continue. Pictures and pages always show it,
in a colour of its own and labelled as given. A page can play it. MIDI and sound files contain it if
`with_start` is true.
"""

import os
import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from midi import (
    Beats,
    canonical_onsets,
    midiwrite,
    n_dropped_onsets,
    onset_notes,
    split_onsets,
)
from midi.files import written_whole
from midi.text import count
from midi.writing import checked_velocity
from rnn4music._utils import checks
from rnn4music.data import pianoroll
from rnn4music.render import html, musicxml, synthesizer

_MOST_IN_JUPYTER = 300_000  # bytes of a cell, about
_SHORTEST_STEP, _LONGEST_STEP = 1e-6, 3600  # seconds, limits of a MIDI file


@dataclass(frozen=True, eq=False, repr=False)
class Tune:
    """A composed tune and the start it continues; Jupyter shows its roll and a player.

    Attributes
    ----------
    roll : (T, P), or (T, 2P) with `onsets`
        The composed steps, zeros and ones.
    time_step : float
        Seconds per row, from 1e-6 to 3600. Default: that of `beats`, or 0.3.
    lowest_pitch : int
        MIDI pitch of column 0; the last column must be at most pitch 127.
    start : (S, P) or (S, 2P), optional
        The given steps that the tune continues.
    probabilities : (T, P) or (T, 2P), optional
        Probability with which each note was sampled.
    title : str
        Title of pictures and pages, and track name of MIDI files.
    with_start : bool
        Whether MIDI files, sound files and players begin with the start.
    onsets : bool
        Whether the arrays have their struck columns beside the sounding ones.
    velocity : int, (T, P) or (S + T, P) array of int
        How hard the notes are struck, from 1 to 127: one value for all notes, or one per cell,
        where a note takes the value of the cell in which it begins. The other cells may have any
        value. An array without rows for the start leaves it at 90.
    beats : midi.Beats, optional
        The steps per beat, the tempo, the metre and the key of start and roll, for MIDI files,
        pictures and pages. `first_step` is the place in its bar of the first row of all: of the
        start, or of the roll if there is no start.

    Raises
    ------
    TypeError, ValueError
        If an argument is invalid, or `with_start` is true without a start.
    """

    roll: np.ndarray
    time_step: float = None  # pyright: ignore[reportAssignmentType]  # set below
    lowest_pitch: int = 21
    start: np.ndarray | None = None
    probabilities: np.ndarray | None = None
    title: str = ""
    with_start: bool = False
    onsets: bool = False
    velocity: int | np.ndarray = synthesizer.USUAL_VELOCITY
    beats: Beats | None = None

    def __post_init__(self):
        roll, lowest_pitch = synthesizer.validate(self.roll, self.lowest_pitch, self.onsets)
        time_step = pianoroll.step_seconds(self.time_step, self.beats)
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
        if self.with_start and start is None:
            raise ValueError("with_start=True needs a start: give start, (S, P)")
        vars(self).update(roll=roll, time_step=time_step, lowest_pitch=lowest_pitch)
        vars(self).update(start=start, probabilities=probabilities)
        has_start = start is not None and np.shape(self.velocity)[:1] != (len(roll),)
        halves = pianoroll.halves(self._steps(has_start), self.onsets)
        checked_velocity(self.velocity, canonical_onsets(*halves))

    def __len__(self):
        """Return the number of composed steps."""
        return len(self.roll)

    def __repr__(self):
        title = f"{self.title!r}: " if self.title else ""
        return f"Tune({title}{count(len(self), 'step')} of {self.time_step:g} s)"

    @property
    def seconds(self):
        """The length of the composed steps in seconds."""
        return len(self) * self.time_step

    @property
    def n_pitches(self):
        """The number of pitches P."""
        return self.roll.shape[1] // (2 if self.onsets else 1)

    @property
    def n_dropped_onsets(self):
        """The number of composed strikes of silent pitches, which are dropped everywhere."""
        return n_dropped_onsets(*split_onsets(self.roll)) if self.onsets else 0

    @property
    def start_seconds(self):
        """The length of the start in seconds."""
        return 0.0 if self.start is None else len(self.start) * self.time_step

    def write_midi(self, path):
        """Write the tune as a MIDI file, and return `path`."""
        return self._write_midi(path, self.with_start)

    def write_musicxml(self, path):
        """Write the tune as MusicXML, for notation programs, and return `path`.

        This needs `beats`, and music21 (extra `musicxml`). See `rnn4music.render.musicxml`.
        """
        roll, beats = self._steps(self.with_start), self._grid(self.with_start).get("beats")
        return musicxml.write_musicxml(
            path, roll, self.lowest_pitch, beats, self.title, self.onsets
        )

    def write_wav(self, path, soundfont=None):
        """Write the tune as a WAV file, and return `path`.

        Parameters
        ----------
        path : path
        soundfont : path, optional
            SoundFont file (.sf2 or .sf3) to play with instead of the built-in synthesiser.
        """
        return self._write_sound(path, "WAV", soundfont)

    def write_mp3(self, path, soundfont=None):
        """Write the tune as an MP3 file, and return `path`; parameters as for `write_wav`."""
        return self._write_sound(path, "MP3", soundfont)

    def write_picture(self, path):
        """Draw the roll above the probabilities, if there are any, and return `path`.

        The suffix of `path` gives the format: .png, .svg or .pdf.
        """
        if not os.path.splitext(os.fsdecode(path))[1]:
            raise ValueError(f"the picture {os.fsdecode(path)!r} has no suffix; add .png")
        from matplotlib.figure import Figure  # needs no display, unlike pyplot

        from rnn4music import plots
        from rnn4music.plots._axes import write_figure

        axes_of_tune = self.time_step, self.lowest_pitch, self.start
        how = {"onsets": self.onsets, "beats": self.beats}
        if self.probabilities is None:
            figure = Figure(figsize=(12, 4), layout="constrained")
            plots.plot_piano_roll(figure.subplots(), self.roll, *axes_of_tune, **how)
        else:
            figure = Figure(figsize=(12, 7), layout="constrained")
            panels = figure.subplots(2, sharex=True)
            rolls = self.roll, self.probabilities
            plots.plot_composition(panels, *rolls, *axes_of_tune, **how)
        figure.axes[0].set_title(html.valid(self.title), parse_math=False, loc="left")
        write_figure(figure, path, dpi=120)
        return path

    def write_page(self, path, metadata=None, soundfont=None):
        """Write an HTML page with a player, a moving roll and the MIDI file, and return `path`.

        Parameters
        ----------
        path : path
        metadata : dict, optional
            How the tune was made: values by name, or such dicts by heading.
        soundfont : path, optional
            As for `write_wav`.
        """
        return write_page(path, [self], metadata, soundfont=soundfont)

    def _repr_html_(self):
        without = html.fragment(self, None)
        try:
            audio, seconds = synthesizer.small_mp3(
                self._samples(self.with_start), 3 / 4 * (_MOST_IN_JUPYTER - len(without))
            )
        except (ValueError, RuntimeError) as error:  # too long or short, or no MP3 here
            return html.fragment(self, None, str(error))
        whole = len(self._steps(self.with_start)) * self.time_step
        cut = f"The player has the first {seconds:.0f} seconds; write_mp3 writes them all."
        return html.fragment(self, audio, cut if seconds < whole else "")

    def _steps(self, with_start):
        """Return the roll, preceded by the start if `with_start`."""
        whole = self.roll if self.start is None else np.vstack([self.start, self.roll])
        return whole if with_start else self.roll

    def _velocity(self, with_start):
        """Return one velocity, or that of each cell of `_steps(with_start)`."""
        if np.ndim(self.velocity) == 0:
            return self.velocity
        n_given = 0 if self.start is None else len(self.start)
        velocity = np.array(self.velocity)
        if len(velocity) == len(self):
            usual = np.full((n_given, self.n_pitches), synthesizer.USUAL_VELOCITY)
            return np.vstack([usual, velocity]) if with_start else velocity
        if with_start:
            return velocity
        # the rest of a note that the start holds is as loud
        notes = onset_notes(*pianoroll.halves(self._steps(True), self.onsets))
        for column, first, end in notes.tolist():
            if first < n_given < end:
                velocity[n_given, column] = velocity[first, column]
        return velocity[n_given:]

    def _grid(self, with_start):
        """Return the arguments of `midiwrite` that give the length of a step."""
        if self.beats is None:
            return {"dt": self.time_step}
        n_before = 0 if with_start or self.start is None else len(self.start)
        first_step = int((self.beats.first_step + n_before) % self.beats.steps_per_bar)
        return {"beats": self.beats._replace(first_step=first_step)}

    def _write_midi(self, path, with_start):
        pitch_range = self.lowest_pitch, self.lowest_pitch + self.n_pitches
        name = self.title
        if with_start:
            name += f"{' ' * bool(name)}(the first {self._given()} given)"
        roll = self._steps(with_start)
        how = {"name": html.valid(name), "onsets": self.onsets, **self._grid(with_start)}
        midiwrite(path, roll, pitch_range, velocity=self._velocity(with_start), **how)
        return path

    def _given(self):
        """Return the length of the start in words, such as "4 bars and 2 beats are"."""
        if self.beats is None:
            return f"{round(self.start_seconds, 1):g} seconds are"
        n_bars, rest = divmod(len(np.asarray(self.start)), self.beats.steps_per_bar)
        n_beats = round(float(rest / self.beats.steps_per_bar * self.beats.counts_per_bar), 1)
        words = [count(n_bars, "bar")] * (n_bars > 0)
        if n_beats or not n_bars:
            words.append(f"{n_beats:g} beat{'s' * (n_beats != 1)}")
        return f"{' and '.join(words)} {'is' if words in (['1 bar'], ['1 beat']) else 'are'}"

    def _write_sound(self, path, format, soundfont):
        sound = self._sound(format, self.with_start, soundfont)
        with written_whole(path) as file:
            file.write(sound)
        return path

    def _sound(self, format, with_start, soundfont=None):
        """Return the bytes of a sound file."""
        return synthesizer.encoded(self._samples(with_start, soundfont), format)

    def _samples(self, with_start, soundfont=None):
        roll = self._steps(with_start)
        if soundfont is None:
            how = {"onsets": self.onsets, "velocity": self._velocity(with_start)}
            return synthesizer.synthesise(roll, self.time_step, self.lowest_pitch, **how)
        with tempfile.TemporaryDirectory() as folder:
            path = self._write_midi(Path(folder, "tune.mid"), with_start)
            return synthesizer.render(path, soundfont, seconds=len(roll) * self.time_step)

    def _recording(self, soundfont):
        with tempfile.TemporaryDirectory() as folder:
            midi = self.write_midi(Path(folder, "tune.mid")).read_bytes()
        return html.Recording(self, self._sound("MP3", self.start is not None, soundfont), midi)


def write_page(path, tunes, metadata=None, title=None, soundfont=None):
    """Write one HTML page with several tunes, and return `path`.

    Parameters
    ----------
    path : path
        File to write, whole or not at all.
    tunes : list of Tune
    metadata : dict, optional
        How the tunes were made, as for `Tune.write_page`.
    title : str, optional
        Title of the page. Default: the title of the only tune, or the number of tunes.
    soundfont : path, optional
        As for `Tune.write_wav`.
    """
    document = html.page([tune._recording(soundfont) for tune in tunes], metadata, title)
    with written_whole(path) as file:
        file.write(document.encode("utf-8"))
    return path
