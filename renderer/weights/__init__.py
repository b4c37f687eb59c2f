"""The only place that knows weight files: model directories, the bundled model, the published files."""
