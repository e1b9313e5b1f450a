"""Pictures of piano rolls, of learning, and of the inside of a network."""
