"""Time of composing, after compilation.

The networks are not trained. Their output's bias gives the tunes the density of music, since the
time to draw chords depends on the number of notes.
"""

import math
from functools import partial

from benchmarks.figures import cell, markdown, summary, timed

START, MAIN = 49, 300  # steps; the start has one row more
CHORD_UNITS = 264
NETWORKS = {"independent": None, f"chords, {CHORD_UNITS} units": CHORD_UNITS}


def measure(settings):
    """Time composing several tunes together, and 300 steps after 50 as in the example."""
    from benchmarks import job

    hidden, n_steps = settings.main.hidden, settings.composed
    _, (start,) = job.model_and_tunes(hidden, batch=1, steps=START)
    models = {name: composer(hidden, chord_units) for name, chord_units in NETWORKS.items()}
    rates = {}
    for count in settings.at_once:
        calls = {
            name: partial(model.genMusic, None, n_steps, count=count)
            for name, model in models.items()
        }
        rates[str(count)] = {
            name: summary([count * n_steps / seconds for seconds in times])
            for name, times in alternated(calls, settings.rounds).items()
        }
    calls = {name: partial(model.genMusic, start, MAIN) for name, model in models.items()}
    return {
        "hidden": hidden,
        "composed": n_steps,
        "steps_per_second": rates,
        "compose_300_after_50_ms": {
            name: summary([1000 * seconds for seconds in times])
            for name, times in alternated(calls, 2 * settings.rounds).items()
        },
    }


def composer(hidden, chord_units):
    """Return an untrained network that composes notes of the density of the benchmarks' tunes."""
    from benchmarks.job import DENSITY
    from rnn4music import RNN4Music

    model = RNN4Music(hidden, hidden, hidden, chord_units=chord_units, genProbThreshold=0, seed=1)
    weights = model.get_parameters()
    weights["output/bias"][:] = math.log(DENSITY / (1 - DENSITY))
    model.set_parameters(weights)
    return model


def alternated(calls, rounds):
    """Return the times of each call, in rounds of all calls, after a first round."""
    for call in calls.values():
        call()
    times = {name: [] for name in calls}
    for _ in range(rounds):
        for name, call in calls.items():
            times[name].append(timed(call))
    return times


def report(results):
    """Return the table in Markdown."""
    rows = [
        [count, *(cell(figures, digits=0) for figures in by_network.values())]
        for count, by_network in results["steps_per_second"].items()
    ]
    whole = [cell(figures, " ms") for figures in results["compose_300_after_50_ms"].values()]
    return "\n".join(
        [
            f"Composing, H {results['hidden']}, {results['composed']} steps per tune; steps per "
            f"second over all tunes, and the time of {MAIN} steps after {START + 1}:",
            "",
            *markdown(["tunes together", *NETWORKS], [*rows, [f"1, {MAIN} steps", *whole]]),
        ]
    )
