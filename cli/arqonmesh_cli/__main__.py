"""The `arqon` command. `--version` is answered here, before anything that takes time is imported."""

from __future__ import annotations

import sys


def main() -> None:
    arguments = sys.argv[1:]
    if arguments in (["--version"], ["-V"], ["version"]):
        from arqonmesh import __version__

        sys.stdout.write(f"arqon {__version__}\n")
        return
    from arqonmesh_cli.app import run

    sys.exit(run(arguments))


if __name__ == "__main__":
    main()
