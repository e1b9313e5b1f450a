"""How a network learns: configuration, loop, minibatches, noise, checkpoints."""
