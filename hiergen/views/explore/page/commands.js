// The lines to copy: what `hiergen cutout` and `hiergen attend` take, quoted for a POSIX shell.
"use strict";
(function (Explore) {
  const alone = new Set(Explore.raw.alone);

  Explore.quote = (text) => (/^[A-Za-z0-9_\/.:,=@%+-]+$/.test(text) ? text : `'${text.replaceAll("'", `'\\''`)}'`);

  // The fewest names for these classes: whole groups by theirs, else classes by id.
  Explore.terms = function (nest, chosen) {
    const inside = Explore.sums(nest, chosen);
    const found = [];
    const stack = [0];
    while (stack.length) {
      const node = stack.pop();
      const some = inside(node);
      if (some === 0) continue;
      if (nest.isClass(node)) found.push(nest.fact(node, "id"));
      else if (node > 0 && some === nest.classes(node) && nest.fact(node, "term")) found.push(nest.fact(node, "term"));
      else for (const child of nest.children[node].toReversed()) stack.push(child);
    }
    return found;
  };

  function option(name, terms) {
    const joined = terms.filter((term) => !alone.has(term) && !term.includes(","));
    const single = terms.filter((term) => alone.has(term) || term.includes(","));
    const texts = joined.length ? [joined.join(","), ...single] : single;
    return texts.map((text) => `--${name}=${Explore.quote(text)}`);
  }

  // null where there is no cutout: no class, or all of them
  Explore.cutoutLine = function (model, chosen, files) {
    const nest = Explore.nests[model.nest];
    const rest = chosen.map((flag) => 1 - flag);
    const count = chosen.reduce((a, b) => a + b, 0);
    if (count === 0 || count === Explore.count) return null;
    const kept = Explore.terms(nest, chosen), left = Explore.terms(nest, rest);
    const which = left.length < kept.length ? option("except", left) : option("classes", kept);
    const costs = Explore.costs(Explore.models.indexOf(model));
    const form = costs.forms.length > 1 ? [`--form=${costs.form}`] : [];
    return ["hiergen cutout", Explore.quote(model.reference), ...weights(model, files), ...which, ...form, `-o ${Explore.quote(files.out)}`].join(" ");
  };

  // gains: [node, number] of one nesting
  Explore.attendLine = function (model, gains, files) {
    const nest = Explore.nests[model.nest];
    const parts = gains
      .filter(([, gain]) => gain !== 1)
      .map(([node, gain]) => `--gain=${Explore.quote(`${Explore.gainTerm(nest, node)}=${gain}`)}`);
    if (!parts.length) return null;
    return ["hiergen attend", Explore.quote(model.reference), ...weights(model, files), `--data ${Explore.quote(files.data)}`, ...parts].join(" ");
  };

  Explore.gainTerm = (nest, node) => (nest.isClass(node) ? nest.fact(node, "id") : nest.fact(node, "term"));

  // A chain of groups with the same classes and name takes a gain at its highest branch: that node.
  Explore.gainNode = function (nest, node) {
    if (nest.isClass(node)) return node;
    let at = node;
    while (nest.level[at] > nest.fact(node, "acts")) at = nest.parent[at];
    return at;
  };

  // the weights that the page was made with fit one of its models; the name of any other's is to be typed
  function weights(model, files) {
    const name = model.other_weights && files.weights === Explore.raw.weights ? "weights.safetensors" : files.weights;
    return files.folder ? [] : [`--weights ${Explore.quote(name)}`];
  }
})(globalThis.Explore);
