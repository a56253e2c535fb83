// What the network says of the image that is chosen among those it was shown, by node.
"use strict";
(function (Explore) {
  const { state } = Explore;
  let known = null;

  Explore.share = (p) => (p > 0 && p < 0.0005 ? "<0.1\u00a0%" : p < 1 && p >= 0.9995 ? ">99.9\u00a0%" : Explore.format.percent(p));

  // The picture that is chosen: the probability of a node, and whether it is on the path of the likeliest class; else null.
  Explore.seen = function (nest) {
    if (state.picture === null) return null;
    if (known?.picture === state.picture && known.nest === nest.index) return known;
    const item = Explore.raw.pictures.items[state.picture];
    const values = new Float64Array(Explore.count);
    for (const [c, p] of item.shares) values[c] = p;
    const sum = Explore.sums(nest, values), best = nest.firstClass + item.shares[0][0];
    const path = [];
    for (let at = best; at > 0; at = nest.parent[at]) path.unshift(at);
    const lit = new Set(item.accepted === false ? [] : [0, ...path]);
    known = { picture: state.picture, nest: nest.index, of: (node) => Math.min(sum(node), 1), lit, best, path };
    return known;
  };
})(globalThis.Explore);
