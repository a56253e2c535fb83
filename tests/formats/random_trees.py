"""Random trees with hostile names, and what makes two trees equal."""

from __future__ import annotations

import random
from typing import Any

from hiergen.formats.tree import Tree, add, label, new_tree, root

HOSTILE = [
    "it's a cat",
    "O''Neill's",
    'say "meow"',
    "a,b;c",
    "(round) [square] {curly}",
    "key: value",
    "- dash # no comment",
    "Straße 東京 🐈",
    "under_score",
    "back\\slash/and\\n",
    "<xml>&amp;</xml>",
    "null",
    "007",
    "1e3",
    "no",
    "'quoted'",
    '"double"',
    "tab by tab",
    "[&&NHX:S=x]",
    "100 %",
]


def random_tree(seed: int, size: int = 40) -> Tree:
    """Some inner nodes have one child, some leaves hang right below the root; each name stands once."""
    draw = random.Random(seed)
    tree = new_tree()
    names = [f"{draw.choice(HOSTILE)} {i}" if draw.random() < 0.7 else f"plain{i}" for i in range(size)]
    add(tree, "0", id="top")
    for i in range(1, size):
        add(tree, str(i), str(draw.randrange(max(0, i - 12), i)), id=names[i])
    return tree


def shape(tree: Tree) -> Any:
    """The tree as nested tuples of names, children in order (iterative, as trees may be deep)."""
    done: dict[str, Any] = {}
    stack = [root(tree)]
    order = []
    while stack:
        order.append(key := stack.pop())
        stack += tree.succ[key]
    for key in reversed(order):
        done[key] = (label(tree, key), tuple(done[child] for child in tree.succ[key]))
    return done[root(tree)]
