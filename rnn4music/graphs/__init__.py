"""Compiled functions, and the parameters as shared variables."""
