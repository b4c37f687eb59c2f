"""From segments to codes: which of them run together, and the steps that run them."""
