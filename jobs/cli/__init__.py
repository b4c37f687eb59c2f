"""Every command and its options. Nothing else knows typer."""
