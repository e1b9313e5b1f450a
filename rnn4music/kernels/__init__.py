"""Machine code for the loops and products of an update."""
