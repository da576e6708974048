"""Replicated values that merge by themselves: join-semilattices, and the clock that stamps them.

Every type here is an immutable value with `join`, the least upper bound of two replicas' states: commutative,
associative and idempotent, so that neither order nor repetition of what arrives matters (Shapiro et al. 2011). What
changes a value is a delta mutator: it returns a small value of the same type, and `x.join(delta)` is the changed `x`
(Almeida, Shoker and Baquero 2018), so a delta, a group of deltas and a full state are sent and merged alike.

| type                     | holds                                                    | of two writes                      |
|--------------------------|----------------------------------------------------------|------------------------------------|
| `min_map.MinMap`         | author to lowest (epoch, seq)                            | the lower point                    |
| `max_map.MaxMap`         | author to highest offset                                 | the higher offset                  |
| `g_counter.GCounter`     | (identity, epoch) to count; the value is the sum         | the higher count of each actor     |
| `pn_counter.PNCounter`   | two GCounters; the value is their difference             | as above                           |
| `lww_register.Register`  | bytes, stamped (hybrid clock, author, content hash)      | the later stamp, by content if equal |
| `add_wins_map.AddWinsMap`| text to bytes; a removal takes only what it has seen     | the one that adds                  |

Bounded: decoding refuses more than a type's MAX_ENTRIES, and `join` keeps the MAX_ENTRIES lowest keys, which is a
function of the set of keys alone and therefore keeps the laws. `full` tells when that has begun; a mesh that is
kept within its other limits does not come near. Encodings are deterministic CBOR, and `decode` takes nothing else; a
value that was decoded can be joined with any other of its type, whoever made it.
"""
