"""What is measured, and how thoroughly: the settings that all parts share.

Imports the standard library alone, so that a process that starts others stays small.
"""

import dataclasses
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
        """Return the size that ``H,B,T`` means.

        Raises
        ------
        ValueError
            If that is not three whole numbers above 0.
        """
        numbers = [int(part) for part in text.split(",")]
        if len(numbers) != 3 or min(numbers) < 1:
            raise ValueError(f"{text!r} is not a size: give units,tunes,steps such as 120,5,100")
        return cls(*numbers)


GRID = [
    Size(hidden, batch, steps)
    for hidden in (64, 120, 200, 400, 800)
    for batch in (1, 5, 32, 128)
    for steps in (50, 100, 400)
]
"""All sizes."""

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
"""The sizes that are measured unless others are asked for."""


@dataclasses.dataclass
class Settings:
    """What the parts are told; the defaults are those of a full run."""

    sizes: list = dataclasses.field(default_factory=lambda: list(SUBSET))  # of Size, updates
    peers: list = dataclasses.field(default_factory=list)  # names
    rounds: int = 10  # in which the programs alternate
    seconds: float = 10.0  # for the rounds of one size; three rounds are taken in any case
    product: int = 2048  # rows and columns of the matrices whose product shows the limit
    main: Size = Size(120, 5, 100)  # size of all other parts
    starts: int = 3  # fresh processes of a kind
    memory_steps: tuple = (50, 100, 200, 400, 800)
    memory_batches: tuple = (1, 5, 32)
    at_once: tuple = (1, 16, 256)  # tunes
    composed: int = 320  # steps of each tune
    long: int = 10_000  # steps of a tune that is predicted
    files: int = 200  # in the folder of MIDI files
    data: str = ""  # folder of .mid files for the example's memory; "": left out

    @classmethod
    def quick(cls):
        """Return settings that try everything at tiny sizes; the figures mean nothing."""
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
        """Return what JSON can hold."""
        return dataclasses.asdict(self)

    @classmethod
    def from_dict(cls, values):
        """Return the settings that `to_dict` gave."""
        sizes = [Size(*size) for size in values["sizes"]]
        return cls(**{**values, "sizes": sizes, "main": Size(*values["main"])})
