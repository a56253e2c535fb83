// Gains with their command; conflicts and findings; what the page is made of.
"use strict";
(function (Explore) {
  const { make, format, state } = Explore;
  const MOST = 3, STEP = 0.1;

  // gains

  const card = document.getElementById("gains");
  const list = make("ul", { class: "gains" });
  const line = Explore.line("attend-line", "The attention's command");
  const hint = make("p", { class: "kind" }, "Above 1 excites a class's or group's branches, below 1 inhibits them.");
  card.append(make("div", { class: "head" }, make("h2", { id: "gains-title" }, "Attention"),
    make("button", { type: "button", class: "quiet", onclick: () => {
      Explore.gainsOf(Explore.nestOf(0)).clear();
      Explore.changed("gains");
    } }, "Clear")), hint, list, line.element);

  Explore.gainSlider = function (nest, node) {
    const at = Explore.gainNode(nest, node);
    const value = Explore.gainsOf(nest).get(at) ?? 1;
    const out = make("output", {}, `× ${value}`);
    const input = make("input", {
      type: "range", min: 0, max: MOST, step: STEP, value, "data-nest": nest.index, "data-node": at,
      "aria-label": `Gain of ${nest.name(node)}`,
      oninput: (event) => Explore.setGain(nest, node, Math.round(event.target.value * 10) / 10),
    });
    const chain = at === node ? null : make("small", {}, `acts at level ${nest.level[at]}`);
    return make("label", { class: "gain" }, make("span", {}, "Gain"), input, out, chain);
  };

  // Sliders of one node stand in two places.
  Explore.syncSliders = function (root) {
    for (const input of root.querySelectorAll("input[type=range]")) {
      const nest = Explore.nests[input.dataset.nest];
      const value = Explore.gainsOf(nest).get(Number(input.dataset.node)) ?? 1;
      if (Number(input.value) !== value) input.value = value;
      input.parentElement.querySelector("output").textContent = `× ${value}`;
    }
  };

  function drawGains() {
    const nest = Explore.nestOf(0), gains = Explore.gainsOf(nest);
    const shown = [...list.querySelectorAll("input")].map((input) => `${input.dataset.nest}:${input.dataset.node}`).join();
    const wanted = [...gains.keys()].map((node) => `${nest.index}:${node}`).join();
    if (shown !== wanted) {
      list.replaceChildren(...[...gains.keys()].map((node) =>
        make("li", {}, make("button", { type: "button", class: "link", onclick: () => Explore.goTo(0, node) }, nest.name(node)), Explore.gainSlider(nest, node),
          make("button", { type: "button", class: "quiet", "aria-label": `Remove the gain of ${nest.name(node)}`, onclick: () => Explore.setGain(nest, node, 1) }, "×"))));
    }
    Explore.syncSliders(list);
    line.set(Explore.attendLine(Explore.model(0), [...gains], state.files), "hiergen attend …");
    hint.hidden = gains.size > 0;
    card.classList.toggle("idle", gains.size === 0);
  }
  Explore.on("gains models chosen", drawGains);

  // conflicts, single children, findings

  const notes = document.getElementById("notes");
  function section(title, items) {
    if (!items.length) return null;
    const list = make("ul");
    for (const item of items.slice(0, 100)) list.append(make("li", {}, item));
    if (items.length > 100) list.append(make("li", {}, `… and ${items.length - 100} more; 'hiergen validate' and 'hiergen show --conflicts' list them`));
    return make("details", {}, make("summary", {}, `${title} (${format.whole(items.length)})`), list);
  }

  function drawNotes() {
    const parts = [];
    for (const pane of Explore.panes()) {
      const nest = Explore.nestOf(pane), source = Explore.raw.sources[nest.source];
      const name = state.compare ? ` · ${source.title} ${Explore.model(pane).name}` : "";
      const go = (node, text) => make("button", { type: "button", class: "link", onclick: () => Explore.goTo(pane, node) }, text);
      const homes = new Map();
      for (const [node, found] of nest.conflicts) for (const i of found) if (!homes.has(i)) homes.set(i, node);
      for (const [kind, title] of [["conflict", "Sources disagree"], ["parents", "Two parents in WordNet"]]) {
        parts.push(section(`${title}${name}`, source.conflicts.flatMap((c, i) => (Explore.conflictMark(c) !== kind ? [] : homes.has(i) ? [go(homes.get(i), c.text)] : [c.text]))));
      }
      if (!nest.source) parts.push(section(`Guessed meanings${name}`, [...Explore.guessed].map((c) => go(nest.firstClass + c, `${Explore.raw.classes.name[c]}: ${Explore.raw.classes.notes[c]}`))));
      const single = [];
      for (let node = 1; node < nest.firstClass; node++) if (nest.single(node)) single.push(go(node, nest.path(node).join(" › ")));
      parts.push(section(`Groups with a single child${name}`, single));
      parts.push(section(`Findings of 'hiergen validate'${name}`, source.findings.map((f) => `${f.code} ${f.place}: ${f.message}`)));
    }
    notes.replaceChildren(...parts.filter(Boolean));
    notes.hidden = !notes.children.length;
  }
  Explore.on("models layout", drawNotes);

  // about

  const licences = document.getElementById("licences").textContent;
  const dialog = document.getElementById("keys");
  const key = (text) => text.split(" ").map((one) => (one.length > 1 && one === one.toLowerCase() ? one : make("kbd", {}, one)));
  const table = (rows) => make("table", {}, make("tbody", {}, ...rows.map(([head, text]) => make("tr", {}, make("th", { scope: "row" }, ...head.flatMap((part) => [part, " "])), make("td", {}, text)))));
  dialog.append(
    make("div", { class: "head" }, make("h2", { id: "keys-title" }, "Keys"), make("button", { type: "button", class: "quiet", onclick: () => dialog.close() }, "Close")),
    table([
      ["/", "search; arrows choose, Enter goes there, Escape leaves"],
      ["↑ ↓ Home End", "move; a letter goes to the next name that begins with it"],
      ["→ ←", "open and fold, then to the first child and to the parent"],
      ["*", "open all siblings"],
      ["Enter or Space", "keep the node's classes in the cutout, or leave them out"],
      ["+ −", "zoom the picture; so do wheel, drag, pinch and double-click"],
      ["?", "this list"],
    ].map(([keys, text]) => [key(keys), text])),
    make("h2", {}, "Signs"),
    table(Object.entries(Explore.marks).map(([kind, [, text]]) => [[Explore.mark(kind)], text])),
  );
  Explore.help = () => (dialog.open ? dialog.close() : dialog.showModal());
  dialog.addEventListener("click", (event) => event.target === dialog && dialog.close());
  document.getElementById("help").addEventListener("click", Explore.help);
  document.getElementById("about").append(
    make("p", { class: "note" }, "? shows the keys and what the signs mean."),
    make("details", {}, make("summary", {}, `Made by hiergen ${Explore.raw.hiergen}, with d3`), make("pre", { tabindex: 0 }, licences)),
  );
})(globalThis.Explore);
