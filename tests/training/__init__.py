"""A package, so that its conftest.py is not the module `conftest` of the other tests."""
