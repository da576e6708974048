"""Rotation: a new leaf in time, the old one good meanwhile, never all nodes at once."""

from __future__ import annotations

import random

import pytest

from arqonmesh.ids import ClusterId, MeshId
from arqonmesh.trust.certificates import NO_MESH, verify_chain
from arqonmesh.trust.keys import NodeKey
from arqonmesh.trust.rotation import LeafRing

HOUR = 3_600_000
NOW = 1_700_000_000_000
KEY = NodeKey(bytes(range(32)))


def ring(seed: int = 1) -> LeafRing:
    return LeafRing(
        KEY,
        mesh_id=NO_MESH,
        cluster=ClusterId("hq"),
        lifetime_ms=48 * HOUR,
        renew_after_ms=24 * HOUR,
        rng=random.Random(seed),
        now_ms=NOW,
    )


@pytest.mark.requirement("R-ID-4")
def test_a_leaf_is_renewed_within_a_day_and_not_before_four_fifths_of_it() -> None:
    """24 h less a jitter of up to a fifth, different from node to node, the same for the same seed."""
    times = [ring(seed).renew_at_ms - NOW for seed in range(200)]

    assert min(times) >= 24 * HOUR * 4 // 5
    assert max(times) <= 24 * HOUR
    assert max(times) - min(times) > 4 * HOUR
    assert ring(7).renew_at_ms == ring(7).renew_at_ms


def test_it_is_due_at_its_time_and_not_before() -> None:
    """Exactly at `renew_at_ms`."""
    leaves = ring()

    assert not leaves.due(NOW)
    assert not leaves.due(leaves.renew_at_ms - 1)
    assert leaves.due(leaves.renew_at_ms)


def test_it_is_due_when_the_clock_was_set_back() -> None:
    """Peers would take the current leaf for one from the future."""
    assert ring().due(NOW - HOUR)


@pytest.mark.requirement("R-ID-5")
def test_old_and_new_are_both_valid_until_the_old_one_ends() -> None:
    """A connection attempt made with the old leaf just before the renewal still succeeds."""
    leaves = ring()
    first = leaves.current
    at = leaves.renew_at_ms

    second = leaves.rotate(at)

    assert (leaves.previous, leaves.current) == (first, second)
    assert leaves.valid(at) == [second, first]
    assert leaves.valid(first.not_after_ms + 1) == [second]
    for leaf in (first, second):
        assert verify_chain(leaf.chain_der, at, 0).node_id == KEY.node_id
    assert not leaves.due(at)
    assert leaves.renew_at_ms >= at + 24 * HOUR * 4 // 5


def test_a_rotation_can_carry_the_node_into_its_mesh() -> None:
    """After the join the leaf names the mesh, and so do all later ones."""
    leaves = ring()
    mesh = MeshId("01J9Z3NDEKTSV4RRFFQ69G5FAV")

    leaves.rotate(NOW + 1, mesh_id=mesh)
    leaves.rotate(NOW + 2)

    assert verify_chain(leaves.current.chain_der, NOW + 2_000, 0).mesh_id == mesh


def test_a_year_of_rotation_never_leaves_a_node_without_a_valid_leaf() -> None:
    """Driven by `due` alone, looked at every hour, with no skew allowed."""
    leaves = ring(3)
    rotations = 0
    for hour in range(365 * 24):
        now_ms = NOW + hour * HOUR
        if leaves.due(now_ms):
            leaves.rotate(now_ms)
            rotations += 1
        assert leaves.valid(now_ms)[0] is leaves.current
    assert 365 <= rotations <= 365 * 5 // 4 + 1
