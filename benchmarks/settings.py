"""Settings shared by all parts: sizes, and numbers of repetitions.

This module imports only the standard library, so that a process that starts others stays small.
"""

import dataclasses
import math
from typing import NamedTuple

N_PITCHES = 88


class Size(NamedTuple):
    """The size of an update: three layers of `hidden` units, `batch` tunes, `steps` predictions."""

    hidden: int
    batch: int
    steps: int

    def __str__(self):
        return f"H {self.hidden}, B {self.batch}, T {self.steps}"

    @classmethod
    def parse(cls, text):
        """Return the size in text of the form ``H,B,T``.

        Raises
        ------
        ValueError
            If the text is not three positive integers.
        """
        numbers = [int(part) for part in text.split(",")]
        if len(numbers) != 3 or min(numbers) < 1:
            raise ValueError(f"{text!r} is not a size: give units,tunes,steps such as 120,5,100")
        return cls(*numbers)


LARGEST = Size(800, 32, 100)  # whose update is about 0.25 TFlop
GRID = [
    Size(hidden, batch, steps)
    for hidden in (64, 120, 200, 400, 800)
    for batch in (1, 5, 32, 128)
    for steps in (100, 400)
    if steps == 100 or hidden**2 * batch * steps <= math.prod(LARGEST) * LARGEST.hidden
]
"""The grid of sizes: all with 100 steps, and those with 400 that are no larger than `LARGEST`."""

SUBSET = [
    Size(64, 5, 100),
    Size(120, 1, 100),
    Size(120, 5, 100),
    Size(120, 32, 100),
    Size(120, 128, 50),
    Size(400, 5, 100),
    Size(400, 64, 100),
    Size(800, 5, 50),
]
"""Default sizes."""


@dataclasses.dataclass
class Settings:
    """Settings of the parts; the defaults are those of a full run."""

    sizes: list = dataclasses.field(
        default_factory=lambda: list(SUBSET)
    )  # of updates, a list of Size
    chord_units: int | None = None  # of the updates; None: independent outputs
    peers: list = dataclasses.field(default_factory=list)  # names
    rounds: int = 10  # at most; programs alternate in rounds
    fewest_rounds: int = 5
    seconds: float = 10.0  # for the rounds of one size, after the fewest
    product: int = 2048  # rows and columns of the matrices multiplied to compare rates
    main: Size = Size(120, 5, 100)  # size of all other parts
    starts: int = 3  # new processes of each kind
    memory_steps: tuple = (50, 100, 200, 400, 800)
    memory_batches: tuple = (1, 5, 32)
    at_once: tuple = (1, 16, 256)  # tunes composed together
    composed: int = 320  # steps per composed tune
    long: int = 10_000  # steps of a predicted tune
    files: int = 200  # in the folder of MIDI files
    data: str = ""  # folder of .mid files for the memory of the example, or "" to skip it

    @classmethod
    def quick(cls):
        """Return settings with tiny sizes, as a trial; the figures are meaningless."""
        tiny = Size(8, 2, 6)
        return cls(
            sizes=[tiny],
            rounds=2,
            seconds=1.0,
            product=256,
            main=tiny,
            starts=1,
            memory_steps=(6, 12),
            memory_batches=(2,),
            at_once=(1, 4),
            composed=40,
            long=200,
            files=3,
        )

    def to_dict(self):
        """Return the settings as a dict for JSON."""
        return dataclasses.asdict(self)

    @classmethod
    def from_dict(cls, values):
        """Return the settings from a dict of `to_dict`."""
        sizes = [Size(*size) for size in values["sizes"]]
        return cls(**{**values, "sizes": sizes, "main": Size(*values["main"])})
