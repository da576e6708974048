"""What others use as a bus, started beside ours for one and the same load.

dialects.py  how a client speaks to each of them: handshake, subscription, a message
hubs/        the smallest server that each library makes: what one client says goes to all the others
start.py     which of them this machine has, and their processes
load.py      one publisher and many thin subscribers for any of them
"""
