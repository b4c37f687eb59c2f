"""Standard MIDI files to notes in seconds, and back: events, tempo map, controllers, pedal."""
