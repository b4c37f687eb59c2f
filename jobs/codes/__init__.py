"""Runs that keep codes in place of audio: what is read of them, and how they become runs with audio."""
