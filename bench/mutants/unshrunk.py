"""A pytest plugin for runs in which a failing example is as good as the smallest one: it is not made smaller, which
takes many times as long as finding it, and is not kept for the next run, which is of another tree."""

from __future__ import annotations

from hypothesis import Phase, settings

settings.register_profile("unshrunk", phases=(Phase.explicit, Phase.generate), database=None)
settings.load_profile("unshrunk")
