"""Training recipes of `benchmarks.learning` for each standard set, and published results.

Recipes were chosen on the validation sets only. For MuseData and Piano-midi.de, whose files were
not available, the default recipe suits both other sets.
"""

import dataclasses
from typing import NamedTuple


@dataclasses.dataclass(frozen=True)
class Recipe:
    """Arguments of `RNN4Music` and its `train`."""

    units: int = 200  # per layer
    chord_units: int | None = None
    rate: float = 0.002
    optimiser: str = "adam"
    windows: str = "all"
    batch: int = 16
    length: int = 101
    epochs: int = 300
    dropout: float = 0.2
    weight_noise: float = 0.075
    output_noise: float | None = None
    averaging: float = 0.998
    decay_patience: int = 3
    patience: int = 6

    def model_settings(self, seed):
        """Return the keyword arguments of `RNN4Music`."""
        units = dict.fromkeys(("h1_length", "h2_length", "h3_length"), self.units)
        rates = dict.fromkeys(("R1", "R2", "R3", "Rout"), self.rate)
        own = {name: getattr(self, name) for name in ("chord_units", "optimiser")}
        return {**units, **rates, **own, "io_length": 88, "seed": seed}

    def train_settings(self):
        """Return the keyword arguments of `RNN4Music.train`, except the data."""
        own = dataclasses.asdict(self)
        for name in ("units", "chord_units", "rate", "optimiser"):
            del own[name]
        return {
            "noOfEpochPerMB": 1,
            "noOfEpoch": own.pop("epochs"),
            "sizeOfMiniBatch": own.pop("batch"),
            "lengthOfMB": own.pop("length"),
            **own,
        }


RECIPES = {
    "JSB_Chorales": Recipe(
        units=100,
        rate=0.004,
        windows="random",
        batch=8,
        length=65,
        dropout=0.3,
        weight_noise=0.17,
        averaging=0.995,
        decay_patience=6,
        patience=20,
    ),
    "Nottingham": Recipe(),
    "MuseData": Recipe(),
    "Piano-midi.de": Recipe(),
}
"""Recipes of networks whose pitches are independent, by set."""

CHORDS = {
    name: dataclasses.replace(
        recipe, chord_units=264, dropout=0.5, weight_noise=0.1, output_noise=0
    )
    for name, recipe in RECIPES.items()
}
"""Recipes of networks with chords, by set."""
CHORDS["JSB_Chorales"] = dataclasses.replace(CHORDS["JSB_Chorales"], weight_noise=0.28)

IN_ALL_KEYS = dataclasses.replace(CHORDS["JSB_Chorales"], decay_patience=8, patience=24)
IN_KEYS = {
    **RECIPES,
    "JSB_Chorales": dataclasses.replace(IN_ALL_KEYS, chord_units=None, units=200),
}
"""Recipes of networks with independent pitches that learn all tunes in all keys, by set."""

CHORDS_IN_KEYS = {
    **CHORDS,
    "JSB_Chorales": dataclasses.replace(IN_ALL_KEYS, units=150, dropout=0.4),
}
"""Recipes of networks with chords that learn all tunes in all keys, by set."""


class Published(NamedTuple):
    """Published nats per step of a model on the test sets, or None if not published."""

    model: str
    JSB_Chorales: float | None = None
    Nottingham: float | None = None
    MuseData: float | None = None
    Piano_midi_de: float | None = None


PUBLISHED = [
    Published("LSTM (Chung et al. 2014)", 8.67, 3.20, 6.23, 9.03),
    Published("LSTM (Bai et al. 2018)", 8.45, 3.29),
    Published("LSTM, tuned on the test set (the RRU authors' table)", 8.33, 3.25, 7.24, 7.54),
    Published("TCN (Bai et al. 2018)", 8.10, 3.07),
    Published("RRU, tuned on the test set", 7.72, 2.92, 7.03, 7.38),
    Published("joint: RNN-NADE (Boulanger-Lewandowski et al. 2012)", 5.56, 2.31, 5.60, 7.05),
    Published("joint: DMM-Aug-NADE (Krishnan et al. 2017)", 5.12, 2.31, 6.05, 7.05),
    Published("joint: SRNN, a bound (Fraccaro et al. 2016)", 4.74, 2.94, 6.28, 8.20),
]  # fmt: skip
"""The pitches of a step are independent in all that are not joint models. Both figures that were
tuned on the test set leave empty frames out and restart every 200 frames."""


def published(set_name):
    """Return pairs of model and nats per step for a set."""
    field = set_name.replace("-", "_").replace(".", "_")
    rows = [(row.model, getattr(row, field)) for row in PUBLISHED]
    return [(model, nats) for model, nats in rows if nats is not None]
