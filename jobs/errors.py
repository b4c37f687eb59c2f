"""What can stop a run, other than a fault of ours. Messages name the thing and say what to do."""


class JobError(Exception):
    """A run that cannot begin or go on because of what it was given."""


class StorageError(JobError):
    """The storage refuses: no space, no permission. No item is at fault: the run stops, and can go on."""
