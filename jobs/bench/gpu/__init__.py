"""``python -m jobs.bench.gpu``: all that is to be known of a GPU, in a few minutes, part by part."""
