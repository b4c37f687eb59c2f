"""Training of the codec and of the language model, in one process or on Ray Train."""
