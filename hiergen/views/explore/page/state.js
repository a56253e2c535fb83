// What the reader has set: chosen classes, gains, views. Parts listen, and draw once per frame at most.
"use strict";
(function (Explore) {
  const raw = Explore.raw;
  const listeners = new Map();
  const pending = new Set();
  let scheduled = 0;

  const state = {
    chosen: new Uint8Array(Explore.count),
    total: 0,
    gains: new Map(), // nest index → Map(node → gain)
    models: [...raw.start], // by pane; a second pane has the second source, or the same again
    compare: raw.start.length > 1,
    view: "icicle",
    colour: "group",
    size: "classes",
    onlyMoved: false,
    picture: null, // which of the images that the network was shown
    form: raw.form, // what a network with branches for all classes answers with
    focus: { pane: 0, node: 0 }, // what the keyboard is on
    hover: null, // { pane, node } under the pointer
    files: {
      weights: raw.weights ?? "weights.safetensors",
      out: "cutout",
      data: "path/to/val",
      folder: raw.sources[0].weights !== undefined && raw.sources[0].kind === "model",
    },
  };
  if (state.models.length === 1) state.models.push(state.models[0]);

  Explore.state = state;
  Explore.model = (pane) => raw.models[state.models[pane]];
  Explore.nestOf = (pane) => Explore.nests[Explore.model(pane).nest];
  Explore.costsOf = (pane) => Explore.costs(state.models[pane]);
  Explore.panes = () => (state.compare ? [0, 1] : [0]);
  Explore.gainsOf = (nest) => {
    if (!state.gains.has(nest.index)) state.gains.set(nest.index, new Map());
    return state.gains.get(nest.index);
  };
  Explore.current = () => {
    const at = state.hover ?? state.focus;
    return at.pane === 1 && !state.compare ? state.focus : at;
  };
  Explore.movesNow = () =>
    state.compare ? Explore.moves(Explore.model(0).nest, Explore.model(1).nest) : null;

  // Two models whose nestings can be laid side by side: the first as it is, where that has groups, and the one whose
  // nesting is most like it in depth; any two, where no groups can be compared.
  Explore.comparable = function ([first, second]) {
    let best = null;
    for (const [i, one] of raw.models.entries()) {
      for (const [j, other] of raw.models.entries()) {
        if (i === j || !Explore.moves(one.nest, other.nest)) continue;
        const depth = (model) => Explore.nests[model.nest].depth;
        const rank = [i === first, j === second, -Math.abs(depth(one) - depth(other)), depth(one), -i, -j].map(Number);
        const at = best ? rank.findIndex((value, k) => value !== best.rank[k]) : 0;
        if (at >= 0 && (!best || rank[at] > best.rank[at])) best = { rank, models: [i, j] };
      }
    }
    const other = raw.models.findIndex((_, i) => i !== first); // then their costs can be compared
    return best ? best.models : [first, first === second ? other : second];
  };

  Explore.on = function (kinds, draw) {
    for (const kind of kinds.split(" ")) listeners.set(kind, [...(listeners.get(kind) ?? []), draw]);
  };

  // kinds: chosen, gains, models, layout (views, colours, sizes), form, picture, focus, hover
  Explore.changed = function (...kinds) {
    for (const kind of kinds) pending.add(kind);
    if (!scheduled) scheduled = requestAnimationFrame(Explore.flush);
  };

  Explore.flush = function () {
    cancelAnimationFrame(scheduled);
    scheduled = 0;
    const draws = new Set([...pending].flatMap((kind) => listeners.get(kind) ?? []));
    pending.clear();
    for (const draw of draws) draw();
  };

  function recount() {
    state.total = state.chosen.reduce((a, b) => a + b, 0);
  }

  // All classes below a node, or none of them if all are chosen.
  Explore.toggle = function (nest, node) {
    const classes = nest.order.subarray(nest.low[node], nest.high[node]);
    const wanted = classes.every((c) => state.chosen[c]) ? 0 : 1;
    for (const c of classes) state.chosen[c] = wanted;
    recount();
    Explore.changed("chosen");
  };

  Explore.choose = function (flagOf) {
    for (let c = 0; c < Explore.count; c++) state.chosen[c] = flagOf(c) ? 1 : 0;
    recount();
    Explore.changed("chosen");
  };

  Explore.setGain = function (nest, node, gain) {
    const gains = Explore.gainsOf(nest);
    const at = Explore.gainNode(nest, node);
    if (gain === 1) gains.delete(at);
    else gains.set(at, gain);
    Explore.changed("gains");
  };

  let said = 0;
  Explore.say = function (text) {
    clearTimeout(said);
    said = setTimeout(() => (document.getElementById("live").textContent = text), 150);
  };
})(globalThis.Explore);
