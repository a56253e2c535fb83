// Search over classes and the groups of a nesting: name, id, wnid, synset, other names.
"use strict";
(function (Explore) {
  const fold = (text) => text.normalize("NFKC").toLowerCase().replace(/[_-]/g, " ");
  const indices = new Map();

  function index(nest) {
    if (!indices.has(nest.index)) {
      const rows = [];
      for (let node = 1; node < nest.size; node++) {
        const exact = ["id", "wnid", "synset"].map((what) => fold(nest.fact(node, what))).filter(Boolean);
        rows.push({ node, name: fold(nest.name(node)), exact, also: fold(nest.fact(node, "also")) });
      }
      indices.set(nest.index, rows);
    }
    return indices.get(nest.index);
  }

  // smaller is better; null: not found
  function rank(row, text) {
    if (row.exact.includes(text) || row.name === text) return 0;
    if (row.name.startsWith(text)) return 1;
    const at = row.name.indexOf(text);
    if (at > 0) return row.name[at - 1] === " " ? 2 : 4;
    if (row.exact.some((one) => one.startsWith(text))) return 3;
    if (row.also.includes(text)) return 5;
    if (row.exact.some((one) => one.includes(text))) return 6;
    return null;
  }

  // → { hits: nodes, best first, at most `limit`; total }
  Explore.search = function (nest, typed, limit = 60) {
    const text = fold(typed.trim());
    if (!text) return { hits: [], total: 0 };
    const found = [];
    for (const row of index(nest)) {
      const score = rank(row, text);
      if (score !== null) found.push([score, nest.isClass(row.node) ? 1 : 0, row.name.length, row.node]);
    }
    found.sort((a, b) => a[0] - b[0] || a[1] - b[1] || a[2] - b[2] || a[3] - b[3]);
    return { hits: found.slice(0, limit).map((one) => one[3]), total: found.length };
  };
})(globalThis.Explore);
