"""A language model is asked where the evidence disagrees, and nowhere else (NHLgpt). Start at `ask.ask`."""
