"""Cuts of every kind while members come and go: no two sides may both change the membership, and all must agree after.

    python -m bench.partitions --seeds 10000             # a minute or two for each preset
    python -m bench.partitions --seeds 1 --first 4711 --preset byzantine --tell
    python -m bench.partitions --exhaustive 9            # every cut in two of up to nine nodes

The admission and partition cores of every node, with an abstract gossip in place of links and disks: what one node of a
side has said reaches all of it, each author's records in order. Everything that a cut can interrupt is tried: in the
moments before a side has noticed, any of its nodes still admits and invites, records of some authors have crossed and
those of others have not. Then, whenever a side has noticed what it reaches, two nodes of different sides must not both
accept governed writes. Sides: parts of the graph of links that work both ways. Trouble: cuts in two and in k, rings and
chains with holes (overlapping views), links that work one way, nodes that are down, leave, come back, are ignored.
"""

from __future__ import annotations

import argparse
import sys
import time

from bench.partitions.exhaustive import exhaustive
from bench.partitions.node import Preset
from bench.partitions.story import play
from bench.partitions.world import Broken


def main(args: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--seeds", type=int, default=1_000)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--preset", choices=("crash", "byzantine", "both"), default="both")
    parser.add_argument("--nodes", type=int, default=0, help="as many at the start; by the dice otherwise")
    parser.add_argument("--exhaustive", type=int, default=0, metavar="N")
    parser.add_argument("--tell", action="store_true", help="print what happens")
    told = parser.parse_args(args)
    began = time.monotonic()
    if told.exhaustive:
        print(f"{exhaustive(told.exhaustive)} cuts in two of up to {told.exhaustive} nodes: never two sides that write")
        return 0
    presets: tuple[Preset, ...] = ("crash", "byzantine")
    for preset in presets:
        if told.preset not in (preset, "both"):
            continue
        admitted = refused = invited = broken = nodes = 0
        for seed in range(told.first, told.first + told.seeds):
            try:
                world = play(seed, preset, tell=told.tell, size=told.nodes)
            except Broken as error:
                broken += 1
                print(f"seed {seed}, {preset}: {error}")
                print(f"  python -m bench.partitions --first {seed} --seeds 1 --preset {preset} --tell")
                continue
            admitted, refused, invited = admitted + world.admitted, refused + world.refused, invited + world.invited
            nodes = max(nodes, len(world.nodes))
        print(
            f"{preset:>9}: {told.seeds} seeds, {broken} broken; {admitted} admitted, {invited} invited, "
            f"{refused} refused, up to {nodes} nodes; {time.monotonic() - began:.0f} s"
        )
        if broken:
            return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
