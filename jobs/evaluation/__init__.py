"""How good a model, a codec or a run's audio is: tables, plots, and who judges."""
