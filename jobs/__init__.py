"""Corpus-size work: the commands, planning, Ray, storage, commit and reports."""
