// What is known of the node under the pointer or the keyboard.
"use strict";
(function (Explore) {
  const { make, format, state } = Explore;
  const raw = Explore.raw;
  const card = document.getElementById("details");

  function rows(list, label, ...values) {
    const parts = values.filter((value) => value !== null && value !== undefined && value !== "" && value !== false);
    if (parts.length) list.append(make("dt", {}, label), make("dd", {}, ...parts));
  }

  function kindOf(nest, node) {
    if (node === 0) return `root · ${format.classes(Explore.count)}`;
    if (nest.isClass(node)) return `class ${node - nest.firstClass}`;
    const kind = { rest: ", what is left of one", pass: ", a pass-through" }[nest.kind(node)] ?? "";
    return `group of level ${nest.level[node]}${kind} · ${format.classes(nest.classes(node))}`;
  }

  function costs(list, nest, model, node) {
    const plan = model.plan;
    if (!plan) {
      rows(list, "costs", Explore.model(0).why ?? "not known");
      return;
    }
    const own = model.own(node), below = { params: model.below.params[node], macs: model.below.macs[node] };
    const total = plan.full;
    const figure = (params, macs) => `${format.amount(params)} params · ${format.amount(macs)}MACs`;
    if (node === 0) {
      rows(list, "trunk", `${plan.backbone} to ${plan.until}: ${figure(own.params, own.macs)}`, make("br"), make("small", {}, `${format.shape(plan.input)} px → ${format.shape(plan.trunk.shape)}`));
      rows(list, "branches", figure(below.params, below.macs));
      for (const [form, part] of Object.entries(plan.for_all)) {
        const all = model.forAll(form);
        rows(list, "for all classes", `${form}: ${figure(all.params, all.macs)}`, make("br"), make("small", {}, `${part.stages.join(" → ")} → ${part.classes} logits`));
      }
      rows(list, "network", figure(total.params, total.macs));
      rows(list, "levels", [...nest.levels.map((level) => level.name.length), Explore.count].map(format.whole).join(" → "));
      return;
    }
    const level = plan.single && nest.isClass(node) ? null : plan.levels[nest.level[node] - 1];
    rows(list, nest.isClass(node) ? "branch, head" : "own branch", figure(own.params, own.macs), level && make("br"), level && make("small", {}, `${level.stages.join(" → ")} → ${format.shape(level.shape)}`));
    if (!nest.isClass(node)) rows(list, "with all below", figure(below.params, below.macs));
    rows(list, "of the network", `${format.percent(below.params / total.params)} of params · ${format.percent(below.macs / total.macs)} of MACs`);
    const ms = model.nodeMs(node);
    rows(list, "ms", ms === null ? make("small", {}, "not measured") : `≈ ${format.ms(ms)} of ${format.ms(model.model.time.full)}, by the fitted line`);
  }

  function results(list, nest, node) {
    const found = Explore.results(nest);
    if (!found || !found.images(node)) {
      if (found) rows(list, "results", make("small", {}, "no images"));
      return;
    }
    rows(list, "top-1", `${format.percent(found.accuracy(node))} of ${format.whole(found.images(node))} images`);
    const group = found.group(node);
    if (group) rows(list, "in the group", `recall ${share(group[0])} · precision ${share(group[1])}`);
    const severity = found.severity(node);
    rows(list, "mistakes", found.bySeverity ? (severity === null ? "none" : `mean severity ${severity.toFixed(2)} levels`) : make("small", {}, "severity is not told by class in this file; run 'hiergen eval --json' anew"));
    if (!nest.isClass(node)) return;
    const c = node - nest.firstClass, { precision, confused } = raw.results.classes;
    rows(list, "precision", precision[c] === null ? null : format.percent(precision[c]));
    if (confused[c]?.[1] && confused[c][0] >= 0) {
      const other = nest.firstClass + confused[c][0];
      rows(list, "taken for", link(nest.name(other), other), ` (${confused[c][1]} times)`);
    }
  }

  const share = (value) => (value === null || value === undefined ? "–" : format.percent(value));
  const link = (text, node) => make("button", { type: "button", class: "link", onclick: () => Explore.goTo(Explore.current().pane, node) }, text);

  function path(nest, node) {
    const crumbs = make("nav", { class: "crumbs", "aria-label": "Path" });
    const above = [];
    for (let at = nest.parent[node]; at >= 0; at = nest.parent[at]) above.unshift(at);
    for (const at of above) crumbs.append(link(nest.name(at), at), make("span", { class: "sep", "aria-hidden": "true" }, "›"));
    return crumbs;
  }

  // the groups of the merged tree above a class, which a nesting squeezes
  function merged(c) {
    const tree = raw.classes.path;
    if (!tree) return "";
    const names = [];
    for (let at = tree.of[c]; at >= 0; at = tree.parent[at]) names.unshift(tree.names[at]);
    return names.join(" › ");
  }

  function moved(list, pane, nest, node) {
    const moves = Explore.movesNow();
    if (!moves || !nest.isClass(node)) return;
    const c = node - nest.firstClass, other = Explore.nestOf(1 - pane);
    const place = other.firstClass + c;
    const there = other.path(place).slice(0, -1).join(" › ") || "no group";
    const levels = moves.levels.filter((l) => l.moved.has(c)).map((l) => (pane ? l.second : l.first) + 1);
    const what = levels.length ? make("span", { class: "mark moved" }, `moved on level ${levels.join(", ")}`) : "stays; there in ";
    rows(list, "other nesting", what, levels.length ? " to " : "", make("button", { type: "button", class: "link", onclick: () => Explore.goTo(1 - pane, place) }, there));
  }

  function slider(nest, node) {
    if (node === 0) return null;
    const term = Explore.gainTerm(nest, node);
    if (!term) return make("p", { class: "note" }, "Its name and path are not clear enough to be typed as a gain.");
    return Explore.gainSlider(nest, node);
  }

  let shown = "";
  function draw() {
    const { pane, node } = Explore.current();
    const nest = Explore.nestOf(pane), model = Explore.costsOf(pane);
    const key = [pane, node, nest.index, state.models[pane], state.compare].join();
    if (key === shown) return update(nest, node);
    shown = key;
    const list = make("dl");
    const gloss = nest.fact(node, "gloss");
    const facts = [];
    if (nest.isClass(node)) facts.push(nest.fact(node, "id"));
    for (const what of ["wnid", "synset"]) {
      const text = nest.fact(node, what);
      if (text && !facts.includes(text)) facts.push(text);
    }
    const names = nest.fact(node, "also");
    rows(list, "also", names && names !== nest.name(node) ? names : "");
    costs(list, nest, model, node);
    results(list, nest, node);
    moved(list, pane, nest, node);
    rows(list, "put there by", nest.origin(node));
    if (nest.isClass(node)) {
      rows(list, "merged tree", merged(node - nest.firstClass));
      const sense = raw.classes.notes?.[node - nest.firstClass];
      rows(list, Explore.guessed.has(node - nest.firstClass) ? Explore.mark("guessed") : "its sense", sense);
    }
    for (const i of nest.conflicts.get(node) ?? []) {
      const conflict = raw.sources[nest.source].conflicts[i];
      rows(list, Explore.mark(Explore.conflictMark(conflict)), conflict.text);
    }
    if (nest.single(node)) rows(list, Explore.mark("single"), "A group with a single child: its branch tells nothing apart.");
    card.replaceChildren(
      node ? path(nest, node) : "",
      make("h2", { id: "details-title" }, nest.name(node)),
      make("p", { class: "kind" }, kindOf(nest, node), ...facts.flatMap((fact) => [" · ", make("code", {}, fact)])),
      gloss ? make("p", { class: "gloss" }, gloss, nest.isClass(node) && raw.classes.inexact.includes(node - nest.firstClass) ? " (of its head word)" : "") : "",
      make("div", { class: "actions" }, make("button", { type: "button", id: "keep", class: "outlined", onclick: () => Explore.toggle(nest, node) }), slider(nest, node)),
      list,
    );
    update(nest, node);
  }

  function update(nest, node) {
    const inside = Explore.sums(nest, state.chosen)(node);
    document.getElementById("keep").textContent = inside === nest.classes(node) ? "Leave out" : "Keep in cutout";
    Explore.syncSliders(card);
  }

  Explore.on("focus hover models layout chosen gains", draw);
})(globalThis.Explore);
