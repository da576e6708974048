"""The lab: real nodes in network namespaces, joined by a switch that delays, loses and cuts on purpose. Needs root.

namespaces   one network namespace with a TUN interface per node
fabric       which packet arrives where and when: a LinkModel per direction, pure
switch       the process that holds the TUNs and moves the packets
nodes        `arqon` processes inside the namespaces
story        what happens to them, from a file in scenarios/
lab          up, cut, heal, status, run, down: what `arqon lab` calls
"""
