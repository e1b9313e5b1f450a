"""Model files, their metadata, and model cards."""
