"""What can stop a run, other than a fault of ours. Messages name the thing and say what to do."""


class JobError(Exception):
    """A run that cannot begin or go on because of what it was given."""


class StorageError(JobError):
    """The storage refuses: no space, no permission. No item is at fault: the run stops, and can go on."""


class UnavailableError(StorageError):
    """One object is not there, or may not be read; others may be."""


class PlaceError(JobError):
    """Every item of a shard fails because of what this node lacks, or may not read: another may have it."""


class InputError(JobError):
    """What a manifest or a prompt bank names cannot be had: the item's fault."""
