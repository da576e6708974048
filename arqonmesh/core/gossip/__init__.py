"""Single-writer signed records, spread by push and repaired by comparison.

| file          | one idea                                                                             |
|---------------|--------------------------------------------------------------------------------------|
| `core.py`     | the core: routes inputs                                                              |
| `intake.py`   | runs taken in: merged, stored, told, passed on; who is at fault                      |
| `early.py`    | runs that a push brought before their predecessor                                    |
| `authors.py`  | what an admission and an expulsion change                                            |
| `telling.py`  | what other cores are told                                                            |
| `views.py`    | what others read in the store                                                        |
| `own.py`      | our own statements: numbered, chained, on disk before anyone hears; floors           |
| `reading.py`  | a delta as runs, one per author                                                      |
| `waiting.py`  | runs of authors who are no members yet                                               |
| `merge.py`    | what of a run is new, what is false, and whose fault that is                         |
| `forks.py`    | proofs that an author contradicted itself                                            |
| `log.py`      | the records of one author, prefix-closed                                             |
| `replica.py`  | all authors and verdicts as a semilattice; fingerprints, buckets, root               |
| `repair.py`   | finding out with one peer what differs, and exchanging just that                     |
| `ranges.py`   | range-based reconciliation of one author's records                                   |
| `packing.py`  | what is to be said, cut into deltas that explain themselves                          |
| `join.py`     | what a joiner is handed                                                              |
| `disk.py`     | records, heads and proofs as rows                                                    |
| `stages.py`   | what the work costs, by an injected stopwatch                                        |
| `limits.py`   | the bounds                                                                           |
"""
