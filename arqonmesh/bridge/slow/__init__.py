"""Clients that read more slowly than they are sent to: what waits for them, and what goes when it is too much.

backlog.py  whole messages that wait for one client, and the policy
spill.py    the rest of a backlog, in a file
"""
