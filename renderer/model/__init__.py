"""The language model of the paper: tokens, piano roll, attention and the two transformers."""
