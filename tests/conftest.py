"""For all tests: an example of a property may take as long as the machine lets it; only its outcome is judged."""

from __future__ import annotations

from hypothesis import settings

settings.register_profile("patient", settings(), deadline=None)
settings.load_profile("patient")
