"""Cuts of every kind while members come and go: `python -m bench.partitions`.

gossip.py       what nodes hold of each other's records
node.py         the two cores of one node
world.py        nodes, links, one clock; what must hold
changes.py      admissions, invites, farewells
shapes.py       cuts: in two, in k, chains with holes, one way
story.py        one seed: grow, cut, act, heal
exhaustive.py   every cut in two of a small mesh
"""
