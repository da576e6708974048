"""Regenerate `_generated/` from arqonmesh.proto: `python -m arqonmesh.api.generate` (needs grpcio-tools).

Only the messages are generated. The service's handlers and calls are built from the descriptor
(api/methods.py), so no generated file depends on the grpcio release that made it.
"""

from __future__ import annotations

import importlib
import sys
import tempfile
from pathlib import Path
from typing import Final

HERE: Final = Path(__file__).parent
PROTO: Final = HERE / "arqonmesh.proto"
GENERATED: Final = HERE / "_generated"


def generate(target: Path) -> None:
    """Write arqonmesh_pb2.py and .pyi into `target`. Raises RuntimeError with protoc's exit status."""
    _protoc([f"--python_out={target}", f"--pyi_out={target}"])


def descriptor_of(proto: Path = PROTO) -> bytes:
    """The serialized FileDescriptorSet of the .proto as it stands, comments left out."""
    with tempfile.TemporaryDirectory() as scratch:
        output = Path(scratch) / "set.bin"
        _protoc([f"--descriptor_set_out={output}"], proto)
        return output.read_bytes()


def _protoc(options: list[str], proto: Path = PROTO) -> None:
    protoc = importlib.import_module("grpc_tools.protoc")
    status = protoc.main(["protoc", f"--proto_path={proto.parent}", *options, proto.name])
    if status != 0:
        raise RuntimeError(f"protoc ended with status {status} on {proto}")


if __name__ == "__main__":
    generate(GENERATED)
    sys.stdout.write(f"wrote {GENERATED}\n")
