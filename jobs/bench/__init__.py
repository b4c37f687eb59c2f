"""``midi-valle bench``: how fast segments become audio, stage by stage, beside what the machine could do."""
