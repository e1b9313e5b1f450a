"""Time of an update compared with the peers, and its rate compared with that of a matrix product.

A peer is timed only if it agrees with rnn4music: it must give the same cost, probabilities and
gradients from the same weights and, if it has peepholes, the same cost after a few updates.
Programs alternate in rounds, so that other load on the machine affects all of them. An update
starts from a NumPy minibatch and ends with the cost as a float.
"""

import statistics
import time
from functools import partial

from benchmarks import peers
from benchmarks.figures import cell, markdown, summary, timed
from benchmarks.peers import OURS, WITHOUT_CHORDS
from benchmarks.settings import N_PITCHES

MOST_UPDATES = 10  # per program and round
ROUND_SECONDS = 0.3  # at most, for the updates of rnn4music in a round


def measure(settings):
    """Measure all sizes, and the rate of matrix products before and after."""
    from benchmarks import arithmetic
    from rnn4music import backend
    from rnn4music.kernels import dispatch

    present, skipped = peers.present(settings.peers)
    for name, reason in skipped.items():
        print(f"skipped {name}: {reason}", flush=True)
    before = arithmetic.product_rates(settings.product)
    sizes = [measure_size(size, present, settings) for size in settings.sizes]
    after = arithmetic.product_rates(settings.product)
    rates = {name: max(before[name], after[name]) for name in before}
    limit = max(rates.values())
    for one in sizes:
        one["share"] = {name: rate / limit for name, rate in one["gflops"].items()}
    return {
        "engine": backend.ENGINE,
        "chord_units": settings.chord_units,
        "kernels": dispatch.is_available(),
        "sizes": sizes,
        "product_gflops": rates,
        "skipped": skipped,
    }


def measure_size(size, names, settings):
    """Time updates of one size by rnn4music and the agreeing peers.

    With `settings.chord_units` all of them have the chord output, and rnn4music is also timed
    without it.
    """
    from benchmarks import arithmetic, job

    print(f"{size}:", end=" ", flush=True)
    K = settings.chord_units
    model, tunes = job.model_and_tunes(*size, chord_units=K)
    windows = tunes.swapaxes(0, 1).copy()
    agreeing, agreement, refused = agreeing_peers(model, windows, names)

    def our_round(model, n):
        return model.train(tunes, n, 1, *tunes.shape[:2], progress=False).seconds

    programs = {OURS: partial(our_round, model)}
    if K is not None:
        programs[WITHOUT_CHORDS] = partial(our_round, job.model_and_tunes(*size)[0])
    for name, peer in agreeing.items():
        programs[name] = partial(peer_round, peer, windows)
    for one_round in programs.values():
        one_round(2)  # compiles
    usual = min(programs[OURS](2))
    n_updates = max(1, min(MOST_UPDATES, int(ROUND_SECONDS / usual)))
    rounds = in_rounds(programs, n_updates, settings)
    medians = {name: [statistics.median(one) for one in rounds[name]] for name in rounds}
    operations = {
        name: arithmetic.update_operations(size, N_PITCHES, None if name == WITHOUT_CHORDS else K)
        for name in rounds
    }
    times = {name: summary(sum(rounds[name], [])) for name in rounds}
    shown = ", ".join(f"{name} {times[name]['median']:.4g} ms" for name in times)
    print(f"{len(rounds[OURS])} rounds of {n_updates}, {shown}", flush=True)
    return {
        "size": size._asdict(),
        "rounds": len(rounds[OURS]),
        "updates_per_round": n_updates,
        "agreement": agreement,
        "refused": refused,
        "update_ms": times,
        "times_as_fast": {
            name: summary([theirs / ours for ours, theirs in zip(medians[OURS], medians[name])])
            for name in rounds
            if name != OURS
        },
        "gflop": operations[OURS] / 1e9,
        "roll_share": arithmetic.roll_share(size, N_PITCHES, K),
        "gflops": {name: operations[name] / 1e6 / times[name]["median"] for name in rounds},
    }


