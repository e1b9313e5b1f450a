"""Files of models, what they say about themselves, and model cards."""
