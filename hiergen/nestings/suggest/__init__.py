"""Proposes nestings, from several kinds of evidence, and searches for better ones."""
