"""A process that runs trials of a search: ``python -m rnn4music.search_worker``.

Standard input has one line of JSON: the `search_trials.Job`, and ``cores``, those to run on. When
standard input ends, so does the worker, and the trial under way is given back: no worker outlives
the process that started it. Standard output has the sentence of the error that ended it, if any.
"""

import json
import os
import sys
import threading

POLL = 0.5
"""Seconds from one look at the journal to the next."""


def main():
    """Run trials until all are finished, or standard input ends."""
    job = json.loads(sys.stdin.readline())
    cores = job.pop("cores")
    if cores is not None:
        os.sched_setaffinity(0, cores)  # before an engine counts them
    stop = threading.Event()

    def wait_for_the_end():
        sys.stdin.read()
        stop.set()

    threading.Thread(target=wait_for_the_end, daemon=True).start()
    from rnn4music import search_trials

    runner = search_trials.runner(json.dumps(job))
    while not stop.is_set():
        outcome = runner.run(stop.is_set)
        if outcome == search_trials.ENOUGH:
            return
        if outcome == search_trials.WAIT:
            stop.wait(POLL)


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:  # it was told to stop
        pass
    except Exception as error:
        is_expected = isinstance(error, (ValueError, TypeError, OSError, ImportError))
        print(error if is_expected else f"{type(error).__name__}: {error}")
        sys.exit(1)
