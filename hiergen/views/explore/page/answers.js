// An evaluation's answers below the node that is chosen: how many are right, a few of them, and what is taken for what.
"use strict";
(function (Explore) {
  const { make, format, state } = Explore;
  const answers = Explore.raw.answers;
  const SHOWN = 6, LISTED = 8; // thumbnails of each kind; classes or groups that it is confused with
  const card = make("section", { class: "card", id: "answers", "aria-labelledby": "answers-title" });
  document.getElementById("details").after(card);
  state.colour = "accuracy"; // so that every row of the tree says its share

  // of the level of this node: the group that a class is in, or itself
  function above(nest, c, level) {
    let node = nest.firstClass + c;
    while (nest.level[node] > level) node = nest.parent[node];
    return node;
  }

  // Images of a node: all, right, wrong but in the same group, and taken for others and others for it, most first.
  function counted(nest, node) {
    const level = nest.level[node], found = { all: 0, right: 0, inside: 0, to: new Map(), from: new Map() };
    const add = (map, key, count) => map.set(key, (map.get(key) ?? 0) + count);
    for (const [t, p, count] of answers.confusions) {
      const [a, b] = [t, p].map((c) => above(nest, c, level));
      if (a === node) {
        found.all += count;
        if (t === p) found.right += count;
        else if (a === b) found.inside += count;
        else add(found.to, b, count);
      } else if (b === node) add(found.from, a, count);
    }
    const sorted = (map) => [...map].sort((x, y) => y[1] - x[1] || x[0] - y[0]);
    return { ...found, to: sorted(found.to), from: sorted(found.from) };
  }

  const link = (pane, nest, c) => make("button", { type: "button", class: "link", onclick: () => Explore.goTo(pane, nest.firstClass + c) }, nest.name(nest.firstClass + c));

  function shot(pane, nest, node, item) {
    const names = [item.true, item.predicted].map((c) => nest.name(nest.firstClass + c));
    const right = item.true === item.predicted;
    const text = right ? `${item.file}, ${names[0]}: right` : `${item.file}, ${names[0]}: taken for ${names[1]}`;
    const classes = [...(nest.isClass(node) ? [] : [link(pane, nest, item.true)]), ...(right ? [] : [" → ", link(pane, nest, item.predicted)])];
    return make("li", {}, make("img", { src: item.image, alt: text, loading: "lazy" }),
      make("span", {}, ...classes, ` ${Explore.share(item.probability)}`, item.accepted === false ? ", none of these" : ""), make("small", {}, item.file));
  }

  function shots(pane, nest, node, right, count) {
    const word = right ? "Right" : "Wrong";
    if (!count) return [];
    const c = new Set(nest.order.subarray(nest.low[node], nest.high[node]));
    const items = answers.items.filter((item) => c.has(item.true) && (item.true === item.predicted) === right).slice(0, SHOWN);
    const title = make("h3", {}, make("span", { class: `answer ${word.toLowerCase()}`, "aria-hidden": "true" }, right ? "✓" : "✗"), ` ${word} `, make("small", {}, `${items.length} of ${format.whole(count)} shown`));
    return [title, items.length ? make("ul", { class: "shots" }, ...items.map((item) => shot(pane, nest, node, item))) : ""];
  }

  function confused(pane, nest, title, pairs) {
    if (!pairs.length) return [];
    const items = pairs.slice(0, LISTED).map(([other, count]) =>
      make("li", {}, make("button", { type: "button", class: "link confused", onclick: () => Explore.goTo(pane, other) },
        make("span", {}, nest.name(other)), make("b", {}, format.whole(count), make("span", { class: "hidden" }, count === 1 ? " image" : " images")))));
    const more = pairs.length - items.length;
    return [make("h3", {}, title), make("ul", {}, ...items, more > 0 ? make("li", { class: "note" }, `and ${format.whole(more)} more`) : "")];
  }

  let shown = "";
  function draw() {
    const { pane, node } = state.focus, nest = Explore.nestOf(pane);
    const key = [pane, node, nest.index].join();
    if (key === shown) return;
    shown = key;
    const { all, right, inside, to, from } = counted(nest, node);
    const wrong = all - right, kind = nest.isClass(node) ? "classes" : "groups";
    card.replaceChildren(
      make("div", { class: "head" }, make("h2", { id: "answers-title" }, `Answers: ${nest.name(node)}`), make("small", {}, answers.from)),
      make("p", { id: "answers-share" }, all ? `${format.percent(right / all)} right: ${format.whole(right)} of ${format.whole(all)} images` : "no images"),
      inside && node ? make("p", { class: "note" }, `${format.whole(inside)} of ${format.whole(wrong)} wrong ones stay in the group.`) : "",
      ...shots(pane, nest, node, false, wrong),
      ...shots(pane, nest, node, true, right),
      ...confused(pane, nest, `Taken for other ${kind}`, to),
      ...confused(pane, nest, `Other ${kind} taken for it`, from),
      make("p", { class: "note" }, `In the page: ${answers.drawn}.`));
  }
  Explore.on("focus models", draw);
})(globalThis.Explore);
