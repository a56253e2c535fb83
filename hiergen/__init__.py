"""hiergen: class taxonomies in, networks with separate features per class and superclass out.

The public API (`__init__.pyi` lists it), loaded on first use so that `import hiergen` costs nothing:

>>> import hiergen
>>> taxonomy = hiergen.load_taxonomy("taxonomies/imagenet100.yaml")
>>> plans = hiergen.plan_models(taxonomy)
>>> plans[1].params <= 25_000_000
True
"""

import lazy_loader

from hiergen._version import __version__ as __version__

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
