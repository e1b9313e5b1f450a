"""A tune as MIDI, sound, picture and page."""