def agreeing_peers(model, windows, names):
    """Build the peers, and keep those that agree with the model.

    Returns
    -------
    agreeing : dict of name to peer
    agreement : dict of name to largest relative differences
    refused : dict of name to reason
    """
    from benchmarks import job

    weights = model.get_parameters()
    agreeing, agreement, refused = {}, {}, {}
    for name in names:
        peer, has_peepholes = job.build_peer(name, model), peers.PEERS[name].has_peepholes
        job.share_weights(model, peer, weights, has_peepholes)
        try:
            agreement[name] = {"once": job.difference(model, peer, windows)}
            if has_peepholes:
                later = job.difference_after_updates(model, peer, windows)
                agreement[name]["after_updates"] = later
            agreeing[name] = peer
        except job.Disagreement as error:
            refused[name] = str(error)
            print(f"refused {name}: {error}", flush=True)
    model.set_parameters(weights)
    model.resetRMSgrads()
    return agreeing, agreement, refused


def peer_round(peer, windows, n):
    """Return the durations of `n` updates of a peer in seconds."""
    return [timed(partial(peer.update, windows)) for _ in range(n)]


def in_rounds(programs, n_updates, settings):
    """Run the programs in turn, until the rounds or the seconds are used up.

    Returns
    -------
    dict of name to list of list of float
        Milliseconds of each update, by round.
    """
    rounds = {name: [] for name in programs}
    started = time.perf_counter()
    for n in range(settings.rounds):
        if n >= settings.fewest_rounds and time.perf_counter() - started > settings.seconds:
            break
        for name, one_round in programs.items():
            # the first update is slowed by memory of the previous program
            rounds[name].append([1000 * seconds for seconds in one_round(n_updates + 1)[1:]])
    return rounds


def report(results):
    """Return the tables in Markdown."""
    names = list(dict.fromkeys(name for one in results["sizes"] for name in one["update_ms"]))
    theirs = [name for name in names if name != OURS]
    times, shares = [], []
    for one in results["sizes"]:
        size = list(one["size"].values())
        ratios = [one["times_as_fast"].get(name) for name in theirs]
        times.append([*size, cell(one["update_ms"][OURS]), *(cell(r, " ×") for r in ratios)])
        row = [*size, f"{one['gflop']:.3g}", f"{one['roll_share']:.0%}"]
        for name in names:
            known = name in one["share"]
            row.append(f"{one['gflops'][name]:.1f} ({one['share'][name]:.0%})" if known else "—")
        shares.append(row)
    titles = [peers.title(name) for name in theirs]
    kernels = "with" if results["kernels"] else "without"
    K = results["chord_units"]
    chords = "" if K is None else f", a chord output of {K} units"
    rates = ", ".join(f"{name} {rate:.0f}" for name, rate in results["product_gflops"].items())
    refusals = [
        f"- refused at {tuple(one['size'].values())}: {peers.title(name)}, {reason}"
        for one in results["sizes"]
        for name, reason in one["refused"].items()
    ]
    skipped = [
        f"- skipped: {peers.title(name)}, {reason}" for name, reason in results["skipped"].items()
    ]
    return "\n".join(
        [
            f"Time of an update in ms (engine {results['engine']}, {kernels} kernels{chords}), and "
            "the time of the peers relative to it:",
            "",
            *markdown(["H", "B", "T", f"{OURS} ms", *titles], times),
            "",
            "Rates in GFlop/s, and their fraction of that of the fastest product of float32 "
            f"matrices in this run (GFlop/s: {rates}). Products with the piano roll count in "
            "full, although rnn4music skips its zeros:",
            "",
            *markdown(["H", "B", "T", "GFlop", "with the roll", OURS, *titles], shares),
            "",
            *skipped,
            *refusals,
        ]
    ).strip()


def grid_report(runs):
    """Return one table of the medians of several runs, each on its own number of cores."""
    measured = [(run, run["parts"]["updates"]["sizes"]) for run in runs if run["parts"]]
    names = dict.fromkeys(
        name for _, sizes in measured for one in sizes for name in one["times_as_fast"]
    )
    head, rows = ["H", "B", "T"], [list(one["size"].values()) for one in measured[0][1]]
    for run, sizes in measured:
        cores = "one core" if run["threads"] == "1" else f"{run['machine']['cores_used']} cores"
        head += [f"{cores}: ms", *map(peers.title, names)]
        for row, one in zip(rows, sizes):
            row.append(f"{one['update_ms'][OURS]['median']:,.2f}")
            ratios = [one["times_as_fast"].get(name) for name in names]
            row += ["—" if ratio is None else f"{ratio['median']:.2f} ×" for ratio in ratios]
    return "\n".join(markdown(head, rows))
