"""Speed and memory, measured beside the programs that one would use instead."""
