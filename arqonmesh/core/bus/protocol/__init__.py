"""The bus protocol: what a frame may hold, how it is read, and everything that is wrong with one that is refused.

`docs/spec/bus.md` is its text; `docs/spec/bus.schema.json` is made of the types in frames.py.
"""
