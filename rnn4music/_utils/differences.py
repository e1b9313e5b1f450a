"""What differs between the values of a file and those of this call, for error messages."""


def differences(existing, expected):
    """Return a phrase on each value of `existing` that is not as expected.

    Parameters
    ----------
    existing, expected : dict of str to object
        Compared are the names in `expected`; where one is missing in `existing`, it counts as None.

    Returns
    -------
    list of str
        Such as ``["batch_size is 5, expected 6"]``, in the order of `expected`.
    """
    return [
        f"{name} is {existing.get(name)!r}, expected {value!r}"
        for name, value in expected.items()
        if existing.get(name) != value
    ]
