"""Making manifests."""
