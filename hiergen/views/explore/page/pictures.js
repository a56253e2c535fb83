// Images that a network was shown: the path of each through the tree, with the probabilities of groups and classes, and
// whether the answer is right, where the class is known.
"use strict";
(function (Explore) {
  const { make, state, format } = Explore;
  const pictures = Explore.raw.pictures;
  const card = document.getElementById("pictures");
  card.hidden = false;
  const by = Explore.models[pictures.model];
  const isRight = (item) => item.accepted !== false && item.true === item.shares[0][0];
  const verdict = (item) => (item.true === undefined ? "" : isRight(item) ? "right" : "wrong");
  const says = make("p", { id: "picture-says", class: "says", "aria-live": "polite" });
  const buttons = pictures.items.map((item, i) => {
    const how = verdict(item), text = how ? `${item.name}, ${Explore.raw.classes.name[item.true]}: ${how}` : item.name;
    return make("button", { type: "button", class: "picture", "aria-pressed": "false", title: text, onclick: () => show(state.picture === i ? null : i) },
      make("img", { src: item.image, alt: text }), how && make("span", { class: `answer ${how}`, "aria-hidden": "true" }, how === "right" ? "✓" : "✗"));
  });
  card.append(
    make("div", { class: "head" }, make("h2", { id: "pictures-title" }, "Pictures"), make("small", {}, `seen by ${by.name}${pictures.form === "specialists" ? "" : `, form ${pictures.form}`}`)),
    pictures.drawn ? make("p", { class: "kind" }, make("b", {}, `${format.whole(pictures.items.filter(isRight).length)} of ${format.whole(pictures.items.length)} right. `), `${pictures.from}: ${pictures.drawn}.`) : "",
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
    const item = pictures.items[state.picture], how = verdict(item);
    const go = (node) => make("button", { type: "button", class: "link", onclick: () => Explore.goTo(0, node) }, nest.name(node));
    const parts = seen.path.flatMap((node, i) => [i ? " → " : "", go(node), ` ${Explore.share(seen.of(node))}`]);
    const truth = !how ? [] : how === "right" ? [make("br"), "✓ right"] : [make("br"), "✗ wrong: it is ", go(nest.firstClass + item.true), ` (${Explore.share(seen.of(nest.firstClass + item.true))})`];
    says.replaceChildren(item.accepted === false ? "None of these; nearest: " : "", ...parts, ...truth, make("br"),
      make("small", {}, `${item.name}. The stronger a node's colour, the likelier it is.`));
  }
  Explore.on("picture models", draw);
})(globalThis.Explore);
