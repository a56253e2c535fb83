"""Searches the nestings of one shape for the best by a stated objective: annealing, polishing, and a proved bound."""
