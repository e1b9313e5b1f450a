"""A log for TensorBoard."""

from typing import Any

from midi.files import expanded
from rnn4music.training.callbacks import Callback


class TensorBoard(Callback):
    """Logs cost, validation and, after each epoch, a composed tune as picture and sound.

    Needs tensorboardX (extra ``tensorboard``).

    Parameters
    ----------
    folder : path
        Folder of the log, for ``tensorboard --logdir``.
    n : int
        Steps of the tune that is composed after each epoch; 0 for none.
    start : (steps, io_length), optional
        Music that the tune continues.
    time_step : float
        Seconds.
    lowest_pitch : int
        MIDI pitch of column 0.
    sampling : {"systematic", "independent"}, optional
        As for `genMusic`; default systematic for models without chords.
    onsets : bool
        Whether the model's rolls have their struck columns beside the sounding ones.
    conditions : (n, Q), optional
        As for `genMusic`, for models with conditions.
    """

    def __init__(
        self,
        folder,
        n=100,
        start=None,
        time_step=0.3,
        lowest_pitch=21,
        sampling=None,
        onsets=False,
        conditions=None,
    ):
        try:
            from tensorboardX import SummaryWriter
        except ImportError as error:
            raise ImportError(
                "TensorBoard needs tensorboardX; run: python -m pip install "
                "'rnn4music[tensorboard]'"
            ) from error
        self._open = lambda: SummaryWriter(str(expanded(folder)), flush_secs=10)
        self.writer: Any = None
        self.n, self.start, self.sampling = n, start, sampling
        self.time_step, self.lowest_pitch, self.onsets = time_step, lowest_pitch, onsets
        self.conditions = conditions

    def on_start(self, model, history):
        """Open the log."""
        if self.n and model.conditions and self.conditions is None:
            raise ValueError("TensorBoard composes: give it the conditions of its n steps, or n=0")
        self.writer = self._open()
        self.writer.add_text("model", repr(model), len(history.cost))

    def on_update(self, model, history):
        """Write the cost."""
        self.writer.add_scalar("cost", history.cost[-1], len(history.cost))

    def on_epoch(self, model, history):
        """Write the validation and a composed tune."""
        from rnn4music.render.synthesizer import SAMPLE_RATE, synthesise

        step = len(history.cost)
        self.writer.add_scalar("rate_factor", history.rate_factor[-1], step)
        if history.validation[-1] is not None:
            scores = {"validation": history.validation[-1], "baseline": history.baseline}
            for name, nats in scores.items():
                self.writer.add_scalar(f"nats_per_step/{name}", nats, step)
        if self.n:
            sampling = self.sampling or (
                "systematic" if model.chord_units is None else "independent"
            )
            tune, probabilities = model.genMusic(
                self.start, self.n, sampling=sampling, conditions=self.conditions
            )
            for name, roll in (("tune", tune), ("probabilities", probabilities)):
                self.writer.add_image(name, 1 - roll.T[None, ::-1], step)
            sound = synthesise(tune, self.time_step, self.lowest_pitch, onsets=self.onsets)
            self.writer.add_audio("sound", sound, step, SAMPLE_RATE)

    def on_end(self, model, history):
        """Close the log."""
        if self.writer is not None:
            self.writer.close()
