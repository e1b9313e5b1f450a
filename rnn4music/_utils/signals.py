"""Signals that end long work cleanly: Ctrl-C and SIGTERM."""

import contextlib
import signal
import threading

from rnn4music._utils.console import log


@contextlib.contextmanager
def interruptible(interrupted, history, catch_sigterm):
    """Finish the current update on the first Ctrl-C or SIGTERM; abort on the second.

    SIGTERM is raised again at the end of the block, with its usual effect.

    Parameters
    ----------
    interrupted : threading.Event
        Set by a signal. It stays unset outside the main thread, where signals cannot be handled,
        and for signals that the process ignores.
    history : History
        Its attribute ``interrupted`` is set to whether there was a Ctrl-C.
    catch_sigterm : bool
        Whether to catch SIGTERM too.
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
        log(f"{names[number]}: finishing the current update (repeat to abort immediately)")

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
