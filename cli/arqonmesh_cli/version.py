"""`arqon version`."""

from __future__ import annotations

import platform

from arqonmesh import PROTOCOL_VERSION, __version__
from arqonmesh_cli.answer import Answer, noun, verb
from arqonmesh_cli.options import Json
from arqonmesh_cli.screen import Screen

app = noun("The version.")


@verb(app, "version", "arqon version", "arqon version --json")
def version(as_json: Json = False) -> Answer:
    """Print the version of this command, and of the protocol that nodes of it speak."""

    def text(screen: Screen) -> None:
        screen.line(f"arqon {__version__}, protocol {PROTOCOL_VERSION}")

    return Answer({"version": __version__, "protocol": PROTOCOL_VERSION, "python": platform.python_version()}, text)
