"""What applications talk to: the bus over WebSocket, and the node's state over HTTP. Bytes in, bytes out.

The bridge decides nothing about messages. Whole text frames go to the `BusPort`, ready-made frames come back
through `BusServer.deliver`. A client that misbehaves is cut off here, with a code, a reason and a count.
"""
