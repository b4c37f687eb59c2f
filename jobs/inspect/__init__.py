"""Looking after a run: status, verify, garbage, the report page."""
