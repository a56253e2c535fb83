"""Searches the nestings of one shape for the best by a stated objective: annealing and climbing."""
