"""What survives: one SQLite file per node, written by one thread in group commits.

    store = Store.open(path)             # refuses what is corrupt, foreign, newer or in use; never overwrites
    durable = store.load()               # table -> rows, for the cores' start
    store.persist(writes, sync=True, done=callback)      # from the event loop; returns at once
    await store.close()                  # drains

| file           | idea                                                              |
|----------------|-------------------------------------------------------------------|
| schema.py      | SQL made from core/tables.py                                      |
| migrations.py  | from any older version of the file to ours, one step each         |
| opening.py     | looks before it opens; every refusal with its reason              |
| lock.py        | one process per data directory                                    |
| batch.py       | many transactions into one: the last write of a key wins          |
| writer.py      | the thread: group commit, sync only where asked for               |
| store.py       | the front: queue, back-pressure, completion on the loop           |
"""

from arqonmesh.store.store import Store, StoreStats

__all__ = ["Store", "StoreStats"]
