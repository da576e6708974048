"""Payloads to every node of the mesh, over the links that exist: Plumtree (Leitao, Pereira, Rodrigues, SRDS 2007).

| file               | one idea                                                                     |
|--------------------|------------------------------------------------------------------------------|
| `core.py`          | the protocol: what comes in, and whose matter it is                          |
| `tree.py`          | which links belong to the tree: cycles and detours are pruned                |
| `resting.py`       | links that may be gone in a second, and are in no tree until they stay       |
| `spreading.py`     | a payload on its way onward: over which links, announced to whom             |
| `bridges.py`       | links between the leaders of regions                                         |
| `fan_out.py`       | copies beside the tree on a payload's first hops                             |
| `announcements.py` | what lazy peers are to be told, when, and by which end of the link           |
| `repair.py`        | what the tree did not bring: asked for, and served to who asks               |
| `cache.py`         | what is known (ids) and what can be served (payloads), both bounded          |
| `wanted.py`        | what was announced and has not come: whom to ask, when                       |
| `promises.py`      | what was asked for and must come, or whoever announced it is blamed          |
| `neighbours.py`    | one linked peer: in the tree or not, how far it is                           |
"""

from __future__ import annotations

from arqonmesh.core.broadcast.core import Plumtree

__all__ = ["Plumtree"]
