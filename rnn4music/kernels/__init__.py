"""Machine code for the recurrent loops, the matrix products, drawing chords and composing."""
