"""The 2015 program: the names of its arguments, and its files.

The class keeps the argument names of the 2015 program. `MODERN_NAMES` lists the names used
everywhere else: inside the package, on the command line, in files since format 3.
"""

import warnings

import numpy as np

MODERN_NAMES: dict[str, str] = {
    "io_length": "n_pitches",
    "gradClip": "clip",
    "sigRand": "weight_deviation",
    "muRand": "largest_state",
    "genProbThreshold": "threshold",
    "noOfEpochPerMB": "updates_per_minibatch",
    "noOfEpoch": "epochs",
    "sizeOfMiniBatch": "batch_size",
    "lengthOfMB": "window",
    "sparseParam": "l1",
    "steps_at_once": "segment",
}
"""The argument names of 2015 that have a modern name."""

OLD_NAMES = {modern: old for old, modern in MODERN_NAMES.items()}


def modern(names):
    """Return a dict with its keys of 2015 replaced by the modern ones."""
    return {MODERN_NAMES.get(name, name): value for name, value in names.items()}


def read_2015(entries, path):
    """Translate a file of 2015: one matrix (to, from) for each gate into fused ones (from, to)."""

    def fused(names):
        return np.concatenate([entries[name].T for name in names], axis=-1)

    arrays = {}
    for n in (1, 2, 3):
        layer = {
            "input_to_gates": fused(f"Wx{g}_{n}" for g in "ifco"),
            "hidden_to_gates": fused(f"Wh{g}_{n}" for g in "ifco"),
            "bias": fused(f"b{g}_{n}" for g in "ifco"),
            "peephole_input": entries[f"Wci_{n}"],
            "peephole_forget": entries[f"Wcf_{n}"],
            "peephole_output": entries[f"Wco_{n}"],
        }
        if n > 1:
            layer["below_to_gates"] = fused(f"W{g}j_{n}" for g in "xfco")
        arrays |= {f"parameters/layer{n}/{field}": array for field, array in layer.items()}
        arrays[f"parameters/output/layer{n}_to_output"] = entries[f"Why_{n}"].T
    arrays["parameters/output/bias"] = entries["by"]

    # From the arrays, since the earlier versions did not save h3_length.
    sizes = {f"h{n}_length": len(entries[f"Wci_{n}"]) for n in (1, 2, 3)}
    settings: dict[str, float] = {**sizes, "io_length": len(entries["by"])}
    scalars = [key for key in ("R1", "R2", "R3", "gradClip") if key in entries]
    settings |= {key: float(np.ravel(entries[key])[0]) for key in scalars}
    costs = np.ravel(entries.get("instantaneousCost", ())).astype(float).tolist()
    warnings.warn(
        f"{path} is from the 2015 program, in which the output peephole of the first layer did not "
        "see the cell state: layer1/peephole_output is loaded, but its meaning has changed. The "
        "RMSprop averages were defined differently and start from zero",
        stacklevel=4,
    )
    content = {"settings": settings, "history": {"cost": costs}, "arrays": arrays, "metadata": {}}
    return {**content, "random_state": None, "checkpoint": None, "under_way": {}}
