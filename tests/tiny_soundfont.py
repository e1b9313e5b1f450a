"""A minimal SoundFont: one sine sample, one instrument, one preset.

An .sf2 file is a RIFF form "sfbk" of three lists: INFO (its origin), sdta (16-bit samples) and pdta
(nine tables, each ending with a terminal record). The zones ("bags") of a preset point to
instruments, and the zones of an instrument to samples. A zone sets generators, pairs of a number
and a value. Here they also set the sample to loop, so that it sounds while a key is held.
"""

import struct

import numpy as np

SAMPLE_RATE = 44100
ROOT_PITCH = 69
PERIODS, SAMPLES_PER_PERIOD = 441, 100
FREQUENCY = SAMPLE_RATE / SAMPLES_PER_PERIOD
"""Frequency of `ROOT_PITCH` in Hz: 441, which distinguishes this A4 from one at 440 Hz."""

INSTRUMENT, SAMPLE_MODES, SAMPLE_ID = 41, 54, 53  # generator numbers
LOOP = 1  # sample mode: loop while the key is held


def chunk(name, data):
    """Return a RIFF chunk, with its data padded to an even length."""
    return struct.pack("<4sI", name, len(data)) + data + b"\0" * (len(data) % 2)


def text(name, size=20):
    """Return a name padded to the size of a table field."""
    return name.encode("ascii").ljust(size, b"\0")


def tiny_soundfont():
    """Return the bytes of the SoundFont file."""
    n_samples = PERIODS * SAMPLES_PER_PERIOD
    phase = 2 * np.pi * np.arange(n_samples) / SAMPLES_PER_PERIOD
    sample = np.concatenate([np.sin(phase), np.zeros(46)])  # at least 46 zeros must follow
    info = chunk(b"ifil", struct.pack("<HH", 2, 1)) + chunk(b"isng", text("EMU8000", 8))
    info += chunk(b"INAM", text("tiny", 6))
    loop = SAMPLES_PER_PERIOD, n_samples - SAMPLES_PER_PERIOD

    def header(name, *numbers):
        return struct.pack("<20sIIIIIBbHH", text(name), *numbers)

    tables = {
        b"phdr": struct.pack("<20sHHHIII", text("sine"), 0, 0, 0, 0, 0, 0)
        + struct.pack("<20sHHHIII", text("EOP"), 0, 0, 1, 0, 0, 0),
        b"pbag": struct.pack("<HHHH", 0, 0, 1, 0),
        b"pmod": bytes(10),
        b"pgen": struct.pack("<HHHH", INSTRUMENT, 0, 0, 0),
        b"inst": struct.pack("<20sH", text("sine"), 0) + struct.pack("<20sH", text("EOI"), 1),
        b"ibag": struct.pack("<HHHH", 0, 0, 2, 0),
        b"imod": bytes(10),
        b"igen": struct.pack("<HHHHHH", SAMPLE_MODES, LOOP, SAMPLE_ID, 0, 0, 0),
        b"shdr": header("sine", 0, n_samples, *loop, SAMPLE_RATE, ROOT_PITCH, 0, 0, 1)
        + header("EOS", 0, 0, 0, 0, 0, 0, 0, 0, 0),
    }
    lists = chunk(b"LIST", b"INFO" + info)
    lists += chunk(b"LIST", b"sdta" + chunk(b"smpl", np.int16(sample * 20000).tobytes()))
    lists += chunk(b"LIST", b"pdta" + b"".join(chunk(*table) for table in tables.items()))
    return chunk(b"RIFF", b"sfbk" + lists)
