"""Regions: who speaks for each, and what is told of it to the others."""
