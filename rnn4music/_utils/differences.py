"""Differences between the options of a file and those of a call, for error messages."""


def differences(existing, expected, names=None):
    """Return a phrase for each value of `existing` that is not as expected.

    Parameters
    ----------
    existing, expected : dict of str to object
        The names in `expected` are compared. One that `existing` lacks counts as None there.
    names : dict of str to str, optional
        From a name to that which the user knows, where it differs. Values whose names become the
        same share a phrase.

    Returns
    -------
    list of str
        For example ``["batch_size 5, not 6", "--units 50 50 50, not 60 60 60"]``, in the order of
        `expected`.
    """
    names, groups = names or {}, {}
    for name in expected:
        groups.setdefault(names.get(name, name), []).append(name)
    sides = [{name: side.get(name) for name in expected} for side in (existing, expected)]
    return [
        f"{shown} {was}, not {now}"
        for shown, group in groups.items()
        if any(sides[0][name] != sides[1][name] for name in group)
        for was, now in [(_text(shown, [side[name] for name in group]) for side in sides)]
    ]


def _text(name, values):
    """Return values as a user writes them after a flag, or in Python."""
    if not name.startswith("--"):
        return " ".join(map(repr, values))
    if len(values) == 1 and isinstance(values[0], (list, tuple)):
        values = values[0]
    words = {None: "none", True: "on", False: "off"}
    return " ".join(
        words[value] if value is None or isinstance(value, bool) else str(value) for value in values
    )


class OtherOptions(ValueError):
    """A file was made with other options than those of a call.

    Parameters
    ----------
    begin, end : str
        The message, before and after the differences.
    existing, expected, names
        See `differences`.
    """

    def __init__(self, begin, existing, expected, end, names=None):
        self.arguments, self.names = (begin, existing, expected, end), names
        super().__init__(f"{begin}{'; '.join(differences(existing, expected, names))}{end}")

    def __reduce__(self):
        return type(self), (*self.arguments, self.names)

    def named(self, names):
        """Return the same error with the user's names of options."""
        return type(self)(*self.arguments, names)
