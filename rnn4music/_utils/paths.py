"""Checks of file names before anything is written."""

from pathlib import Path


def check_outputs(outputs, inputs):
    """Raise if a file would overwrite an input or another output, or has no folder."""
    seen = {Path(name).resolve() for name in inputs}
    for name in outputs:
        if not str(name):
            raise ValueError("a file name is empty")
        path = Path(name)
        if path.resolve() in seen:
            raise ValueError(f"{name} is read or written twice: give each file another name")
        if not path.parent.is_dir():
            raise FileNotFoundError(f"there is no folder {path.parent} for {name}; make it first")
        if path.is_dir():
            raise IsADirectoryError(f"{name} is a folder; give the name of a file")
        seen.add(path.resolve())


def check_suffix(name, suffixes):
    """Raise unless a file name has one of these suffixes."""
    if Path(name).suffix.lower() not in suffixes:
        raise ValueError(f"{name} must end in {' or '.join(suffixes)}")
