"""hiergen: class taxonomies in, networks with separate features per class and superclass out."""

__version__ = "0.1.0"
