"""Real endpoints on loopback: from two sockets to a link, and everything that must not become one."""

from __future__ import annotations

import pytest

from arqonmesh.core.kernel import Lane
from tests.net.kit import hall


@pytest.mark.requirement("R-TR-1")
@pytest.mark.requirement("R-TR-4")
async def test_two_members_link_and_frames_go_both_ways_on_every_lane() -> None:
    """One dial, one link; each lane delivers what was sent on it, in order."""
    async with hall() as made:
        a, b = made.member(1), made.member(2)
        await made.linked(a, b)
        for lane in Lane:
            assert a.endpoint.send(b.id, lane, b"to b %d" % lane)
            assert b.endpoint.send(a.id, lane, b"to a %d" % lane)
        await b.heard.until(lambda: len(b.heard.frames) == 4)
        await a.heard.until(lambda: len(a.heard.frames) == 4)

        assert sorted(b.heard.frames) == sorted((a.id, lane, b"to b %d" % lane) for lane in Lane)
        assert sorted(a.heard.frames) == sorted((b.id, lane, b"to a %d" % lane) for lane in Lane)
        assert a.endpoint.links()[b.id].outbound and not b.endpoint.links()[a.id].outbound
