"""How well a network predicts, and how alike composed and real music are."""
