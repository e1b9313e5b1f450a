"""Numbers with their nouns, and text that is safe to print."""

from __future__ import annotations


def count(number: int, noun: str) -> str:
    """Return a number with its noun, such as "1 track" or "2,000 tracks"."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def printable(text: str) -> str:
    """Return a text with control characters, and bytes that are not UTF-8, escaped."""
    return "".join(sign if sign.isprintable() else repr(sign)[1:-1] for sign in text)
