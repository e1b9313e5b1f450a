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
        Where it stands decides where the training goes on.
    callbacks : CallbackList
    catch_sigterm : bool
        Whether SIGTERM ends the training as Ctrl-C does, before it ends the process.

    Raises
    ------
    ConnectionError
        If the cluster that updates are made on is lost.
    TrainingDiverged
        If the cost or the weights stop being finite. The weights with the best validation are
        in place then, or, where there was none yet, those with which the cost was last finite.
    """
    interrupted = trainer.interrupted
    with interruptible(interrupted, trainer.history, catch_sigterm), callbacks.ending():
        stop = callbacks.on_start()
        if stop or trainer.is_over():
            log(f"nothing is left to train: {trainer.state.epoch} epochs are done")
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
