"""Piano rolls, and where they come from: MIDI folders, standard sets, stores on disk."""
