"""ArqonMesh joins message buses at several sites into one mesh over QUIC."""

__version__ = "0.1.0"
PROTOCOL_VERSION = 2
"""Of the mesh and the join protocol: nodes link only with nodes of the same one (net/tls.py)."""
