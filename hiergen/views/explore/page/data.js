// The page's data: columns from Python made into nodes. Names of the user are only ever put in by textContent.
"use strict";
globalThis.Explore = {};

(function (Explore) {
  const raw = JSON.parse(document.getElementById("data").textContent);
  if (raw.format !== 1) throw new Error("this page's code reads format 1 only");
  const count = raw.classes.id.length;

  // One nesting as arrays over its nodes: 0 is the root, then the groups level by level, then the classes in the order
  // of the logits. `order` has the classes as they stand in the tree; every node is a range [low, high) of it.
  class Nest {
    constructor(index, data) {
      this.index = index;
      this.source = data.source;
      this.levels = data.levels;
      this.depth = data.levels.length + 1; // classes are its last level
      this.offset = [0, 1];
      for (const level of data.levels) this.offset.push(this.offset.at(-1) + level.name.length);
      this.firstClass = this.offset.at(-1);
      this.size = this.firstClass + count;
      this.parent = new Int32Array(this.size).fill(-1);
      this.level = new Uint8Array(this.size);
      data.levels.forEach((level, j) => {
        level.parent.forEach((above, i) => {
          const node = this.offset[j + 1] + i;
          this.level[node] = j + 1;
          this.parent[node] = j ? this.offset[j] + above : 0;
        });
      });
      for (let c = 0; c < count; c++) {
        const node = this.firstClass + c;
        this.level[node] = this.depth;
        this.parent[node] = data.of.length ? this.offset[this.depth - 1] + data.of[c] : 0;
      }
      this.children = Array.from({ length: this.size }, () => []);
      for (let node = 1; node < this.size; node++) this.children[this.parent[node]].push(node);
      this.low = new Int32Array(this.size);
      this.high = new Int32Array(this.size);
      this.order = new Int32Array(count);
      this.place = new Int32Array(this.size); // among its siblings
      this.#arrange();
      this.conflicts = new Map();
      this.#findConflicts(raw.sources[data.source].conflicts);
    }

    #arrange() {
      let next = 0;
      const stack = [[0, 0]];
      while (stack.length) {
        const top = stack.at(-1);
        const [node, at] = top;
        if (at === 0) this.low[node] = next;
        const below = this.children[node];
        if (at < below.length) {
          top[1]++;
          this.place[below[at]] = at;
          stack.push([below[at], 0]);
          continue;
        }
        if (node >= this.firstClass) this.order[next++] = node - this.firstClass;
        this.high[node] = next;
        stack.pop();
      }
    }

    #findConflicts(conflicts) {
      conflicts.forEach((conflict, i) => {
        const mark = (node) => this.conflicts.set(node, [...(this.conflicts.get(node) ?? []), i]);
        const names = new Set(conflict.names);
        for (let node = 1; node < this.firstClass; node++) {
          if (names.has(this.name(node)) || names.has(this.fact(node, "synset"))) mark(node);
        }
        for (const c of conflict.classes) mark(this.firstClass + c);
      });
    }

    isClass(node) {
      return node >= this.firstClass;
    }

    group(node) {
      const j = this.level[node] - 1;
      return [this.levels[j], node - this.offset[j + 1]];
    }

    fact(node, what) {
      if (node === 0) return "";
      if (this.isClass(node)) return raw.classes[what]?.[node - this.firstClass] ?? "";
      const [level, i] = this.group(node);
      return level[what]?.[i] ?? "";
    }

    name(node) {
      return node === 0 ? raw.sources[this.source].title : this.fact(node, "name");
    }

    path(node) {
      const names = [];
      for (let at = node; at > 0; at = this.parent[at]) names.unshift(this.name(at));
      return names;
    }

    classes(node) {
      return this.high[node] - this.low[node];
    }

    origin(node) {
      if (node === 0) return "";
      if (!this.isClass(node)) return this.fact(node, "origin");
      const at = this.fact(node, "origin");
      return this.source === 0 && at !== "" ? raw.classes.origins[at] : "";
    }

    // "rest", "pass", "node" or ""
    kind(node) {
      return node === 0 || this.isClass(node) ? "" : this.fact(node, "kind");
    }

    single(node) {
      return node > 0 && !this.isClass(node) && this.children[node].length === 1;
    }
  }

  // Sums over the classes of every node, from one value per class.
  Explore.sums = function (nest, values) {
    const sum = new Float64Array(count + 1);
    nest.order.forEach((c, i) => (sum[i + 1] = sum[i] + values[c]));
    return (node) => sum[nest.high[node]] - sum[nest.low[node]];
  };

  Explore.raw = raw;
  Explore.count = count;
  Explore.nests = raw.nests.map((nest, i) => new Nest(i, nest));
  Explore.models = raw.models;

  // The classes that moved between two nestings, with the level pairs: null where the two are not compared.
  Explore.moves = function (first, second) {
    const found = raw.moves.find(
      (m) => (m.first === first && m.second === second) || (m.first === second && m.second === first),
    );
    if (!found) return null;
    const flags = new Uint8Array(count);
    const turned = found.first !== first;
    const levels = found.levels.map((l) => ({
      first: turned ? l.second : l.first,
      second: turned ? l.first : l.second,
      moved: new Set(l.moved),
    }));
    for (const level of levels) for (const c of level.moved) flags[c] = 1;
    return { flags, levels, total: flags.reduce((a, b) => a + b, 0) };
  };

  // Badges of nodes and what they mean. WordNet gives many a noun two parents: either is right, and nothing is at odds.
  Explore.marks = {
    conflict: ["conflict", "two sources disagree here; the stronger one was followed"],
    parents: ["two parents", "WordNet has two parents for this noun; one was followed"],
    guessed: ["guessed", "the name has several meanings, and it is in doubt which is meant; the details say which was taken"],
    single: ["single", "a group with a single child: its branch tells nothing apart"],
    pass: ["pass", "a class whose path is too short goes through here"],
    moved: ["moved", "in another group in the other nesting"],
  };
  Explore.guessed = new Set(raw.classes.guessed ?? []);
  Explore.conflictMark = (conflict) => (conflict.kind === "hypernym" ? "parents" : "conflict");
  Explore.mark = (kind, text = Explore.marks[kind][0]) =>
    Explore.make("span", { class: `mark ${kind === "parents" || kind === "pass" ? "quiet" : kind}`, title: Explore.marks[kind][1] }, text);

  // A tiny DOM builder: text is text.
  Explore.make = function (tag, attributes = {}, ...children) {
    const element = document.createElement(tag);
    for (const [name, value] of Object.entries(attributes)) {
      if (value === undefined || value === null || value === false) continue;
      if (name === "class") element.className = value;
      else if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
      else element.setAttribute(name, value === true ? "" : String(value));
    }
    element.append(...children.filter((child) => child !== null && child !== undefined && child !== false));
    return element;
  };
})(globalThis.Explore);
