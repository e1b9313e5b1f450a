"""The training loop."""

from rnn4music._utils.console import log
from rnn4music._utils.signals import interruptible


class TrainingDiverged(FloatingPointError):
    """The cost or a weight became NaN or infinite; the weights are the last good ones."""


def train(trainer, callbacks, catch_sigterm=False):
    """Run a training to its end.

    Parameters
    ----------
    trainer : Trainer
        Training starts at its state.
    callbacks : CallbackList
    catch_sigterm : bool
        Whether SIGTERM ends the training as Ctrl-C does, before it ends the process.

    Raises
    ------
    ConnectionError
        If the cluster that computes the updates is lost.
    TrainingDiverged
        If the cost or the weights are no longer finite. The model then has the weights with the
        best validation or, if there was none yet, the last ones with a finite cost.
    """
    interrupted = trainer.interrupted
    with interruptible(interrupted, trainer.history, catch_sigterm), callbacks.ending():
        stop = callbacks.on_start()
        if stop or trainer.is_over():
            n = trainer.state.epoch
            log(f"nothing is left to train: {n} {'epoch is' if n == 1 else 'epochs are'} done")
        while not (stop or interrupted.is_set() or trainer.is_over()):
            for minibatch, visit in trainer.updates():
                if stop or interrupted.is_set():
                    break
                trainer.update(minibatch, visit)
                stop = callbacks.on_update()
            else:
                if interrupted.is_set() and trainer.validation is not None:
                    break  # the epoch is complete when it is scored, which may take long
                trainer.complete_epoch()
                stop = callbacks.on_epoch() or stop
