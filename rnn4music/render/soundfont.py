"""MIDI files played with a SoundFont by symusic (extra "soundfont").

symusic runs in a separate process, because a damaged SoundFont can crash it, and the calling
process may hold hours of training.
"""

import importlib.util
from typing import Any

import numpy as np

from midi.files import expanded, opened
from rnn4music._utils.processes import ProcessCrashed, in_limited_process

CURE = "pip install 'symusic>=0.5.8,!=0.6.0'"
_LIMITS = {"most_memory": 2**34, "most_bytes": 2**32, "seconds": 3600}  # three hours of sound


def play(midi_path, soundfont, sample_rate):
    """Return the sound, (n, 2) float32, of any length and loudness.

    Raises what `synthesizer.render` raises with a SoundFont.
    """
    paths = midi_path, soundfont
    midi_path, soundfont = (str(expanded(path)) for path in paths)
    with opened(soundfont) as file:
        head = file.read(12)
    if head[:4] != b"RIFF" or head[8:] != b"sfbk":
        raise ValueError(f"{soundfont} is not a SoundFont; give an .sf2 or .sf3 file")
    if importlib.util.find_spec("symusic") is None:
        raise ImportError(f"playing a SoundFont requires symusic: {CURE}")
    try:
        answer = in_limited_process(_play, [midi_path, soundfont, sample_rate], **_LIMITS)
    except ProcessCrashed as error:
        raise ValueError(
            f"symusic crashed while playing {midi_path} with {soundfont}, which is probably "
            f"damaged: {error}"
        ) from None
    sound = answer.get("sound", np.empty(0))
    if sound.dtype != np.float32 or sound.shape[1:] != (2,) or not np.isfinite(sound).all():
        raise ValueError(f"{soundfont} is damaged: its sound is not finite")
    return sound


def _play(_, midi_path, soundfont, sample_rate):
    """Render a MIDI file with symusic; runs in the separate process."""
    import symusic  # pyright: ignore[reportMissingImports]

    try:
        score: Any = symusic.Score(midi_path)
    except Exception as error:
        raise ValueError(f"{midi_path}: symusic cannot read it: {error}") from None
    try:
        synthesizer = symusic.Synthesizer(soundfont, sample_rate, 0)
        if score.note_num() == 0:  # symusic cannot render it
            return {"sound": np.zeros((0, 2), np.float32)}
        return {"sound": np.asarray(synthesizer.render(score, stereo=True).T, np.float32)}
    except TypeError as error:  # symusic 0.6.0, with every SoundFont
        raise ImportError(f"this version of symusic cannot render ({error}): {CURE}") from None
    except Exception as error:
        raise ValueError(f"{soundfont}: symusic cannot play it: {error}") from None
