"""Class trees as other programs' files: read (NBDT graphs, edge lists, label paths, Newick, our JSON) and written."""

from hiergen.formats.exporting import export_tree
from hiergen.formats.files import READ, WRITE, read, write
from hiergen.formats.importing import Imported, import_tree

__all__ = ["READ", "WRITE", "Imported", "export_tree", "import_tree", "read", "write"]
