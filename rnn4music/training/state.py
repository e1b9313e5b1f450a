"""Position of a training: with the weights and the history it determines how training continues."""

from dataclasses import asdict, dataclass

from rnn4music._utils import checks


@dataclass
class TrainingState:
    """Counters of a training, which checkpoints hold and a resumed training starts from."""

    epoch: int = 0  # completed
    update: int = 0  # made in the current epoch
    seed: int | None = None  # of the current epoch
    rate_factor: float = 1.0  # on the learning rates
    best: float | None = None  # nats per step of the best validation
    since_decay: int = 0  # epochs since the best one, or since the rates were lowered

    def complete_epoch(self, nats, config):
        """Count an epoch with its validation (or None); return whether it is the best."""
        self.epoch, self.update, self.seed = self.epoch + 1, 0, None
        if nats is None:
            return False
        if self.best is None or nats < self.best:
            self.best, self.since_decay = nats, 0
            return True
        self.since_decay += 1
        if config.decay_patience is not None and self.since_decay >= config.decay_patience:
            self.rate_factor, self.since_decay = self.rate_factor * config.rate_decay, 0
        return False

    def to_dict(self):
        """Return plain numbers."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values):
        """Return the state of a dict from `to_dict`, which is checked."""
        if values.keys() != asdict(cls()).keys():
            raise ValueError(f"the state of the training has other entries: {values!r}")
        for name in ("epoch", "update", "since_decay"):
            checks.integer(name, values[name], low=0)
        if values["seed"] is not None:
            checks.integer("seed", values["seed"], low=0)
        if values["best"] is not None:
            checks.number("best", values["best"])
        checks.number("rate_factor", values["rate_factor"], above=0, high=1)
        return cls(**values)
