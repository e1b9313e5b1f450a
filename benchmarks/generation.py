"""Time of composing, after compilation, compared with the peers.

The peers compose step by step: PyTorch's `nn.LSTM`, as it is and scripted by `torch.jit`, and a
loop in JAX. They have the same weights, and take random numbers from their own generators. A peer
is timed only if the probabilities with which it drew a tune are those of our network for it.

The networks are not trained. Their output's bias gives the tunes the density of music, since the
time to draw chords depends on the number of notes. Peepholes are 0, because `nn.LSTM` has none.
"""

import math
import time
from functools import partial

from benchmarks import peers
from benchmarks.figures import cell, markdown, summary, timed
from benchmarks.peers import OURS

START, MAIN = 49, 300  # steps; the start has one row more
CHORD_UNITS = 264
NETWORKS = {"independent": None, f"chords, {CHORD_UNITS} units": CHORD_UNITS}
FEWEST_ROUNDS = 3
LONG = 0.5
"""Seconds of a call; a shorter one is made twice in each round, and the second is timed."""


def measure(settings):
    """Time composing several tunes together, and 300 steps after 50 as in the example."""
    from benchmarks import job

    hidden, n_steps = settings.main.hidden, settings.composed
    _, (start,) = job.model_and_tunes(hidden, batch=1, steps=START)
    present, skipped = peers.present([name for name in settings.peers if name in COMPOSERS])
    results = {"hidden": hidden, "composed": n_steps, "skipped": skipped, "refused": {}}
    results |= {"steps_per_second": {}, "compose_300_after_50_ms": {}}
    for network, chord_units in NETWORKS.items():
        model = composer(hidden, chord_units)
        programs = {OURS: lambda start, n, count, model=model: model.genMusic(start, n, count)}
        for name in present:
            programs |= COMPOSERS[name](job.build_peer(name, model), model.get_parameters())
        refused = disagreeing(programs, model, start)
        programs = {name: call for name, call in programs.items() if name not in refused}
        results["refused"] |= {f"{name} ({network})": why for name, why in refused.items()}
        silence, rates = 0 * start[:1], {}
        for count in settings.at_once:
            calls = {
                name: partial(call, silence, n_steps, count) for name, call in programs.items()
            }
            rates[str(count)] = {
                name: summary([count * n_steps / seconds for seconds in times])
                for name, times in alternated(calls, settings).items()
            }
        results["steps_per_second"][network] = rates
        calls = {name: partial(call, start, MAIN, 1) for name, call in programs.items()}
        results["compose_300_after_50_ms"][network] = {
            name: summary([1000 * seconds for seconds in times])
            for name, times in alternated(calls, settings).items()
        }
    return results


def composer(hidden, chord_units):
    """Return an untrained network that composes notes of the density of the benchmarks' tunes."""
    import numpy as np

    from benchmarks.job import DENSITY
    from rnn4music import RNN4Music

    model = RNN4Music(hidden, hidden, hidden, chord_units=chord_units, genProbThreshold=0, seed=1)
    weights, rng = model.get_parameters(), np.random.default_rng(2)
    for name, array in weights.items():
        if "/peephole" in name:
            array[:] = 0
        if name in ("chords/chords_to_output", "chords/pitches_to_output"):
            array[:] = rng.normal(0, 0.1, array.shape)
    weights["output/bias"][:] = math.log(DENSITY / (1 - DENSITY))
    model.set_parameters(weights)
    return model


def with_torch(peer, weights):
    """Return functions that compose with `nn.LSTM`, by their names."""
    import torch  # pyright: ignore[reportMissingImports]

    peer.set_parameters(weights)
    step_by_step = peer.composer()

    def compose(network, start, n, count):
        with torch.inference_mode():
            return tuple(x.numpy() for x in network(torch.from_numpy(start), n, count))

    return {
        "torch nn.LSTM": partial(compose, step_by_step),
        "torch nn.LSTM, scripted": partial(compose, torch.jit.script(step_by_step)),
    }


def with_jax(peer, weights):
    """Return a function that composes with JAX, by its name."""
    peer.set_parameters(weights)
    return {"JAX loop": peer.compose}


COMPOSERS = {"torch-lstm": with_torch, "jax": with_jax}


def disagreeing(programs, model, start):
    """Return the programs whose probabilities are not those of the model, with the difference."""
    import numpy as np

    from benchmarks import job

    refused = {}
    for name, call in programs.items():
        tunes, probabilities = call(start, 20, 3)
        whole = np.concatenate([np.repeat(start[None], 3, axis=0), tunes], axis=1).swapaxes(0, 1)
        expected = model.predict(whole[:-1], whole[1:])[len(start) - 1 :].swapaxes(0, 1)
        error = job.relative(probabilities, expected)
        if not error < job.TOLERANCE:
            refused[name] = f"its probabilities differ: relative {error:.1e}"
    return refused


def alternated(calls, settings):
    """Return the times of each call, in rounds of all calls, after a first round."""
    for call in calls.values():
        call()
    times, started = {name: [] for name in calls}, time.perf_counter()
    for n in range(settings.rounds):
        if n >= FEWEST_ROUNDS and time.perf_counter() - started > settings.seconds:
            break
        for name, call in calls.items():
            seconds = timed(call)
            if seconds < LONG:  # caches and memory are as the previous program left them
                seconds = timed(call)
            times[name].append(seconds)
    return times


def report(results):
    """Return the tables in Markdown."""
    lines = []
    for network, rates in results["steps_per_second"].items():
        names = list(next(iter(rates.values())))
        rows = [
            [count, *(cell(by[name], digits=0) for name in names)] for count, by in rates.items()
        ]
        whole = results["compose_300_after_50_ms"][network]
        rows.append([f"1, {MAIN} steps", *(cell(whole[name], " ms", 1) for name in names)])
        lines += [
            f"Composing, {network}, H {results['hidden']}, {results['composed']} steps per tune; "
            f"steps per second over all tunes, and the time of {MAIN} steps after {START + 1}:",
            "",
            *markdown(["tunes together", *names], rows),
            "",
        ]
    lines += [f"- refused: {name}, {why}" for name, why in results["refused"].items()]
    lines += [f"- skipped: {peers.title(name)}, {why}" for name, why in results["skipped"].items()]
    return "\n".join(lines).strip()
