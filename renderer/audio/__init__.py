"""Audio files, sample rates and loudness."""
