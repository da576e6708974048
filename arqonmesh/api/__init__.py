"""The control API: gRPC on a Unix socket in front of one running node (control.py says what it can do)."""

import os

# gRPC's C core notes every closed connection on standard error; it reads this when it is first imported.
os.environ.setdefault("GRPC_VERBOSITY", "ERROR")
