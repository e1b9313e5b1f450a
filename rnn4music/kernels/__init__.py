"""Machine code for the recurrent loops and the matrix products."""
