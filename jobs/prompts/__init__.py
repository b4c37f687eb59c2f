"""Prompt banks: made from recordings, shown, and checked."""
