"""Replicated values that merge by themselves: join-semilattices, and the clock that stamps them.

Every type here is an immutable value with `join`, the least upper bound of two replicas' states: commutative,
associative and idempotent, so that neither order nor repetition of what arrives matters (Shapiro et al. 2011). What
changes a value is a delta mutator: it returns a small value of the same type, and `x.join(delta)` is the changed `x`
(Almeida, Shoker and Baquero 2018), so a delta, a group of deltas and a full state are sent and merged alike.

| type                      | holds                                            | of two writes                        |
|---------------------------|--------------------------------------------------|--------------------------------------|
| `min_map.MinMap`          | author to lowest (epoch, seq)                    | the lower point                      |
| `max_map.MaxMap`          | author to highest offset                         | the higher offset                    |
| `g_counter.GCounter`      | (identity, epoch) to count; the value is the sum | the higher count of each actor       |
| `pn_counter.PNCounter`    | two GCounters; the value is their difference     | as above                             |
| `lww_register.Register`   | bytes, stamped by `hybrid_clock.HybridClock`     | the later stamp, then author, content|
| `add_wins_map.AddWinsMap` | text to bytes, tagged by the writes that set it  | both, until one has seen the other   |

Bounded, and lawful all the same: decoding refuses what is larger than a type's bounds, and where a join would grow
beyond them, what it leaves out is a function of keys or of thresholds that only rise, never of what came first.
Encodings are deterministic CBOR, and `decode` takes nothing else; a value that was decoded can be joined with any
other of its type, whoever made it.
"""
