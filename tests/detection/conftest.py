"""Hypothesis without its deadline of 200 ms an example: it would measure how busy the machine is."""

from hypothesis import settings

settings.register_profile("no deadline", deadline=None)
settings.load_profile("no deadline")
