"""Shared by many parts of the package: checks of arguments, files, processes, console."""
