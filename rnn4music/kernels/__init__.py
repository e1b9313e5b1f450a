"""Machine code for the recurrent loops, the matrix products and the drawing of chords."""
