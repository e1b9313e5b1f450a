"""Differences between the options of a file and those of a call, for error messages."""


def differences(existing, expected):
    """Return a phrase for each value of `existing` that is not as expected.

    Parameters
    ----------
    existing, expected : dict of str to object
        The names in `expected` are compared. One that `existing` lacks counts as None there.

    Returns
    -------
    list of str
        For example ``["batch_size is 5, expected 6"]``, in the order of `expected`.
    """
    return [
        f"{name} is {existing.get(name)!r}, expected {value!r}"
        for name, value in expected.items()
        if existing.get(name) != value
    ]
