"""For tools that expect this file; all that it says is in pyproject.toml."""

from setuptools import setup

setup()
