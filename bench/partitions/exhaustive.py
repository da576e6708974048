"""Every cut in two of a small mesh."""

from __future__ import annotations

from itertools import combinations

from arqonmesh.core.kernel import SECOND
from bench.partitions.node import Preset
from bench.partitions.shapes import both, whole
from bench.partitions.story import grow
from bench.partitions.world import Broken, World


def exhaustive(most: int) -> int:
    """Every cut in two of 2 to `most` nodes, both presets; the number of cuts. Raises Broken."""
    cuts = 0
    presets: tuple[Preset, ...] = ("crash", "byzantine")
    for preset in presets:
        for size in range(2, most + 1):
            world = World(size, preset)
            grow(world, size)
            ids = list(world.nodes)
            for bits in range(1, 1 << (size - 1)):
                one = [node for index, node in enumerate(ids) if bits >> index & 1]
                two = [node for node in ids if node not in one]
                world.connect(both([*combinations(one, 2), *combinations(two, 2)]))
                world.pass_time(2 * SECOND)
                need = world.nodes[ids[0]].partition.view().required
                for side in (one, two):
                    accepts = [world.nodes[node].accepts for node in side]
                    if any(accepts) is not all(accepts) or any(accepts) is not (len(side) >= need):
                        raise Broken(f"{preset}, {size} nodes, side of {len(side)}: {accepts}, {need} needed")
                cuts += 1
            world.connect(whole(world))
            world.pass_time(3 * SECOND)
            world.check_equal()
    return cuts
