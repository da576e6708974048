"""Redis Streams as the history that the nodes of a cluster, and workers without a WebSocket, share.

    arqon:history:{science:explore}    a stream per room:channel; entries with the fields frame, epoch, offset
    arqon:heads:{science:explore}      a hash, {epoch: offset}: how far the stream has each of the bus's streams
    arqon:strays:{science:explore}     when an entry came last that was far from its own time, see scan.py
    arqon:mirror:4f1c...               how far a node's history.db is in this Redis

    XREAD BLOCK 0 STREAMS "arqon:history:{science:explore}" $        what a worker does; XREADGROUP for several

Every node writes what its own clients published and what came from other clusters. A script appends and raises the head
in one step and skips what is there already, so writing again after a lost answer is harmless. Streams are trimmed to
about `redis_maxlen` (XADD MAXLEN ~). What fills a hole of a stream afterwards is in history.db alone.

The way there is a queue on disk: with `durable`, rows of history.db that were committed are sent in order, and the
number of the last one stands in Redis beside them. So a Redis that dies takes nothing along: reading goes on from
SQLite and memory at once, /health says so, and when Redis is back it gets what it missed, in order, also when the node
was restarted meanwhile. One that comes back with less than it had (no persistence, an older snapshot, another address)
says so by that number, and gets again what history.db still has. Without `durable`, or once the disk has failed, the
queue is in memory, bounded, and what falls out of it is counted.

| file         | idea                                                                                  |
|--------------|---------------------------------------------------------------------------------------|
| address.py   | what is an address of a Redis, and how it is shown                                    |
| keys.py      | the names above, and the script                                                       |
| condition.py | what goes wrong, by kind: what is tried again, and what costs one key alone            |
| queues.py    | what waits for Redis: on disk, in memory                                              |
| sender.py    | the task that connects, writes in order, and comes back after a failure               |
| scan.py      | a question to a stream, answered                                                      |
| heads.py     | how far the cluster's streams are, for a node that starts                             |
| history.py   | the back end: Redis and SQLite as one                                                 |
"""

from arqonmesh.store.history.redis.address import check_url
from arqonmesh.store.history.redis.history import RedisHistory
from arqonmesh.store.history.redis.keys import heads_key, stream_key

__all__ = ["RedisHistory", "check_url", "heads_key", "stream_key"]
