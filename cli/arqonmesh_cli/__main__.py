"""The `arqon` command. A node's plain start and `--version` are seen to here, before the command tree is imported."""

from __future__ import annotations

import sys


def main() -> None:
    arguments = sys.argv[1:]
    if arguments in (["--version"], ["-V"], ["version"]):
        from arqonmesh import PROTOCOL_VERSION, __version__

        sys.stdout.write(f"arqon {__version__}, protocol {PROTOCOL_VERSION}\n")
        return
    from arqonmesh_cli.serve import plain_start

    start = plain_start(arguments)
    if start is not None:
        try:
            code = start.serve()
        except (Exception, KeyboardInterrupt) as error:
            from arqonmesh_cli.app import told

            code = told(error, arguments)
        sys.exit(code)
    from arqonmesh_cli.app import run

    sys.exit(run(arguments))


if __name__ == "__main__":
    main()
