"""Compiled functions, and the parameters in the engine's hands."""
