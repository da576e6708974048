"""HyParView: a few links per node that hold a mesh of any size together, and spare members for when they fail."""
