// Images that a network was shown: the path of each through the tree, with the probabilities of groups and classes.
"use strict";
(function (Explore) {
  const { make, state } = Explore;
  const pictures = Explore.raw.pictures ?? null;
  const card = document.getElementById("pictures");
  let known = null;

  Explore.share = (p) => (p > 0 && p < 0.0005 ? "<0.1\u00a0%" : p < 1 && p >= 0.9995 ? ">99.9\u00a0%" : Explore.format.percent(p));

  // The picture that is chosen: the probability of a node, and whether it is on the path of the likeliest class; else null.
  Explore.seen = function (nest) {
    if (state.picture === null) return null;
    if (known?.picture === state.picture && known.nest === nest.index) return known;
    const item = pictures.items[state.picture];
    const values = new Float64Array(Explore.count);
    for (const [c, p] of item.shares) values[c] = p;
    const sum = Explore.sums(nest, values), best = nest.firstClass + item.shares[0][0];
    const path = [];
    for (let at = best; at > 0; at = nest.parent[at]) path.unshift(at);
    const lit = new Set(item.accepted === false ? [] : [0, ...path]);
    known = { picture: state.picture, nest: nest.index, of: (node) => Math.min(sum(node), 1), lit, best, path };
    return known;
  };

  card.hidden = !pictures;
  if (!pictures) return;
  const by = Explore.models[pictures.model];
  const says = make("p", { id: "picture-says", class: "says", "aria-live": "polite" });
  const buttons = pictures.items.map((item, i) =>
    make("button", { type: "button", class: "picture", "aria-pressed": "false", title: item.name, onclick: () => show(state.picture === i ? null : i) },
      make("img", { src: item.image, alt: item.name })));
  card.append(
    make("div", { class: "head" }, make("h2", { id: "pictures-title" }, "Pictures"), make("small", {}, `seen by ${by.name}${pictures.form === "specialists" ? "" : `, form ${pictures.form}`}`)),
    make("div", { class: "pictures" }, ...buttons), says);

  function show(i) {
    state.picture = i;
    Explore.changed("picture");
    const seen = Explore.seen(Explore.nestOf(0));
    if (seen) Explore.open(0, seen.best);
  }

  function draw() {
    buttons.forEach((button, i) => button.setAttribute("aria-pressed", String(i === state.picture)));
    const nest = Explore.nestOf(0), seen = Explore.seen(nest);
    if (!seen) return says.replaceChildren("Click a picture to see its path through the tree.");
    const go = (node) => make("button", { type: "button", class: "link", onclick: () => Explore.goTo(0, node) }, nest.name(node));
    const parts = seen.path.flatMap((node, i) => [i ? " → " : "", go(node), ` ${Explore.share(seen.of(node))}`]);
    says.replaceChildren(pictures.items[state.picture].accepted === false ? "None of these; nearest: " : "", ...parts, make("br"), make("small", {}, "The stronger a node's colour, the likelier it is."));
  }
  Explore.on("picture models", draw);
})(globalThis.Explore);
