"""`midi-valle` as a module, for processes that are started with another environment."""

from jobs.cli.commands import midi_valle

if __name__ == "__main__":
    midi_valle()
