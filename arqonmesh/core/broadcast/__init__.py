"""Payloads to every node of the mesh, over the links that exist: Plumtree (Leitao, Pereira, Rodrigues, SRDS 2007).

| file               | one idea                                                                     |
|--------------------|------------------------------------------------------------------------------|
| `core.py`          | the protocol: payload, have, graft, prune                                    |
| `cache.py`         | what is known (ids) and what can be served (payloads), both bounded          |
| `wanted.py`        | what was announced and has not come: whom to ask, when                       |
| `promises.py`      | what was asked for and must come, or whoever announced it is blamed          |
| `neighbours.py`    | one linked peer: in the tree or not, how far it is                           |
| `announcements.py` | what lazy peers are to be told, when, and by which end of the link           |
| `fan_out.py`       | copies beside the tree on a payload's first hops                             |
"""

from __future__ import annotations

from arqonmesh.core.broadcast.core import Plumtree

__all__ = ["Plumtree"]
