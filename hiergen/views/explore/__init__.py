"""`hiergen explore`: a taxonomy, its networks and their costs as one HTML page that needs no server and no network.

`read` finds nestings and plans, `nodes` says what is known of each class and group, `payload` puts both into JSON-ready
data, `document` makes the page of it. The page's own code is in the folder `page`, d3 in `vendor`.
"""

from hiergen.views.explore.explore import Explored, document, explore

__all__ = ["Explored", "document", "explore"]
