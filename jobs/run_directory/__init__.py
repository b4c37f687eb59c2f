"""The contract of a run's folder: run.json, markers, the lease of its driver, events."""
