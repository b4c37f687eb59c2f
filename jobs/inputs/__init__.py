"""The files that a manifest names: where they are, which may be read, and copies of those on S3."""
