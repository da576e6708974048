"""The cores of real nodes on a simulated network, clock and disk; one seed replays the world.

    python -m arqonmesh.sim run --seed 42            one story, told
    python -m arqonmesh.sim explore --seeds 200      many; each failure prints the line that replays it

Nothing here decides anything about the mesh: `process.py` performs the effects of `core.node.Node` as runtime/ does,
`network.py`, `disk.py` and the clock are the world, `nemesis.py` is what goes wrong, `checkers.py` what must hold.
"""
