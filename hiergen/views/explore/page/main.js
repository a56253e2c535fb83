// Puts the parts together: panes, the tool bar, search, keys.
"use strict";
(function (Explore) {
  const { make, format, state, raw } = Explore;
  const byId = (id) => document.getElementById(id);
  const stage = byId("stage");
  const narrow = matchMedia("(max-width: 760px)");

  // panes

  const panes = [0, 1].map((pane) => {
    const tree = new Explore.Tree(pane), diagram = new Explore.Diagram(pane);
    const models = make("select", { id: `model-${pane}`, onchange: (event) => {
      state.models[pane] = Number(event.target.value);
      const other = state.focus.pane === pane;
      if (other) state.focus = { pane, node: 0 };
      state.hover = null;
      Explore.changed("models");
    } });
    const facts = make("span", { class: "facts" });
    const head = make("div", { class: "pane-head" }, make("label", { class: "field" }, make("span", {}, "Model"), models), facts);
    const element = make("section", { class: "pane", "aria-label": `Nesting ${pane + 1}` }, head, make("div", { class: "pane-body" }, tree.box, diagram.element));
    return { tree, diagram, models, facts, element };
  });
  const moved = make("div", { class: "moved-bar", id: "moved", role: "status" });
  stage.append(moved, ...panes.map((p) => p.element));

  function options(pane) {
    const select = panes[pane].models;
    select.replaceChildren(...raw.sources.map((source, s) => {
      const own = raw.models.flatMap((model, i) => (model.source === s ? [make("option", { value: i, selected: i === state.models[pane] }, model.name)] : []));
      return raw.sources.length > 1 ? make("optgroup", { label: `${source.title} (${source.typed})` }, ...own) : own;
    }).flat());
    select.disabled = raw.models.length < 2;
  }

  function drawHead(pane) {
    const nest = Explore.nestOf(pane), model = Explore.model(pane), plan = model.plan;
    const counts = [...nest.levels.map((level) => level.name.length), Explore.count];
    panes[pane].facts.replaceChildren(
      raw.sources.length > 1 ? make("span", { class: "from" }, `${raw.sources[model.source].title} `) : "",
      make("b", {}, counts.map(format.whole).join(" → ")),
      plan && Object.keys(plan.for_all).length ? `, and ${Object.keys(plan.for_all).length === 1 ? "a branch" : "two branches"} for all classes` : "",
      plan ? ` · ${format.amount(plan.full.params)} params · ${format.amount(plan.full.macs)}MACs` : "",
      plan ? make("span", { class: "trunk" }, ` · ${plan.backbone} to ${plan.until}`) : "");
  }

  function draw() {
    stage.classList.toggle("compare", state.compare);
    stage.dataset.view = state.view;
    document.documentElement.dataset.compare = state.compare;
    panes[1].element.hidden = !state.compare;
    drawMoved();
    for (const pane of Explore.panes()) {
      options(pane);
      drawHead(pane);
      panes[pane].tree.count();
      panes[pane].tree.draw();
      panes[pane].diagram.draw();
    }
    drawTools();
  }

  function drawMoved() {
    moved.hidden = !state.compare;
    if (!state.compare) return;
    const moves = Explore.movesNow();
    if (!moves) {
      moved.replaceChildren(Explore.model(0).nest === Explore.model(1).nest ? "The same nesting on both sides." : "These two nestings have no levels of groups to compare.");
      state.onlyMoved = false;
      return;
    }
    const levels = moves.levels.map((l) => `left level ${l.first + 1} against right level ${l.second + 1}: ${l.moved.size}`).join(" · ");
    moved.replaceChildren(
      make("span", { class: "mark moved" }, `${moves.total} of ${format.classes(Explore.count)} moved`),
      make("span", {}, levels),
      make("label", { class: "check" }, make("input", { type: "checkbox", id: "only-moved", checked: state.onlyMoved, onchange: (event) => {
        state.onlyMoved = event.target.checked;
        Explore.changed("layout");
      } }), "only these"));
  }

  Explore.on("models layout", draw);
  Explore.on("chosen gains picture", () => {
    for (const pane of Explore.panes()) {
      panes[pane].tree.update();
      panes[pane].diagram.update();
    }
  });
  Explore.on("hover focus", () => {
    for (const pane of Explore.panes()) {
      panes[pane].tree.hovered();
      panes[pane].diagram.hovered();
    }
  });

  // All above a node open, and it in view; the focus stays.
  Explore.open = (pane, node) => panes[pane].tree.reveal(node, { focus: false });

  Explore.goTo = function (pane, node) {
    state.hover = null;
    if (pane === 1 && !state.compare) pane = 0;
    if (state.onlyMoved) {
      state.onlyMoved = false;
      Explore.changed("layout");
      Explore.flush();
    }
    const { tree, diagram } = panes[pane];
    const treeShown = tree.element.clientHeight > 0;
    tree.reveal(node, { focus: treeShown });
    const nest = Explore.nestOf(pane);
    if (diagram.canvas.clientHeight) {
      diagram.zoomTo(nest.isClass(node) ? nest.parent[node] : node, 26);
      if (!treeShown) diagram.canvas.focus();
    }
  };

  // what stays at a phone's lower edge

  function drawBar() {
    const n = state.total, costs = Explore.costsOf(0);
    let text = `${format.classes(n)} chosen`;
    if (n === 0) text = "No classes chosen: tap to keep them";
    else if (n === Explore.count) text = `All ${format.classes(n)}: the full network`;
    else if (costs.plan) {
      const full = costs.full(), part = costs.cutout(state.chosen);
      const timed = costs.ms("full", full) !== null;
      // the first of these that the cutout changes
      const units = [["ms", timed ? costs.ms("full", full) : 1, timed ? costs.ms("cutout", part) : 1], ["MACs", full.macs, part.macs], ["params", full.params, part.params]];
      const [unit, before, after] = units.find(([, a, b]) => Math.abs(b / a - 1) >= 0.0005) ?? units[2];
      text = `${format.classes(n)} · ${format.change(before, after)} ${unit}`;
    }
    byId("bar-text").textContent = text;
  }
  Explore.on("chosen models layout form", drawBar);
  byId("bar-text").addEventListener("click", () => byId("cutout").scrollIntoView());

  // tools

  const views = [["tree", "Tree"], ["icicle", "Icicle"], ["sunburst", "Sunburst"]];
  for (const [view, label] of views) {
    byId("views").append(make("button", { type: "button", "data-view": view, onclick: () => {
      state.view = view;
      Explore.changed("layout");
    } }, label));
  }

  function choices(select, pairs, value) {
    select.replaceChildren(...pairs.map(([key, label]) => make("option", { value: key, selected: key === value }, label)));
  }

  function drawTools() {
    for (const button of byId("views").children) button.setAttribute("aria-pressed", String(button.dataset.view === state.view));
    const modes = Explore.modes(Explore.costsOf(0));
    if (!modes.some(([key]) => key === state.colour)) state.colour = "group";
    choices(byId("colour"), modes, state.colour);
    const sizes = Explore.costsOf(0).plan ? [["classes", "Classes"], ["params", "Params"], ["macs", "MACs"]] : [["classes", "Classes"]];
    choices(byId("size"), sizes, state.size);
    byId("size-field").hidden = state.view === "tree";
    byId("compare").setAttribute("aria-pressed", String(state.compare));
  }

  byId("colour").addEventListener("change", (event) => {
    state.colour = event.target.value;
    Explore.changed("layout");
  });
  byId("size").addEventListener("change", (event) => {
    state.size = event.target.value;
    Explore.changed("layout");
  });
  byId("compare").hidden = raw.models.length < 2;
  byId("compare").addEventListener("click", () => {
    state.compare = !state.compare;
    if (state.compare && !Explore.movesNow()) state.models = Explore.comparable(state.models);
    if (!state.compare) state.focus = { pane: 0, node: state.focus.pane ? 0 : state.focus.node };
    state.onlyMoved = false;
    Explore.changed("models");
  });
  byId("theme").addEventListener("click", () => {
    document.documentElement.dataset.theme = Explore.dark() ? "light" : "dark";
    for (const pane of panes) pane.diagram.inks = undefined;
    Explore.changed("layout");
  });
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => Explore.changed("layout"));

  // search

  const input = byId("search"), hits = byId("hits");
  let found = [], at = 0;

  function look() {
    const pane = state.compare ? state.focus.pane : 0, nest = Explore.nestOf(pane);
    const { hits: nodes, total } = Explore.search(nest, input.value);
    found = nodes.map((node) => ({ pane, node }));
    at = 0;
    hits.replaceChildren(...nodes.map((node, i) => {
      const above = nest.path(node).slice(0, -1).join(" › ");
      const fact = nest.isClass(node) ? nest.fact(node, "id") : `group of level ${nest.level[node]}`;
      return make("li", { role: "option", id: `hit-${i}`, "aria-selected": "false", onclick: () => go(i), onpointerdown: (event) => event.preventDefault() },
        make("b", {}, nest.name(node)), fact !== nest.name(node) ? make("code", {}, fact) : "", make("small", {}, above));
    }));
    if (total > nodes.length) hits.append(make("li", { class: "more", role: "presentation" }, `and ${format.whole(total - nodes.length)} more`));
    if (input.value.trim() && !total) hits.append(make("li", { class: "more", role: "presentation" }, "nothing found"));
    show(Boolean(input.value.trim()));
    mark();
    if (input.value.trim()) Explore.say(`${total} found`);
  }

  function show(open) {
    hits.hidden = !open;
    input.setAttribute("aria-expanded", String(open));
  }

  function mark() {
    for (const [i, hit] of [...hits.children].entries()) hit.setAttribute("aria-selected", String(i === at && i < found.length));
    if (found.length) input.setAttribute("aria-activedescendant", `hit-${at}`);
    else input.removeAttribute("aria-activedescendant");
    hits.children[at]?.scrollIntoView({ block: "nearest" });
  }

  function go(i) {
    const hit = found[i];
    if (!hit) return;
    show(false);
    input.value = "";
    if (narrow.matches && state.view !== "tree") {
      state.view = "tree";
      Explore.changed("layout");
      Explore.flush();
    }
    Explore.goTo(hit.pane, hit.node);
  }

  input.addEventListener("input", look);
  input.addEventListener("focus", () => input.value.trim() && look());
  input.addEventListener("blur", () => show(false));
  input.addEventListener("keydown", (event) => {
    if (event.key === "ArrowDown" || event.key === "ArrowUp") {
      if (!found.length) return;
      at = (at + (event.key === "ArrowDown" ? 1 : found.length - 1)) % found.length;
      mark();
    } else if (event.key === "Enter") go(at);
    else if (event.key === "Escape") {
      input.value = "";
      show(false);
      input.blur();
    } else return;
    event.preventDefault();
  });
  document.addEventListener("keydown", (event) => {
    const typing = event.target.closest?.("input, select, textarea");
    if (typing || event.ctrlKey || event.metaKey || event.altKey) return;
    if (event.key === "/" && !byId("keys").open) {
      event.preventDefault();
      input.focus();
      input.select();
    } else if (event.key === "?") {
      event.preventDefault();
      Explore.help();
    }
  });

  // start

  byId("title").textContent = raw.title;
  const typed = raw.sources.map((source) => source.typed).join("  ·  ");
  byId("subtitle").textContent = `${format.classes(Explore.count)} · ${typed}`;
  if (narrow.matches) state.view = "tree";
  // a phone's colours and sizes stand beside the model, so that two rows hold all controls
  const fields = [byId("colour").parentElement, byId("size-field")];
  function place() {
    if (narrow.matches) panes[0].models.closest(".pane-head").append(...fields);
    else byId("views").after(...fields);
  }
  place();
  narrow.addEventListener("change", () => {
    place();
    Explore.changed("layout");
  });
  Explore.changed("models");
  Explore.flush();
  document.documentElement.dataset.ready = "true";
  requestAnimationFrame(() => performance.mark("explore-painted"));
})(globalThis.Explore);
