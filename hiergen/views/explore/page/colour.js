// Colours of nodes: by group, by level, by cost or by results. Hues after Okabe and Ito, told apart by the colour-blind.
"use strict";
(function (Explore) {
  const HUES = ["#0072b2", "#e69f00", "#009e73", "#cc79a7", "#56b4e9", "#d55e00", "#7b6cc4", "#a08c00"];
  const dark = () => {
    const set = document.documentElement.dataset.theme;
    return set ? set === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
  };
  // light to strong on paper, dim to bright on dark
  const ramps = {
    cost: { light: ["#e8eef4", "#7fb2d3", "#0b5c8f", "#06283f"], dark: ["#1f2a33", "#1f6e9e", "#6bbbe6", "#e6f5ff"] },
    good: { light: ["#b8432f", "#e9c9a0", "#cfdfe6", "#1b6f9c"], dark: ["#e5755e", "#7d6648", "#3f5d6b", "#6bc0ee"] },
  };

  function ramp(name) {
    const stops = ramps[name][dark() ? "dark" : "light"];
    const between = stops.slice(1).map((stop, i) => d3.interpolateLab(stops[i], stop));
    return (t) => {
      const at = Math.min(Math.max(t, 0), 1) * between.length;
      const i = Math.min(Math.floor(at), between.length - 1);
      return between[i](at - i);
    };
  }

  Explore.dark = dark;
  Explore.modes = function (costs) {
    const modes = [["group", "Group"], ["level", "Level"]];
    if (costs.plan) modes.push(["params", "Params"], ["macs", "MACs"]);
    if (Explore.raw.results) {
      modes.push(["accuracy", "Accuracy"]);
      if (Explore.raw.results.by_class) modes.push(["severity", "Mistake severity"]);
    }
    return modes;
  };

  // → { of(node), legend: [[colour, text]], scale: [low, high, ramp] or null }
  Explore.colours = function (nest, costs, mode) {
    const missing = dark() ? "#3a3d44" : "#d8d5ce";
    if ((mode === "params" || mode === "macs") && costs.plan) {
      // a log scale from the smallest class to the largest group
      const values = costs.below[mode];
      let low = Infinity, high = 0;
      for (let node = 1; node < nest.size; node++) {
        low = Math.min(low, values[node]);
        high = Math.max(high, values[node]);
      }
      const paint = ramp("cost");
      const span = Math.log(high / Math.max(low, 1)) || 1;
      const t = (v) => (v > 0 ? 0.12 + 0.88 * (Math.log(v / Math.max(low, 1)) / span) : 0);
      return {
        of: (node) => (node ? paint(t(values[node])) : missing),
        scale: [Explore.format.amount(low), Explore.format.amount(high), (x) => paint(0.12 + 0.88 * x)],
        what: `colour: ${mode === "params" ? "params" : "MACs"} of a branch with all below it, on a log scale`,
      };
    }
    const results = Explore.results(nest);
    if (mode === "accuracy" && results) {
      const paint = ramp("good");
      return {
        of: (node) => ((v) => (v === null ? missing : paint((v - results.least) / (1 - results.least))))(results.accuracy(node)),
        scale: [`${Math.round(100 * results.least)} %`, "100 %", paint],
        what: "colour: share of its images that are recognised (top-1)",
      };
    }
    if (mode === "severity" && results?.bySeverity) {
      const paint = ramp("good");
      const top = results.height;
      return {
        of: (node) => ((v) => (v === null ? missing : paint(1 - (v - 1) / Math.max(top - 1, 1e-9))))(results.severity(node)),
        scale: ["1 level", `${top} levels`, (x) => paint(1 - x)],
        what: "colour: how far up the tree its mistakes reach, on average",
      };
    }
    const fade = dark() ? "#15171b" : "#ffffff";
    if (mode === "level") {
      const paint = ramp("cost");
      const at = (level) => paint(nest.depth === 1 ? 0.6 : 0.3 + (0.6 * (nest.depth - level)) / (nest.depth - 1));
      const legend = [];
      for (let j = 1; j <= nest.depth; j++) legend.push([at(j), j === nest.depth ? "classes" : `level ${j}`]);
      return { of: (node) => (node ? at(nest.level[node]) : missing), legend, what: "colour: how deep in the tree" };
    }
    // each group of the first level that really splits has a hue; deeper nodes are paler, siblings slightly apart
    const split = nest.children[0].length > 2 || nest.depth < 3 ? 1 : 2;
    const shades = new Map();
    const start = nest.offset[split];
    return {
      of(node) {
        if (node === 0 || nest.level[node] < split) return missing;
        let top = node;
        while (nest.level[top] > split) top = nest.parent[top];
        const steps = nest.level[node] - split;
        const tint = Math.min(0.16 * steps + 0.07 * (nest.place[node] % 2) + 0.1 * Math.floor(((top - start) % 24) / 8), 0.68);
        const key = `${(top - start) % HUES.length}|${tint.toFixed(2)}|${fade}`;
        if (!shades.has(key)) shades.set(key, d3.interpolateLab(HUES[(top - start) % HUES.length], fade)(tint));
        return shades.get(key);
      },
      legend: [],
      what:
        split === nest.depth
          ? "colour: tells neighbours apart; eight in turn"
          : `colour: one for each group of level ${split}, eight in turn; paler is deeper`,
    };
  };

  // Accuracy and severity of every node, summed over its classes' images.
  const cached = new Map();
  Explore.results = function (nest) {
    const data = Explore.raw.results;
    if (!data) return null;
    if (cached.has(nest.index)) return cached.get(nest.index);
    const c = data.classes;
    const column = (f) => Float64Array.from({ length: Explore.count }, (_, i) => f(i) || 0);
    const mistakesOf = (i) => Math.round(c.images[i] * (1 - c.accuracy[i]));
    const images = Explore.sums(nest, column((i) => c.images[i]));
    const right = Explore.sums(nest, column((i) => (c.accuracy[i] === null ? 0 : c.images[i] * c.accuracy[i])));
    const wrong = Explore.sums(nest, column((i) => (c.severity[i] === null ? 0 : mistakesOf(i))));
    const height = Explore.sums(nest, column((i) => (c.severity[i] === null ? 0 : mistakesOf(i) * c.severity[i])));
    const found = {
      images,
      accuracy: (node) => (images(node) ? right(node) / images(node) : null),
      severity: (node) => (wrong(node) ? height(node) / wrong(node) : null),
      bySeverity: data.by_class,
      // the worst class, rounded down to tens: classes of a good network are told apart, too
      least: Math.min(...c.accuracy.map((v) => Math.floor(10 * (v ?? 1)) / 10), 0.9),
      height: Math.max(...c.severity.map((v) => v ?? 1), 1),
      group(node) {
        const levels = data.groups[nest.index];
        if (!levels || node === 0 || nest.isClass(node)) return null;
        return levels[nest.level[node] - 1][node - nest.offset[nest.level[node]]];
      },
    };
    cached.set(nest.index, found);
    return found;
  };
})(globalThis.Explore);
