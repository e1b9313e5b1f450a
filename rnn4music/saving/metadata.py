"""The metadata of a model: what others should know of it, saved with the weights.

Conventions
-----------
Notes are a dict of what JSON can hold. ``trained_on`` is a list with a dict for each training: the
arguments of `RNN4Music.train`, how much music there was, its first epoch among all of the
model's history, counted from 1, and how many it had. Notes may come from anywhere; where they
are not as here, they are left out.
"""

import json

TRAINED_ON = "trained_on"


def checked(metadata):
    """Return a copy of metadata, or raise if they cannot be saved."""
    if not isinstance(metadata, dict):
        raise TypeError(f"metadata must be a dict, not {type(metadata).__name__}")
    try:
        return json.loads(json.dumps(metadata, allow_nan=False))
    except (TypeError, ValueError) as error:
        raise type(error)(
            f"metadata must hold text, finite numbers, lists and dicts: {error}"
        ) from None


def trainings(metadata):
    """Return the dicts of all trainings, the earliest first."""
    noted = metadata.get(TRAINED_ON)
    return [each for each in noted if isinstance(each, dict)] if isinstance(noted, list) else []


def with_training(metadata, about, first_epoch, epochs):
    """Return metadata with a training, in the place of the last one if that began where it does.

    A training of the same kind as the last one goes on with it.
    """
    earlier = trainings(metadata)
    if earlier and earlier[-1].get("first_epoch") == first_epoch:  # before an interruption
        earlier.pop()
    if earlier and {**earlier[-1], **about} == earlier[-1]:
        last = earlier.pop()
        begun = last.get("first_epoch")
        if isinstance(begun, int):
            first_epoch, epochs = begun, epochs + first_epoch - begun
    return {
        **metadata,
        TRAINED_ON: [*earlier, {**about, "first_epoch": first_epoch, "epochs": epochs}],
    }
