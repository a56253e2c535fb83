// The collapsible tree of a pane: a list of rows of which only those in view are in the page.
"use strict";
(function (Explore) {
  const { make, format, state } = Explore;
  const MARGIN = 8; // rows drawn above and below the view
  const PADDING = 8; // px, of .tree, above and below together

  Explore.Tree = class {
    constructor(pane) {
      this.pane = pane;
      this.open = new Map(); // nest index → Set of open nodes
      this.rows = new Map(); // node → row in the page
      this.actives = new Map(); // nest index → node that Tab reaches
      this.space = make("div", { class: "space", role: "presentation" });
      this.element = make(
        "div",
        { class: "tree", role: "tree", "aria-multiselectable": "true", id: `tree-${pane}`, onscroll: () => this.#window() },
        this.space,
      );
      this.head = make("div", { class: "tree-head", "aria-hidden": "true" });
      this.box = make("div", { class: "forest" }, this.head, this.element);
      this.element.addEventListener("click", (event) => this.#clicked(event));
      this.element.addEventListener("keydown", (event) => this.#key(event));
      this.element.addEventListener("pointerover", (event) => this.#hover(event));
      this.element.addEventListener("pointerleave", () => this.#leave());
      this.element.addEventListener("focusin", (event) => {
        const node = this.#nodeOf(event);
        if (node !== null) this.#setActive(node, false);
      });
      new ResizeObserver(() => this.#window()).observe(this.element);
    }

    get nest() {
      return Explore.nestOf(this.pane);
    }

    get active() {
      return this.actives.get(this.nest.index) ?? 0;
    }

    get opened() {
      const nest = this.nest;
      if (!this.open.has(nest.index)) {
        // as much as fits on a screen, whole levels
        const open = new Set([0]);
        for (let j = 1, shown = nest.children[0].length; j < nest.depth && shown < 40; j++) {
          for (let node = nest.offset[j]; node < nest.offset[j + 1]; node++) {
            if (shown + nest.children[node].length > 60) continue;
            shown += nest.children[node].length;
            open.add(node);
          }
        }
        this.open.set(nest.index, open);
      }
      return this.open.get(nest.index);
    }

    // Everything anew: another nesting, filter or colour.
    draw() {
      const nest = this.nest;
      this.costs = Explore.costsOf(this.pane);
      this.colours = Explore.colours(nest, this.costs, state.colour);
      this.results = Explore.results(nest);
      this.element.setAttribute("aria-label", `${nest.name(0)}, ${Explore.model(this.pane).name}`);
      const moves = Explore.movesNow();
      this.moved = moves ? Explore.sums(nest, moves.flags) : null;
      this.rowHeight = parseFloat(getComputedStyle(this.element).getPropertyValue("--row")) || 28;
      this.scale = this.#scale();
      const total = { accuracy: "top-1", severity: "mistakes, levels", macs: "MACs, all below" }[state.colour] ?? (this.costs.plan ? "params, all below" : "");
      const [word, ...rest] = total.split(",");
      this.head.replaceChildren(make("span", {}, "group or class"), make("span", { class: "kids" }, "classes"),
        make("span", { class: "total" }, word, make("span", { class: "wide" }, rest.length ? `,${rest}` : "")));
      this.#flatten();
      for (const row of this.rows.values()) row.remove();
      this.rows.clear();
      this.#window();
    }

    // What the bar of a row shows: the longest of each level is full.
    #scale() {
      const nest = this.nest, { plan, below } = this.costs;
      this.metric = ["params", "macs"].includes(state.colour) ? state.colour : "params";
      const value = plan ? (node) => below[this.metric][node] : (node) => nest.classes(node);
      const most = new Float64Array(nest.depth + 1);
      for (let node = 0; node < nest.size; node++) most[nest.level[node]] = Math.max(most[nest.level[node]], value(node));
      return (node) => value(node) / (most[nest.level[node]] || 1);
    }

    #flatten() {
      const nest = this.nest, open = this.opened;
      const list = [];
      const stack = [0];
      while (stack.length) {
        const node = stack.pop();
        if (state.onlyMoved && this.moved && this.moved(node) === 0) continue;
        list.push(node);
        if (open.has(node)) for (let i = nest.children[node].length - 1; i >= 0; i--) stack.push(nest.children[node][i]);
      }
      this.list = list;
      this.where = new Map(list.map((node, i) => [node, i]));
      if (!this.where.has(this.active)) this.actives.set(nest.index, 0);
      this.space.style.height = `${list.length * this.rowHeight}px`;
    }

    #window() {
      if (!this.list) return;
      const height = this.element.clientHeight;
      if (!height) return;
      const from = Math.max(0, Math.floor(this.element.scrollTop / this.rowHeight) - MARGIN);
      const to = Math.min(this.list.length, Math.ceil((this.element.scrollTop + height) / this.rowHeight) + MARGIN);
      const wanted = new Set(this.list.slice(from, to));
      wanted.add(this.active); // the row with the focus stays, wherever it has been scrolled to
      for (const [node, row] of this.rows) {
        if (!wanted.has(node)) {
          row.remove();
          this.rows.delete(node);
        }
      }
      if (!this.inside) this.count();
      for (const node of wanted) {
        if (!this.where.has(node)) continue;
        let row = this.rows.get(node);
        if (!row) {
          row = this.#row(node);
          this.rows.set(node, row);
          this.space.append(row);
          this.#paint(node, row);
        }
        row.style.transform = `translateY(${this.where.get(node) * this.rowHeight}px)`;
      }
    }

    #row(node) {
      const nest = this.nest, level = nest.level[node];
      const leaf = nest.isClass(node);
      const above = nest.parent[node];
      const row = make("div", {
        class: `row ${node === 0 ? "root" : leaf ? "class" : "group"}`,
        role: "treeitem",
        "aria-level": level + 1,
        "aria-setsize": node ? nest.children[above].length : 1,
        "aria-posinset": nest.place[node] + 1,
        tabindex: node === this.active ? 0 : -1,
        "data-node": node,
      });
      row.style.setProperty("--level", level);
      const swatch = make("span", { class: "swatch", "aria-hidden": "true" });
      swatch.style.background = this.colours.of(node);
      const marks = make("span", { class: "marks" });
      const found = (nest.conflicts.get(node) ?? []).map((i) => Explore.conflictMark(Explore.raw.sources[nest.source].conflicts[i]));
      for (const kind of [...new Set(found)].sort()) marks.append(Explore.mark(kind));
      if (leaf && Explore.guessed.has(node - nest.firstClass)) marks.append(Explore.mark("guessed"));
      if (nest.single(node)) marks.append(Explore.mark("single"));
      if (nest.kind(node) === "pass") marks.append(Explore.mark("pass"));
      const moved = this.moved ? this.moved(node) : 0;
      if (moved) marks.append(Explore.mark("moved", leaf ? "moved" : `${moved} moved`));
      row.append(
        make("span", { class: "twist", "aria-hidden": "true" }),
        make("span", { class: "box", "aria-hidden": "true" }),
        swatch,
        make("span", { class: "name" }, nest.name(node)),
        marks,
        make("span", { class: "some hidden" }),
        make("span", { class: "kids" }, leaf ? "" : format.whole(nest.classes(node))),
        this.#figure(node),
      );
      return row;
    }

    #figure(node) {
      const bar = make("span", { class: "bar" });
      bar.style.setProperty("--share", Math.max(this.scale(node), 0).toFixed(4));
      let text = "";
      if (state.colour === "accuracy" || state.colour === "severity") {
        const value = this.results?.[state.colour](node) ?? null;
        text = value === null ? "–" : state.colour === "accuracy" ? format.percent(value) : value.toFixed(2);
        bar.style.setProperty("--share", state.colour === "accuracy" ? (value ?? 0) : (value ?? 0) / (this.results?.height || 1));
      } else if (this.costs.plan) {
        text = format.amount(this.costs.below[this.metric][node] + (node ? 0 : this.costs.plan.trunk[this.metric] + (this.metric === "params" ? this.costs.shared : 0)));
      }
      return make("span", { class: "figure" }, bar, make("span", { class: "amount" }, text));
    }

    #paint(node, row) {
      const nest = this.nest;
      const some = this.inside(node), all = nest.classes(node);
      const full = some === all;
      row.setAttribute("aria-selected", String(full));
      row.classList.toggle("chosen", full);
      row.classList.toggle("partly", some > 0 && !full);
      row.querySelector(".some").textContent = some > 0 && !full ? `, ${some} of ${all} classes chosen` : "";
      if (!nest.isClass(node)) row.setAttribute("aria-expanded", String(this.opened.has(node)));
      const gain = Explore.gainsOf(nest).get(node);
      row.classList.toggle("gained", gain !== undefined);
      const seen = Explore.seen(nest);
      row.classList.toggle("lit", Boolean(seen?.lit.has(node)));
      if (seen && node && seen.of(node) >= 0.0005) {
        row.dataset.share = Explore.share(seen.of(node));
        row.querySelector(".some").textContent += `, probability ${row.dataset.share}`;
      } else delete row.dataset.share;
      if (gain === undefined) delete row.dataset.gain;
      else row.dataset.gain = `× ${gain}`;
    }

    count() {
      this.inside = Explore.sums(this.nest, state.chosen);
    }

    // The chosen classes or gains changed.
    update() {
      this.count();
      for (const [node, row] of this.rows) this.#paint(node, row);
    }

    hovered() {
      const at = state.hover;
      for (const [node, row] of this.rows) {
        const same = at && at.pane === this.pane && at.node === node;
        // the same class in the other nesting
        const echo = at && at.pane !== this.pane && this.nest.isClass(node) && this.#classOf(at) === node - this.nest.firstClass;
        row.classList.toggle("hovered", Boolean(same));
        row.classList.toggle("echo", Boolean(echo));
      }
    }

    #classOf(at) {
      const nest = Explore.nestOf(at.pane);
      return nest.isClass(at.node) ? at.node - nest.firstClass : -1;
    }

    #nodeOf(event) {
      const row = event.target.closest?.(".row");
      return row && this.element.contains(row) ? Number(row.dataset.node) : null;
    }

    #clicked(event) {
      const node = this.#nodeOf(event);
      if (node === null) return;
      this.#setActive(node, true);
      if (event.target.closest(".twist") && !this.nest.isClass(node)) this.turn(node);
      else Explore.toggle(this.nest, node);
    }

    #hover(event) {
      const node = this.#nodeOf(event);
      if (node === null || (state.hover?.node === node && state.hover?.pane === this.pane)) return;
      if (event.pointerType === "touch") return;
      state.hover = { pane: this.pane, node };
      Explore.changed("hover");
    }

    #leave() {
      state.hover = null;
      Explore.changed("hover");
    }

    turn(node, open = !this.opened.has(node)) {
      if (open) this.opened.add(node);
      else this.opened.delete(node);
      this.#flatten();
      this.#window();
      const row = this.rows.get(node);
      if (row) this.#paint(node, row);
    }

    #setActive(node, focus) {
      const before = this.rows.get(this.active);
      if (before) before.tabIndex = -1;
      this.actives.set(this.nest.index, node);
      this.#window();
      const row = this.rows.get(node);
      if (row) {
        row.tabIndex = 0;
        if (focus) row.focus({ preventScroll: true });
      }
      state.focus = { pane: this.pane, node };
      Explore.changed("focus");
    }

    // Open all above a node, bring it into view, and focus it.
    reveal(node, { focus = true } = {}) {
      const nest = this.nest;
      for (let at = nest.parent[node]; at >= 0; at = nest.parent[at]) this.opened.add(at);
      this.#flatten();
      this.#scrollTo(node, true);
      this.#setActive(node, focus);
      for (const [one, row] of this.rows) this.#paint(one, row);
    }

    #scrollTo(node, middle = false) {
      const top = this.where.get(node) * this.rowHeight, height = this.element.clientHeight;
      const at = this.element.scrollTop;
      if (top < at || top + this.rowHeight + PADDING > at + height) {
        this.element.scrollTop = middle ? top - height / 3 : top < at ? top : top + this.rowHeight + PADDING - height;
      }
      this.#window();
    }

    #go(index) {
      const node = this.list[Math.min(Math.max(index, 0), this.list.length - 1)];
      this.#scrollTo(node);
      this.#setActive(node, true);
    }

    #key(event) {
      if (event.ctrlKey || event.metaKey || event.altKey) return;
      const nest = this.nest, node = this.active, at = this.where.get(node);
      const page = Math.max(1, Math.floor(this.element.clientHeight / this.rowHeight) - 1);
      const group = !nest.isClass(node);
      const moves = { ArrowDown: at + 1, ArrowUp: at - 1, Home: 0, End: this.list.length - 1, PageDown: at + page, PageUp: at - page };
      if (event.key in moves) this.#go(moves[event.key]);
      else if (event.key === "ArrowRight" && group) {
        if (this.opened.has(node)) this.#go(at + 1);
        else this.turn(node, true);
      } else if (event.key === "ArrowLeft") {
        if (group && this.opened.has(node)) this.turn(node, false);
        else if (node) this.#go(this.where.get(nest.parent[node]));
      } else if (event.key === "Enter" || event.key === " ") Explore.toggle(nest, node);
      else if (event.key === "*") for (const one of nest.children[nest.parent[node]] ?? []) this.turn(one, !nest.isClass(one));
      else if (event.key.length === 1 && /\S/.test(event.key) && event.key !== "/") this.#typed(event.key);
      else return;
      event.preventDefault();
    }

    // The next row whose name starts with what is being typed.
    #typed(letter) {
      clearTimeout(this.typing);
      this.prefix = (this.prefix ?? "") + letter.toLowerCase();
      this.typing = setTimeout(() => (this.prefix = ""), 700);
      const at = this.where.get(this.active), n = this.list.length;
      for (let step = this.prefix.length > 1 ? 0 : 1; step < n; step++) {
        const node = this.list[(at + step) % n];
        if (this.nest.name(node).toLowerCase().startsWith(this.prefix)) return this.#go((at + step) % n);
      }
    }
  };
})(globalThis.Explore);
