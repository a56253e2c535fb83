// What nodes and cutouts cost: the sums of hiergen's Plan.cutout_cost. Params and MACs are whole numbers below 2^53.
"use strict";
(function (Explore) {
  const zero = { params: 0, macs: 0 };

  // Of one model: `own(node)` is a node's own branch (the root's: the trunk; a class's: with its row of the head),
  // `below` the params and MACs of a node with all that hangs below it, `trunk` left out.
  class Costs {
    constructor(model) {
      this.model = model;
      this.plan = model.plan ?? null;
      this.nest = Explore.nests[model.nest];
      if (!this.plan) return;
      const nest = this.nest;
      this.below = { params: new Float64Array(nest.size), macs: new Float64Array(nest.size) };
      for (let node = nest.size - 1; node >= 0; node--) {
        const own = node ? this.own(node) : zero;
        for (const what of ["params", "macs"]) {
          this.below[what][node] += own[what];
          if (node) this.below[what][nest.parent[node]] += this.below[what][node];
        }
      }
    }

    own(node) {
      const { levels, head, single, trunk } = this.plan;
      if (node === 0) return trunk;
      if (!this.nest.isClass(node)) return levels[this.nest.level[node] - 1];
      const last = single ? zero : levels.at(-1);
      return { params: last.params + head.params, macs: last.macs + head.macs };
    }

    // The forms that the network can answer in; the branches of groups and classes are the specialists.
    get forms() {
      const { generalist, flat } = this.plan?.for_all ?? {};
      return ["specialists", ...(generalist ? ["generalist", "both"] : []), ...(flat ? ["flat"] : [])];
    }

    // the form that is chosen on the page, where this network has it
    get form() {
      return this.forms.includes(Explore.state.form) ? Explore.state.form : "specialists";
    }

    // A branch for all classes with so many rows of its classifier, all of them and the gains by default.
    forAll(name, rows = null) {
      const part = this.plan.for_all[name];
      return {
        params: part.params + (rows ?? part.classes) * part.head.params + (rows === null ? part.gains : 0),
        macs: part.macs + (rows ?? part.classes) * part.head.macs,
      };
    }

    // params of all branches for all classes
    get shared() {
      return this.plan ? Object.keys(this.plan.for_all).reduce((sum, name) => sum + this.forAll(name).params, 0) : 0;
    }

    // chosen: one flag per class → { classes, branches, params, macs } of the cutout in the page's form
    cutout(chosen) {
      if (this.form === "specialists") return this.specialists(chosen);
      if (this.form === "both") {
        const own = this.specialists(chosen), all = this.forAll("generalist");
        const groups = own.branches.at(Math.max(own.branches.length - 2, 0)); // each has a gain; all rows stay
        const left = this.plan.for_all.generalist.gains - groups;
        return { ...own, params: own.params + all.params - left, macs: own.macs + all.macs };
      }
      const classes = chosen.reduce((a, b) => a + b, 0), { trunk } = this.plan, part = this.forAll(this.form, classes);
      return { classes, branches: [1], params: trunk.params + part.params, macs: trunk.macs + part.macs };
    }

    specialists(chosen) {
      const nest = this.nest;
      const { levels, head, single, trunk } = this.plan;
      let classes = 0;
      for (const flag of chosen) classes += flag;
      const inside = Explore.sums(nest, chosen);
      const branches = levels.map((_, j) => {
        if (j === levels.length - 1) return single ? Math.min(1, classes) : classes;
        let touched = 0;
        for (let node = nest.offset[j + 1]; node < nest.offset[j + 2]; node++) touched += inside(node) > 0;
        return touched;
      });
      const found = { classes, branches };
      for (const what of ["params", "macs"]) {
        found[what] = trunk[what] + classes * head[what];
        levels.forEach((level, j) => (found[what] += branches[j] * level[what]));
      }
      return found;
    }

    // what the network runs in its form
    full() {
      const { full, trunk, levels } = this.plan, one = ["generalist", "flat"].includes(this.form);
      const base = one ? trunk : { params: full.params - this.shared, macs: full.macs };
      const part = one ? this.forAll(this.form, Explore.count) : this.form === "both" ? this.forAll("generalist") : zero;
      return {
        classes: Explore.count,
        branches: one ? [1] : levels.map((l) => l.branches),
        params: base.params + part.params,
        macs: base.macs + part.macs,
      };
    }

    // the flat backbone with a classifier for so many classes
    flat(classes) {
      const f = this.model.flat;
      return {
        classes,
        params: f.params_fixed + f.params_per_class * classes,
        macs: f.macs_fixed + f.macs_per_class * classes,
      };
    }

    // ms where this model was measured, else null; `cutout` and `sliced` are predictions
    ms(kind, row) {
      const t = this.model.time;
      if (!t) return null;
      if (this.form !== "specialists" && (kind === "full" || kind === "cutout")) return null;
      if (kind === "full") return t.full;
      if (kind === "flat") return t.flat;
      if (kind === "sliced") {
        const span = Math.max(Explore.count - 1, 1);
        return t.flat_one + ((t.flat - t.flat_one) * (row.classes - 1)) / span;
      }
      return t.base + (t.slope * (row.macs - this.plan.trunk.macs)) / 1e9;
    }

    // ms that a node's branches add, by the line
    nodeMs(node) {
      const t = this.model.time;
      return t ? (t.slope * this.below.macs[node]) / 1e9 : null;
    }
  }

  const known = new Map();
  Explore.costs = function (index) {
    if (!known.has(index)) known.set(index, new Costs(Explore.models[index]));
    return known.get(index);
  };

  // One sentence per comparison, as `hiergen cost` decides: what is smaller wins, and where the sliced flat network
  // does, it is said.
  Explore.verdict = function (ours, theirs, names, slack = 0.05) {
    const parts = [];
    const units = [["params", "params"], ["macs", "MACs"]];
    if (ours.ms !== null && ours.ms !== undefined) units.push(["ms", "ms"]);
    const mine = [], others = [];
    for (const [what, word] of units) {
      const a = ours[what], b = theirs[what];
      // times within 5 %, or within what the prediction may be off, are no difference
      if (a === b || (what === "ms" && Math.abs(a - b) <= slack * Math.min(a, b))) continue;
      const share = Explore.format.percent(1 - Math.min(a, b) / Math.max(a, b));
      (a < b ? mine : others).push(`${share} fewer ${word}`);
    }
    if (mine.length && others.length) {
      parts.push(`Neither wins everywhere: ${names[0]} has ${mine.join(", ")}; ${names[1]} has ${others.join(", ")}.`);
    } else if (mine.length) parts.push(`${capital(names[0])} beats ${names[1]}: ${mine.join(", ")}.`);
    else if (others.length) parts.push(`${capital(names[1])} wins: ${others.join(", ")}.`);
    else parts.push(`${capital(names[0])} and ${names[1]} cost the same.`);
    return { text: parts.join(" "), wins: mine.length > 0 && others.length === 0, loses: mine.length === 0 && others.length > 0 };
  };

  function capital(text) {
    return text[0].toUpperCase() + text.slice(1);
  }
})(globalThis.Explore);
