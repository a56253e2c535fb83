"""Nestings as partitions of the classes: counted, drawn at random, compared. No torch."""
