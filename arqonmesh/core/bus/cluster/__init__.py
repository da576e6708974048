"""A cluster is one bus: its nodes know each other's clients, and what is said to one of them arrives wherever it is.

- table.py: what one node says of its clients, versioned; every other node keeps a copy and can hand it on.
- own.py: what this node tells of its own clients.
- view.py: all copies as one index: who is where, who is in which channel.
- copies.py: the tables of the others, kept up to date from rows.
- exchange.py: digests when a link comes up and now and then, deltas meanwhile; who is dead or has left is forgotten.
- reach.py: which of them are within reach without leaving the cluster; a link is wanted to one that is not.
- calls.py: private messages and deletions, carried by federation inside the cluster and never beyond it.

Nodes of a cluster trust each other: a copy that is handed on is not signed. Events of channels are federation's.
"""
