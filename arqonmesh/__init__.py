"""ArqonMesh joins message buses at several sites into one mesh over QUIC."""

__version__ = "0.1.0"
