"""Training of the language model and of the codecs, and what both need: nothing here knows files of corpora or Ray."""
