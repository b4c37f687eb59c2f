"""Pictures of sound for pages: a spectrogram, and the notes over it on the same clock and keys."""
