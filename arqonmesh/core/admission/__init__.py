"""Who belongs to the mesh, and who may join it."""
