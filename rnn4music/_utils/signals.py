"""Signals that end long work cleanly: Ctrl-C and SIGTERM."""

import contextlib
import signal
import threading

from rnn4music._utils.console import log


@contextlib.contextmanager
def interruptible(interrupted, history, catch_sigterm):
    """Let the first Ctrl-C, or SIGTERM, finish the update under way; a second one aborts.

    After a SIGTERM the process gets the signal again once all is done, and ends as it would have.

    Parameters
    ----------
    interrupted : threading.Event
        Set once there was a signal. Outside the main thread, where signals cannot be
        handled, and for signals that the process ignores, it stays unset.
    history : History
        Its ``interrupted`` says whether there was a Ctrl-C, whatever happens after it.
    catch_sigterm : bool
        Whether SIGTERM is caught too.
    """
    received, previous = set(), {}
    names = {signal.SIGINT: "Ctrl-C"}
    if catch_sigterm:
        names[signal.SIGTERM] = "SIGTERM"

    def stop(number, frame):
        if number in received:
            signal.signal(number, previous[number])
            signal.raise_signal(number)
            return
        received.add(number)
        interrupted.set()
        log(f"{names[number]}: finishing what is under way (again: abort at once)")

    if threading.current_thread() is threading.main_thread():
        for number in names:
            handler = signal.getsignal(number)
            if handler not in (None, signal.SIG_IGN):
                previous[number] = handler
                signal.signal(number, stop)
    try:
        yield
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)
        history.interrupted = signal.SIGINT in received
        if signal.SIGTERM in received:
            signal.raise_signal(signal.SIGTERM)
