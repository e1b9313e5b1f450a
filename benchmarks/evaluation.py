"""Rate of predicting and scoring long tunes, in steps per second, after compilation."""

from functools import partial

import numpy as np

from benchmarks import peers
from benchmarks.figures import cell, markdown, summary, timed
from benchmarks.peers import OURS

N_SCORED = 4  # tunes


def measure(settings):
    """Time the prediction of a long tune, also by the agreeing peers, and the scoring of a few."""
    from benchmarks import job

    n_steps = settings.long
    model, scored = job.model_and_tunes(settings.main.hidden, N_SCORED, n_steps - 1)
    inputs = scored[:1].swapaxes(0, 1).copy()
    weights = model.get_parameters()
    present, skipped = peers.present(settings.peers)
    programs = {OURS: partial(model.predict, inputs)}
    refused = {}
    for name in present:
        peer, has_peepholes = job.build_peer(name, model), peers.PEERS[name].has_peepholes
        job.share_weights(model, peer, weights, has_peepholes)
        error = float(job.relative(model.predict(inputs), peer.probabilities(inputs)))
        if error < job.TOLERANCE:
            programs[name] = partial(peer.probabilities, inputs)
        else:
            refused[name] = f"its probabilities differ: relative {error:.1e}"
            print(f"refused {name}: {refused[name]}", flush=True)
    model.set_parameters(weights)
    for program in programs.values():
        program()
    times = {name: [] for name in programs}
    for _ in range(settings.rounds):
        for name, program in programs.items():
            times[name].append(timed(program))

    score = partial(model.evaluate, np.asarray(scored))
    score()
    return {
        "hidden": settings.main.hidden,
        "steps": n_steps,
        "predicted_per_second": {
            name: summary([n_steps / seconds for seconds in times[name]]) for name in times
        },
        "times_as_fast": {
            name: summary([theirs / ours for ours, theirs in zip(times[OURS], times[name])])
            for name in times
            if name != OURS
        },
        "scored_tunes": N_SCORED,
        "scored_per_second": summary(
            [N_SCORED * n_steps / timed(score) for _ in range(settings.rounds)]
        ),
        "skipped": skipped,
        "refused": refused,
    }


def report(results):
    """Return the table in Markdown."""
    rows = [
        [
            f"predict, {peers.title(name)}",
            cell(figures, digits=0),
            cell(results["times_as_fast"].get(name), " ×"),
        ]
        for name, figures in results["predicted_per_second"].items()
    ]
    scored = f"evaluate, {results['scored_tunes']} tunes, {OURS}"
    rows.append([scored, cell(results["scored_per_second"], digits=0), cell(None)])
    return "\n".join(
        [
            f"Tunes of {results['steps']:,} steps, H {results['hidden']}, one tune unless given:",
            "",
            *markdown(["", "steps per second", "time relative to rnn4music"], rows),
        ]
    )
