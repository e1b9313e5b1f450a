"""`midiread` and `midiwrite` at the import path that scripts have used since 2013."""

from .reading import midiread
from .writing import midiwrite

__all__ = ["midiread", "midiwrite"]
