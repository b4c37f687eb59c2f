"""Training corpora: how one is prepared, and how it is read."""
