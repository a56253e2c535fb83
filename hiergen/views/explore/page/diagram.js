// Icicle and sunburst of a pane, on a canvas: d3's partition layout, zoom by wheel, drag or pinch.
"use strict";
(function (Explore) {
  const { make, format, state } = Explore;
  const still = () => matchMedia("(prefers-reduced-motion: reduce)").matches;
  const TAU = 2 * Math.PI;
  const MOST = 400; // × zoom

  Explore.Diagram = class {
    constructor(pane) {
      this.pane = pane;
      this.canvas = make("canvas", { class: "canvas", tabindex: 0, role: "img" });
      this.heads = make("div", { class: "heads", "aria-hidden": "true" });
      this.legend = make("div", { class: "legend" });
      this.hint = make("span", { class: "hint" });
      this.out = make("button", { type: "button", class: "quiet", onclick: () => this.zoomTo(0) }, "Whole tree");
      this.element = make("div", { class: "diagram" }, this.heads, this.canvas, make("div", { class: "under" }, this.legend, this.hint, this.out));
      this.transform = d3.zoomIdentity;
      this.zoom = d3
        .zoom()
        .scaleExtent([1, MOST])
        .clickDistance(5)
        .on("zoom", (event) => {
          this.transform = event.transform;
          this.#schedule();
        });
      this.selection = d3.select(this.canvas).call(this.zoom).on("dblclick.zoom", null);
      this.canvas.addEventListener("click", (event) => this.#clicked(event));
      this.canvas.addEventListener("dblclick", (event) => {
        const node = this.#hit(event);
        if (node !== null) this.zoomTo(node);
      });
      this.canvas.addEventListener("pointermove", (event) => this.#hover(event));
      this.canvas.addEventListener("pointerleave", () => this.#setHover(null));
      this.canvas.addEventListener("keydown", (event) => this.#key(event));
      new ResizeObserver(() => this.#resize()).observe(this.element);
    }

    get nest() {
      return Explore.nestOf(this.pane);
    }

    // Everything anew: another nesting, size or colour.
    draw() {
      const nest = this.nest;
      this.costs = Explore.costsOf(this.pane);
      this.colours = Explore.colours(nest, this.costs, state.colour);
      const moves = Explore.movesNow();
      this.moved = moves ? Explore.sums(nest, moves.flags) : null;
      this.#layout();
      this.needs = null;
      this.#drawLegend();
      this.heads.hidden = state.view === "sunburst";
      this.count();
      this.#resize();
      // a place in one picture is no place in another
      const picture = `${state.view}|${nest.index}`;
      if (this.picture !== picture) this.selection.interrupt().call(this.zoom.transform, d3.zoomIdentity);
      this.picture = picture;
      const what = state.view === "sunburst" ? "Sunburst" : "Icicle";
      this.canvas.setAttribute("aria-label", `${what} of ${Explore.model(this.pane).name}: the tree's nodes by size. Arrow keys move, Enter chooses.`);
    }

    #layout() {
      const nest = this.nest, plan = this.costs.plan;
      const size = plan && state.size !== "classes" ? state.size : null;
      const key = `${nest.index}|${size}|${state.models[this.pane]}`;
      if (this.key === key) return;
      this.key = key;
      const own = size ? (node) => (node ? this.costs.own(node)[size] : plan.trunk[size] + (size === "params" ? this.costs.shared : 0)) : (node) => (nest.isClass(node) ? 1 : 0);
      const root = d3.hierarchy(0, (node) => (nest.children[node].length ? nest.children[node] : null));
      root.sum(own);
      d3.partition()(root);
      // x: share of the whole, [from, to) of every node
      this.from = new Float64Array(nest.size);
      this.to = new Float64Array(nest.size);
      // a branch's own share is half before its children and half after them
      const shift = new Float64Array(nest.size);
      root.each((d) => {
        const at = shift[d.data];
        this.from[d.data] = d.x0 + at;
        this.to[d.data] = d.x1 + at;
        const bare = d.children ? (d.x1 - d.children.at(-1).x1) / 2 : 0;
        for (const child of d.children ?? []) shift[child.data] = at + bare;
      });
      this.size = size;
    }

    count() {
      this.inside = Explore.sums(this.nest, state.chosen);
    }

    update() {
      this.count();
      this.#schedule();
    }

    hovered() {
      this.#schedule();
    }

    #resize() {
      const box = this.element.getBoundingClientRect();
      if (!box.width || !this.from) return;
      const ratio = Math.min(devicePixelRatio || 1, 2);
      this.width = this.canvas.clientWidth;
      this.height = this.canvas.clientHeight;
      if (this.canvas.width !== Math.round(this.width * ratio) || this.canvas.height !== Math.round(this.height * ratio)) {
        this.canvas.width = Math.round(this.width * ratio);
        this.canvas.height = Math.round(this.height * ratio);
      }
      this.ratio = ratio;
      this.needs ??= this.#measure();
      this.#drawHeads();
      this.zoom.extent([[0, 0], [this.width, this.height]]).translateExtent([[0, 0], [this.width, this.height]]);
      this.#schedule();
    }

    #schedule() {
      if (!this.frame) {
        this.frame = requestAnimationFrame(() => {
          this.frame = 0;
          this.#paint();
        });
      }
    }

    #style() {
      const css = getComputedStyle(document.documentElement);
      const get = (name) => css.getPropertyValue(name).trim();
      return { paper: get("--paper"), ink: get("--ink"), accent: get("--accent"), moved: get("--moved"), font: get("--font") };
    }

    #paint() {
      if (!this.width || !this.inside || !this.needs) return;
      const context = this.canvas.getContext("2d");
      context.setTransform(this.ratio, 0, 0, this.ratio, 0, 0);
      context.clearRect(0, 0, this.width, this.height);
      const style = this.#style();
      if (state.view === "sunburst") this.#sunburst(context, style);
      else this.#icicle(context, style);
      this.out.hidden = this.transform.k === 1;
    }

    #alpha(node) {
      const seen = Explore.seen(this.nest);
      if (seen) return 0.1 + 0.9 * Math.sqrt(seen.of(node));
      if (!state.total) return 1;
      const some = this.inside(node);
      return some === 0 ? 0.28 : 1;
    }

    // with its probability, where the picture that is chosen makes it likely
    #name(node) {
      const p = Explore.seen(this.nest)?.of(node) ?? 0;
      return p >= 0.01 ? `${this.nest.name(node)} ${Explore.share(p)}` : this.nest.name(node);
    }

    // the outline of a node, if it has one
    #edge(node, style) {
      const is = (at) => at && at.pane === this.pane && at.node === node;
      if (is(state.hover)) return [style.ink, 2];
      if (Explore.seen(this.nest)?.lit.has(node)) return [style.moved, 2.5];
      if (is(state.focus) && (document.activeElement === this.canvas || !state.hover)) return [style.accent, 2];
      return null;
    }

    #hasMoved(node) {
      return Boolean(this.moved) && this.nest.isClass(node) && this.moved(node) > 0;
    }

    // icicle

    // px that nine in ten names of each level take
    #measure() {
      const nest = this.nest, context = this.canvas.getContext("2d"), font = this.#style().font;
      const needs = [];
      for (let level = 1; level <= nest.depth; level++) {
        const past = level === nest.depth ? nest.size : nest.offset[level + 1];
        const step = Math.ceil((past - nest.offset[level]) / 400); // of very many names some will do
        context.font = `${level === nest.depth ? 400 : 600} 12.5px ${font}`;
        const wide = [];
        for (let node = nest.offset[level]; node < past; node += step) wide.push(context.measureText(nest.name(node)).width);
        wide.sort((a, b) => a - b);
        needs.push(Math.min(wide[Math.floor(0.9 * (wide.length - 1))], 190));
      }
      return needs;
    }

    // The root is narrow, every other level gets what its names need, and classes what is left.
    #columns() {
      const root = Math.min(34, this.width * 0.08), room = this.width - root;
      const wants = this.needs.map((need) => need + 16);
      const sum = wants.reduce((a, b) => a + b, 0);
      const share = sum > room ? room / sum : 1;
      const edges = [0, root];
      for (const want of wants.slice(0, -1)) edges.push(edges.at(-1) + want * share);
      edges.push(this.width);
      return edges;
    }

    #drawHeads() {
      const edges = this.#columns(), nest = this.nest;
      this.heads.replaceChildren(...edges.slice(1, -1).map((edge, i) => {
        const head = make("span", {}, format.levels(nest, i + 1));
        head.style.left = `${edge}px`;
        head.style.width = `${edges[i + 2] - edge}px`;
        return head;
      }));
    }

    // Classes too thin for a name each have their names side by side in turns: → how many in a row.
    #abreast(wide) {
      const tall = (this.height * this.transform.k) / Explore.count;
      if (this.size || tall >= 11 || tall < 2.5) return 1;
      const fit = Math.ceil(11 / tall);
      return wide / fit >= 52 ? fit : 1;
    }

    #icicle(context, style) {
      const nest = this.nest, edges = this.#columns(), { k, y } = this.transform;
      const edged = [];
      for (let level = 0; level <= nest.depth; level++) {
        const [first, past] = level === 0 ? [0, 1] : [nest.offset[level], level === nest.depth ? nest.size : nest.offset[level + 1]];
        const x0 = edges[level], wide = edges[level + 1] - x0;
        let painted = -Infinity;
        const members = level === nest.depth ? nest.order : null;
        const abreast = members ? this.#abreast(wide) : 1, waiting = [];
        for (let i = first; i < past; i++) {
          const node = members ? nest.firstClass + members[i - first] : i;
          const y0 = this.from[node] * this.height * k + y, y1 = this.to[node] * this.height * k + y;
          if (y1 < 0 || y0 > this.height) continue;
          if (y1 - painted < 0.7) continue; // too thin to be seen: its neighbour stands for it
          painted = y1;
          const tall = Math.max(y1 - y0, 0.7), gap = abreast > 1 ? 0 : tall > 3 ? 1 : tall > 1.4 ? 0.4 : 0;
          context.globalAlpha = this.#alpha(node);
          context.fillStyle = this.colours.of(node);
          context.fillRect(x0, y0, wide - 1, tall - gap);
          context.globalAlpha = 1;
          if (this.#hasMoved(node)) {
            context.fillStyle = style.moved;
            context.fillRect(x0, y0, 7, tall - gap);
          }
          const edge = this.#edge(node, style);
          if (edge) edged.push([edge, x0, y0, wide - 1, tall - gap]);
          if (abreast > 1) {
            const each = wide / abreast, middle = (y0 + y1) / 2, half = 5.8;
            const top = Math.min(Math.max(middle, half), this.height - half) - half;
            waiting.push([node, x0 + each * ((i - first) % abreast), top, each, 2 * half]);
          } else if (tall >= 11) this.#label(context, node, x0, Math.max(y0, 0), wide, Math.min(y1, this.height) - Math.max(y0, 0), style);
        }
        for (const [node, x, top, each, tall] of waiting) this.#label(context, node, x, top, each, tall, style);
      }
      for (const [[colour, line], x, top, wide, tall] of edged) {
        context.strokeStyle = colour;
        context.lineWidth = line;
        context.strokeRect(x + line / 2, top + line / 2, wide - line, Math.max(tall - line, 0.5));
      }
    }

    #label(context, node, x, y, wide, tall, style) {
      const size = Math.min(12.5, Math.max(9, tall * 0.8));
      if (wide < 26 && node) return;
      const font = (px) => (context.font = `${node && !this.nest.isClass(node) ? 600 : 400} ${px}px ${style.font}`);
      font(size);
      context.textBaseline = "middle";
      context.fillStyle = this.#inkOn(node, style);
      if (node === 0) {
        context.save();
        context.translate(x + wide / 2, y + tall / 2);
        context.rotate(-Math.PI / 2);
        context.textAlign = "center";
        const trunk = this.costs.plan ? ` · trunk ${this.costs.plan.backbone} to ${this.costs.plan.until}` : "";
        const text = this.#fitted(context, `${this.nest.name(0)}${trunk}`, tall - 12);
        context.fillText(text, 0, 0);
        context.restore();
        context.textAlign = "left";
        return;
      }
      const at = this.#hasMoved(node) ? 6 : 0;
      this.#write(context, font, size, this.#name(node), wide - 12 - at, tall, x + 6 + at, y + Math.min(tall / 2, tall - 4));
    }

    #fitted(context, text, wide) {
      if (context.measureText(text).width <= wide) return text;
      let low = 0, high = text.length;
      while (low < high) {
        const middle = (low + high + 1) >> 1;
        if (context.measureText(`${text.slice(0, middle)}…`).width <= wide) low = middle;
        else high = middle - 1;
      }
      return low > 3 ? `${text.slice(0, low).trimEnd()}…` : "";
    }

    // Whole words on at most so many lines.
    #wrapped(context, text, wide, most) {
      const lines = [];
      let rest = text.split(" ");
      while (rest.length && lines.length < most) {
        let take = rest.length;
        if (lines.length < most - 1) while (take > 1 && context.measureText(rest.slice(0, take).join(" ")).width > wide) take--;
        lines.push(this.#fitted(context, rest.slice(0, take).join(" "), wide));
        rest = rest.slice(take);
      }
      return lines;
    }

    // A name in a box: on several lines where it is tall, and smaller where that saves it from being cut.
    #write(context, font, size, name, wide, tall, x, y) {
      let lines, step;
      for (const px of [size, 0.9 * size, 0.8 * size]) {
        font(px);
        step = 1.15 * px;
        lines = this.#wrapped(context, name, wide, Math.max(1, Math.floor(tall / step)));
        if (lines.every((line) => line && !line.endsWith("…"))) break;
      }
      lines.forEach((line, i) => context.fillText(line, x, y + (i - (lines.length - 1) / 2) * step));
    }

    // Black or white, whichever is at least 4.5 : 1 on a node's colour.
    #inkOn(node, style) {
      const colour = this.colours.of(node), alpha = this.#alpha(node), key = `${colour}|${alpha}|${style.paper}`;
      this.inks ??= new Map();
      if (!this.inks.has(key)) this.inks.set(key, d3.lab(d3.interpolateRgb(style.paper, colour)(alpha)).l > 49.5 ? "#000000" : "#ffffff");
      return this.inks.get(key);
    }

    // sunburst

    // The hole is small. A ring whose names fit along it is narrow, one whose names stand across it as wide as they are.
    #radii() {
      const most = Math.min(this.width, this.height) / 2 - 4, nest = this.nest;
      const hole = most * 0.07, wants = [];
      let radius = hole;
      this.needs.forEach((need, i) => {
        const count = (i + 1 === nest.depth ? nest.size : nest.offset[i + 2]) - nest.offset[i + 1];
        if ((TAU * most) / count < 4) wants.push(26); // no names
        else wants.push((TAU * (radius + 14)) / count > need + 8 ? 44 : need + 12);
        radius += wants.at(-1);
      });
      const share = (most - hole) / wants.reduce((a, b) => a + b, 0);
      const radii = [0, hole];
      for (const want of wants) radii.push(radii.at(-1) + want * share);
      radii[radii.length - 1] = most;
      return radii;
    }

    #sunburst(context, style) {
      const nest = this.nest, radii = this.#radii(), { k, x, y } = this.transform;
      const edged = [];
      context.save();
      context.translate(x + (k * this.width) / 2, y + (k * this.height) / 2);
      context.scale(k, k);
      const arc = d3.arc().context(context);
      const hair = 0.7 / k;
      for (let level = nest.depth; level >= 0; level--) {
        const [first, past] = level === 0 ? [0, 1] : [nest.offset[level], level === nest.depth ? nest.size : nest.offset[level + 1]];
        const [inner, outer] = [radii[level], radii[level + 1] - Math.min(1, 1 / k)];
        const members = level === nest.depth ? nest.order : null;
        let painted = -Infinity;
        for (let i = first; i < past; i++) {
          const node = members ? nest.firstClass + members[i - first] : i;
          const a0 = this.from[node] * TAU, a1 = this.to[node] * TAU;
          if ((a1 - painted) * outer < hair) continue;
          const start = Math.max(a0, Math.min(painted, a1 - hair / outer));
          painted = a1;
          const pad = (a1 - a0) * inner * k > 3 ? 2 / ((inner + outer) * k) : 0;
          context.globalAlpha = this.#alpha(node);
          context.fillStyle = this.colours.of(node);
          context.beginPath();
          arc({ innerRadius: inner, outerRadius: outer, startAngle: start, endAngle: Math.max(a1 - pad, start) });
          context.fill();
          context.globalAlpha = 1;
          if (this.#hasMoved(node)) {
            context.fillStyle = style.moved;
            context.beginPath();
            arc({ innerRadius: outer - 7 / k, outerRadius: outer, startAngle: start, endAngle: Math.max(a1 - pad, start) });
            context.fill();
          }
          const edge = this.#edge(node, style);
          if (edge) edged.push([edge, inner, outer, a0, a1]);
          this.#arcLabel(context, node, inner, outer, a0, a1, k, style);
        }
      }
      for (const [[colour, line], inner, outer, a0, a1] of edged) {
        context.strokeStyle = colour;
        context.lineWidth = line / k;
        context.beginPath();
        arc({ innerRadius: inner, outerRadius: outer, startAngle: a0, endAngle: a1 });
        context.stroke();
      }
      context.restore();
    }

    #arcLabel(context, node, inner, outer, a0, a1, k, style) {
      const middle = (inner + outer) / 2, angle = (a0 + a1) / 2 - Math.PI / 2;
      const along = (a1 - a0) * middle, across = outer - inner; // px / k
      if (node === 0 || Math.min(along, across) * k < 9) return;
      const name = this.#name(node);
      context.save();
      context.textBaseline = "middle";
      context.textAlign = "center";
      context.fillStyle = this.#inkOn(node, style);
      const font = (size) => (context.font = `${this.nest.isClass(node) ? 400 : 600} ${size}px ${style.font}`);
      font(11.5 / k);
      if (context.measureText(name).width < along - 8 / k && across * k > 14) this.#bent(context, name, middle, angle);
      else if (across * k >= 26) {
        const size = Math.min(11.5 / k, (a1 - a0) * middle * 0.8);
        context.rotate(angle);
        context.translate(middle, 0);
        if (Math.cos(angle) < 0) context.rotate(Math.PI);
        this.#write(context, font, size, name, across - 6 / k, (a1 - a0) * inner, 0, 0);
      }
      context.restore();
    }

    // Text along a circle, letter by letter, upright above and below.
    #bent(context, text, radius, angle) {
      const below = Math.sin(angle) > 0 ? -1 : 1;
      let at = -context.measureText(text).width / 2;
      for (const letter of text) {
        const wide = context.measureText(letter).width;
        const turn = angle + (below * (at + wide / 2)) / radius;
        context.save();
        context.rotate(turn);
        context.translate(radius, 0);
        context.rotate((below * Math.PI) / 2);
        context.fillText(letter, 0, 0);
        context.restore();
        at += wide;
      }
    }

    // pointer and keys

    #hit(event) {
      const box = this.canvas.getBoundingClientRect();
      const px = event.clientX - box.left, py = event.clientY - box.top;
      const { k, x, y } = this.transform;
      let level, share;
      if (state.view === "sunburst") {
        const dx = (px - x) / k - this.width / 2, dy = (py - y) / k - this.height / 2;
        const radius = Math.hypot(dx, dy);
        level = this.#radii().findLastIndex((r) => radius >= r);
        share = (((Math.atan2(dy, dx) + Math.PI / 2) % TAU) + TAU) % TAU / TAU;
      } else {
        level = this.#columns().findLastIndex((edge) => px >= edge);
        share = (py - y) / (this.height * k);
      }
      const nest = this.nest;
      if (level < 0 || level > nest.depth || share < 0 || share > 1) return null;
      let node = 0;
      while (nest.level[node] < level) {
        const next = nest.children[node].find((child) => share >= this.from[child] && share < this.to[child]);
        if (next === undefined) return null; // a group's own branch
        node = next;
      }
      return node;
    }

    #clicked(event) {
      const node = this.#hit(event);
      if (node === null) return;
      this.#focusOn(node);
      Explore.toggle(this.nest, node);
    }

    #focusOn(node) {
      state.focus = { pane: this.pane, node };
      Explore.changed("focus");
      this.#schedule();
    }

    #hover(event) {
      if (event.pointerType !== "touch" && !event.buttons) this.#setHover(this.#hit(event));
    }

    #setHover(node) {
      if ((state.hover?.node ?? null) === node && (node === null || state.hover.pane === this.pane)) return;
      state.hover = node === null ? null : { pane: this.pane, node };
      this.canvas.classList.toggle("over", node !== null);
      Explore.changed("hover");
    }

    #key(event) {
      if (event.ctrlKey || event.metaKey || event.altKey) return;
      const nest = this.nest;
      const node = state.focus.pane === this.pane ? state.focus.node : 0;
      const siblings = node ? nest.children[nest.parent[node]] : [0];
      const at = siblings.indexOf(node);
      const steps = {
        ArrowDown: siblings[Math.min(at + 1, siblings.length - 1)],
        ArrowUp: siblings[Math.max(at - 1, 0)],
        ArrowRight: nest.children[node][0] ?? node,
        ArrowLeft: Math.max(nest.parent[node], 0),
        Home: 0,
      };
      if (event.key in steps) {
        this.#focusOn(steps[event.key]);
        this.#show(steps[event.key]);
        Explore.say(`${nest.name(steps[event.key])}, ${format.classes(nest.classes(steps[event.key]))}`);
      } else if (event.key === "Enter" || event.key === " ") Explore.toggle(nest, node);
      else if (event.key === "+") this.zoomTo(node);
      else if (event.key === "-" || event.key === "Escape") this.zoomTo(0);
      else return;
      event.preventDefault();
    }

    // Zoom in if the node is too small to be seen, or out of view.
    #show(node) {
      if (state.view === "sunburst") return;
      const { k, y } = this.transform;
      const top = this.from[node] * this.height * k + y, tall = (this.to[node] - this.from[node]) * this.height * k;
      if (tall < 6 || top < 0 || top + tall > this.height) this.zoomTo(this.nest.isClass(node) ? this.nest.parent[node] : node, 26);
    }

    // `most`: px that a class gets at most, where more would show less of what is around it
    zoomTo(node, most = Infinity) {
      let to = d3.zoomIdentity;
      const span = this.to[node] - this.from[node];
      if (node && span > 0) {
        if (state.view === "sunburst") {
          const radii = this.#radii(), level = this.nest.level[node];
          // its ring and those outside it, where what is below the node is
          const deep = radii.at(-1) - radii[level], radius = radii[level] + deep / 2;
          const angle = ((this.from[node] + this.to[node]) / 2) * TAU - Math.PI / 2;
          const fits = (0.9 * Math.min(this.width, this.height)) / deep;
          const k = Math.max(1, Math.min((0.4 * this.height) / Math.max(span * TAU * radius, 1), fits, 24));
          const x = this.width / 2 + Math.cos(angle) * radius, y = this.height / 2 + Math.sin(angle) * radius;
          to = d3.zoomIdentity.translate(this.width / 2, this.height / 2).scale(k).translate(-x, -y);
        } else {
          const k = Math.max(1, Math.min(MOST, 0.96 / span, (most * this.nest.classes(node)) / (span * this.height)));
          const middle = ((this.from[node] + this.to[node]) / 2) * this.height;
          to = d3.zoomIdentity.translate(0, this.height / 2 - middle * k).scale(k);
        }
      }
      const view = [[0, 0], [this.width, this.height]];
      to = this.zoom.constrain()(to, view, view); // the edge of the picture stays at the edge of the view
      (still() ? this.selection : this.selection.transition().duration(350)).call(this.zoom.transform, to);
    }

    #drawLegend() {
      const { legend, scale, what } = this.colours;
      this.legend.replaceChildren();
      for (const [colour, text] of legend ?? []) {
        const swatch = make("span", { class: "swatch" });
        swatch.style.background = colour;
        this.legend.append(make("span", { class: "key" }, swatch, text));
      }
      if (scale) {
        const bar = make("span", { class: "ramp" });
        const stops = [];
        for (let i = 0; i <= 8; i++) stops.push(scale[2](i / 8));
        bar.style.background = `linear-gradient(90deg, ${stops.join(", ")})`;
        this.legend.append(scale[0], bar, scale[1]);
      }
      if (what) this.legend.append(make("span", { class: "what" }, what));
      const what_size = { macs: "MACs", params: "params" }[this.size];
      this.hint.textContent = what_size ? `area: ${what_size}; what children leave bare is the branch's own, of the root the trunk${this.costs.shared && this.size === "params" ? " and what is for all classes" : ""}` : "area: number of classes";
    }
  };
})(globalThis.Explore);
