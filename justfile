# ArqonMesh: the front door. `just` lists what there is; arguments pass through (`just test -k suspect`).

set shell := ["bash", "-euo", "pipefail", "-c"]

# this list
default:
    @just --list --unsorted

# environment in .venv, with exact versions, and a first green run
setup:
    python3 -m venv .venv
    .venv/bin/python -m pip install --quiet --upgrade pip
    .venv/bin/python -m pip install --quiet -c constraints.txt -e ".[dev]"
    source .venv/bin/activate && just check && just test -q

# the tests; any pytest option passes through
test *ARGS:
    python -m pytest {{ ARGS }}

# all that must be green before pushing, fastest first
check:
    ruff check .
    ruff format --check .
    lint-imports
    mypy

# rewrite the files as ruff wants them
fix:
    ruff check --fix .
    ruff format .

# three clusters on this machine, live (`just demo --once` runs unattended)
demo *ARGS:
    arqon demo {{ ARGS }}

# three nodes in network namespaces (root); see `arqon lab --help`
up TOPOLOGY="star3":
    arqon lab up {{ TOPOLOGY }}

# the lab gone, nothing left behind
down:
    arqon lab down

# replay one seed of the simulator
sim SEED="42" *ARGS:
    python -m arqonmesh.sim run --seed {{ SEED }} {{ ARGS }}

# search many seeds; a failure prints the line that replays it
sim-many SEEDS="200" *ARGS:
    arqon sim explore swarm --seeds {{ SEEDS }} --jobs 2 {{ ARGS }}

# a story on real processes in network namespaces (root)
lab SCENARIO="partition":
    arqon lab run {{ SCENARIO }}

# the numbers of links and of the way across two clusters
bench *ARGS:
    python -m bench.link {{ ARGS }}
    python -m bench.cross_node {{ ARGS }}

# the bus beside nats, picows, ws, socket.io and websockets, as far as installed: fan-out, and latency at 50 messages/s
bench-fan-out *ARGS:
    python -m bench.fan_out {{ ARGS }}

# 1,000 and 5,000 connections: time to connect, memory of each, p99 with 1 % of them active
bench-connections *ARGS:
    python -m bench.connections {{ ARGS }}

# 1,000 clients in 200 rooms, each publishing 5 times a second
bench-rooms *ARGS:
    python -m bench.many_rooms {{ ARGS }}

# how soon commands are answered while there are 10,000 channels
bench-commands *ARGS:
    python -m bench.bus_commands {{ ARGS }}

# the durable history at 20,000 messages/s: kill -9, count what is there, read back
bench-history *ARGS:
    python -m bench.history {{ ARGS }}

# what seven kinds of bad clients cost the good ones
bench-bad-clients *ARGS:
    python -m bench.bad_clients {{ ARGS }}

# 1,000 clients, a third gone and back every minute: nothing lost, nothing twice, memory flat
soak MINUTES="60" *ARGS:
    python -m bench.soak --minutes {{ MINUTES }} {{ ARGS }}

# all numbers of the bus, one after the other; an hour's soak comes on top (`just soak`)
bench-bus:
    python -m bench.fan_out
    python -m bench.connections
    python -m bench.many_rooms
    python -m bench.bus_commands
    python -m bench.history
    python -m bench.bad_clients

# the numbers of a mesh in trouble: killed hubs, certificates renewed every 5 s under traffic
bench-trouble:
    python -m bench.hub_crash --times 5
    python -m bench.rotation

# the overlay after a mass failure: 1,000 and 10,000 nodes, 10-95 % killed at once
bench-overlay *ARGS:
    python -m bench.overlay {{ ARGS }}

# twelve kinds of adversaries, each with the defence against it and without
bench-byzantine *ARGS:
    python -m bench.byzantine {{ ARGS }}

# planted bugs, and whether the tests notice
mutants *ARGS:
    python -m bench.mutants {{ ARGS }}

# the simulator held against a lab in network namespaces (root), by the same scenario file
bench-calibration *ARGS:
    python -m bench.calibration {{ ARGS }}

# a death, a quarter of the mesh frozen again and again, an event: real processes, serf beside where installed
bench-detection *ARGS:
    python -m bench.detection --nodes 20 64 --repeats 5 {{ ARGS }}
    python -m bench.gray --nodes 64
    python -m bench.events

# what the simulator says: rounds, convergence, broadcast cost, selection, coordinates, cuts
bench-sim:
    python -m bench.gossip_rounds
    python -m bench.convergence
    python -m bench.broadcast
    python -m bench.selection
    python -m bench.vivaldi
    python -m bench.partitions --seeds 1000

# all rows of 64 real nodes on one mesh: an idle hour, kills, a quarter frozen, events; serf beside where installed
bench-one-mesh *ARGS:
    python -m bench.one_mesh {{ ARGS }}

# many idle nodes on this machine: false deaths, CPU, memory
bench-idle NODES="32" MINUTES="10":
    python -m bench.idle_nodes --nodes {{ NODES }} --minutes {{ MINUTES }}

# every parser of remote input, hammered for SECONDS
fuzz SECONDS="60":
    python -m bench.fuzz --seconds {{ SECONDS }}

# regenerate what is generated: stubs, CLI and configuration reference
docs:
    python -m arqonmesh.api.generate
    python -m arqonmesh.config.reference > docs/reference/config.md
    python -m arqonmesh.config.schema > docs/reference/config.schema.json
    python -m arqonmesh_cli.reference > docs/reference/cli.md
    python -m arqonmesh.bridge.http.reference > docs/reference/http.md
    python -m arqonmesh.bridge.spec docs/spec
    if command -v node > /dev/null; then node clients/typescript/scripts/generate.mjs; fi
