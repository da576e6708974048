"""The topology of the mesh and source routes through it."""
