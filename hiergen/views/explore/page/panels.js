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
      parts.push(section(`Conflicts${name}`, source.conflicts.map((c, i) => (homes.has(i) ? go(homes.get(i), c.text) : c.text))));
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
  const keys = "/ searches · arrows move · Enter or Space keeps · ← → fold · * opens siblings · + − zoom the picture, double-click zooms in";
  document.getElementById("about").append(
    make("p", { class: "note" }, keys),
    make("details", {}, make("summary", {}, `Made by hiergen ${Explore.raw.hiergen}, with d3`), make("pre", { tabindex: 0 }, licences)),
  );
})(globalThis.Explore);
