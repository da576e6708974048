"""What was published on the bus, kept beyond the memory of the node: one interface, several back ends.

    history = SqliteHistory.open(path, settings)
    rows = history.load()                    # what the bus has to know of every stream, before it starts
    history.keep(effect)                     # from the event loop; returns at once
    found = await history.read(query)        # beside the event loop; finds what was kept before
    await history.close(epoch)               # drains; the streams of this life are ended cleanly

| file        | idea                                                                                   |
|-------------|----------------------------------------------------------------------------------------|
| backend.py  | the interface, its health, and which back ends there are                               |
| chunks.py   | consecutive events of one stream become one row                                        |
| schema.py   | history.db: its tables, and opening it                                                 |
| writer.py   | the thread: group commit, pruning                                                      |
| reader.py   | a question to the file, answered                                                       |
| sqlite.py   | the front: bounded queue, answers on the loop                                          |
| choice.py   | which of them the settings ask for                                                     |
| mirror.py   | history.db as a queue for somebody else                                                |
| union.py    | two answers to one question become one                                                 |
| together.py | the same where one of them was cut short                                               |
| redis/      | Redis Streams: one per room:channel, fed from what was kept, catching up by itself     |
"""

from arqonmesh.store.history.backend import BACKENDS, Found, HistoryBackend
from arqonmesh.store.history.choice import open_backend
from arqonmesh.store.history.sqlite import SqliteHistory

__all__ = ["BACKENDS", "Found", "HistoryBackend", "SqliteHistory", "open_backend"]
