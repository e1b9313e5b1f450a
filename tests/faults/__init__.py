"""Fault injection: processes killed, disks filled, files damaged; see `tests.faults.__main__`."""
