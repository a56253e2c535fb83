"""Copies what a source uses of hiergen into it; reads source text only and imports nothing of it."""
