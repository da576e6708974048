"""Single-writer signed records, spread by push and repaired by comparison."""
