"""Adversaries: members that hold a real key and use it against the mesh, and trials in which the honest ones withstand.

    for trial in TRIALS:
        face(trial, seed=1).broken                          # "" when the mesh held
        face(trial, trial.seed, defended=False).broken      # the same without that defence: says what broke

An adversary is a whole node with somebody between it and its network (`Adversary`), or, where the question is about
one core among a hundred nodes, a core in that one's place. Each comes as f = ceil(n/3) - 1 of n nodes. It signs with
its own key only. Defences are taken away here (`undefended.py`), by replacing one function; the product has no switch.

| adversary             | what it does                                                 | what withstands             |
| --------------------- | ------------------------------------------------------------ | --------------------------- |
| equivocator           | two statements under one number, then lower forks            | fork proofs, lowest fork    |
| replayer              | old frames, statements and batches, on any link              | numbers and their windows   |
| slanderer             | accuses the healthy; forges statements of a victim           | signatures, refutation      |
| framer                | has honest relays carry forgeries                            | judged before passed on     |
| broken-promise relay  | announces and does not send, passes nothing on               | promises are watched        |
| flooder               | ten times the rate                                           | token buckets               |
| eclipse joiner        | wants to be all that its victim knows                        | outbound quota, shares      |
| whitewasher           | comes back under a fresh identity                            | newcomers earn standing     |
| on-off                | behaves, attacks, waits, attacks                             | forgiveness takes time      |
| coordinate liar       | one millisecond from everybody                               | measurements contradict it  |
| link-state liar       | links that do not exist, for nothing                         | both ends have to say so    |
| pretender             | stands still, in turns with an accomplice                    | few of many are not believed |
| black hole            | swallows what is meant for others, and forks                 | a convict is no transit     |
| ticket double-redeemer | one ticket for one node at two members at once               | claims are counted alike    |
"""

from __future__ import annotations

from arqonmesh.sim.adversaries.adversary import Adversary
from arqonmesh.sim.adversaries.arena import Arena, faulty_max
from arqonmesh.sim.adversaries.trials import TRIALS, Outcome, Trial, face

__all__ = ["TRIALS", "Adversary", "Arena", "Outcome", "Trial", "face", "faulty_max"]
