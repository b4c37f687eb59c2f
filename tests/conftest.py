"""What holds for all tests."""

from hypothesis import settings

# How long an example takes says more of what else a machine does than of the code.
settings.register_profile("without deadline", deadline=None)
settings.load_profile("without deadline")
