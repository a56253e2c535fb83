// The live cutout: its costs beside the full network, the flat backbone, and the flat backbone with a sliced classifier.
"use strict";
(function (Explore) {
  const { make, format, state } = Explore;
  const card = document.getElementById("cutout");
  const body = make("div", { class: "figures" });
  const line = Explore_line("cutout-line", "The cutout's command");
  const count = make("p", { class: "kind", id: "cutout-count" });
  const button = (text, act) => make("button", { type: "button", class: "quiet", onclick: act }, text);
  const FORMS = {
    specialists: "the branches of groups and classes",
    generalist: "one branch for all classes",
    both: "the generalist, and the likeliest group's branches",
    flat: "the flat network's own end",
  };
  const form = make("select", { id: "form", onchange: (event) => {
    state.form = event.target.value;
    Explore.changed("form");
  } });
  const means = make("span", { class: "note" });
  const choice = make("div", { class: "form" }, make("label", { class: "field" }, make("span", {}, "Form"), form), means);
  card.append(
    make("div", { class: "head" },
      make("h2", { id: "cutout-title" }, "Cutout"),
      make("div", { class: "buttons" },
        button("All", () => Explore.choose(() => 1)),
        button("None", () => Explore.choose(() => 0)),
        button("Invert", () => Explore.choose((c) => !state.chosen[c])))),
    count,
    choice,
    body,
    line.element,
    names(),
  );

  // A command with its Copy button.
  function Explore_line(id, label) {
    const code = make("code", { id, tabindex: 0, "aria-label": label });
    const copy = make("button", { type: "button", class: "copy", onclick: () => copied(code, copy) }, "Copy");
    const element = make("div", { class: "command" }, code, copy);
    return {
      element,
      set(text, otherwise) {
        // an argument stays on one line where it can: "--weights" must not break after its hyphens
        const tokens = (text ?? otherwise).split(/(?<= )/);
        code.replaceChildren(...tokens.map((token) => (token.length < 38 ? make("span", { class: "token" }, token.trimEnd()) : token)).flatMap((part, i) => (typeof part === "string" ? [part] : tokens[i].endsWith(" ") ? [part, " "] : [part])));
        element.classList.toggle("empty", text === null);
        copy.disabled = text === null;
      },
    };
  }
  Explore.line = Explore_line;

  async function copied(code, button) {
    const text = code.textContent;
    let done = false;
    try {
      await navigator.clipboard.writeText(text);
      done = true;
    } catch {
      // not allowed in a file:// page by some browsers: select it and ask the old way
      const range = document.createRange();
      range.selectNodeContents(code);
      getSelection().removeAllRanges();
      getSelection().addRange(range);
      done = document.execCommand("copy");
    }
    button.textContent = done ? "Copied" : "Press Ctrl+C";
    Explore.say(done ? "Copied" : "The command is selected; press Ctrl+C");
    setTimeout(() => (button.textContent = "Copy"), 1600);
  }

  function names() {
    const field = (key, label) =>
      make("label", { class: "field" }, make("span", {}, label), make("input", { type: "text", value: state.files[key], spellcheck: "false", oninput: (event) => {
        state.files[key] = event.target.value || " ";
        Explore.changed("chosen", "gains");
      } }));
    const fields = [field("out", "folder"), field("data", "data")];
    if (!state.files.folder) fields.unshift(field("weights", "weights"));
    return make("details", { class: "names" }, make("summary", {}, "Names in the commands"), ...fields);
  }

  function figures(pane) {
    const costs = Explore.costsOf(pane), model = Explore.model(pane);
    if (!costs.plan) return make("p", { class: "note" }, `${model.name}: no costs, ${model.why ?? "they are not known"}.`);
    const full = costs.full(), flat = costs.flat(Explore.count);
    const rows = [["full", `full ${model.name}`, full], ["flat", `flat ${costs.plan.backbone}`, flat]];
    let part = null, sliced = null;
    if (state.total && state.total < Explore.count) {
      part = costs.cutout(state.chosen);
      sliced = costs.flat(part.classes);
      rows.unshift(["cutout", "cutout", part]);
      rows.push(["sliced", "flat, classifier sliced", sliced]);
    }
    for (const [kind, , row] of rows) row.ms = costs.ms(kind, row);
    const units = [["params", "params", format.whole], ["macs", "GMACs", format.giga]];
    if (model.time) units.push(["ms", "ms", format.ms]);
    const most = Object.fromEntries(units.map(([what]) => [what, Math.max(...rows.map((r) => r[2][what] ?? 0))]));
    const table = make("table", { "data-pane": pane },
      make("caption", { class: state.compare ? "" : "hidden" }, `${Explore.raw.sources[model.source].title} ${model.name}`),
      make("thead", {}, make("tr", {}, make("th", { scope: "col" }, make("span", { class: "hidden" }, "network; "), "% against full"), make("th", { scope: "col" }, "classes"), ...units.map(([, word]) => make("th", { scope: "col" }, word)))),
      make("tbody", {}, ...rows.map(([kind, label, row]) =>
        make("tr", { class: kind, "data-row": kind },
          make("th", { scope: "row" }, label),
          make("td", {}, format.whole(row.classes)),
          ...units.map(([what, , text]) => cell(what, row, text, most[what], kind, full))))));
    const box = make("div", { class: "model" }, table);
    if (part) {
      const verdict = Explore.verdict(part, sliced, ["the cutout", `the sliced flat ${costs.plan.backbone}`], Math.max(0.05, model.time?.error ?? 0));
      const saved = `Of its full network the cutout saves ${format.percent(1 - part.params / full.params)} of params and ${format.percent(1 - part.macs / full.macs)} of MACs.`;
      box.append(
        make("p", { class: `verdict ${verdict.loses ? "loses" : verdict.wins ? "wins" : ""}` }, verdict.text, verdict.loses ? " Slicing a trained flat classifier needs no re-training either." : ""),
        make("p", { class: "note" }, saved, ["generalist", "flat"].includes(costs.form)
          ? ` It is the trunk and the branch for all classes, with ${part.classes} of the rows of its classifier.`
          : ` Branches ${full.branches.join(" → ")} become ${part.branches.join(" → ")}${costs.form === "both" ? ", and the branch for all classes stays whole: MACs are at most these, as an image runs one group's branches" : ""}.`));
    } else {
      const verdict = Explore.verdict(full, flat, [`the full ${model.name}`, `the flat ${costs.plan.backbone}`]);
      box.append(make("p", { class: "verdict" }, verdict.text));
    }
    box.append(make("p", { class: "note" }, timing(model.time)));
    return box;
  }

  function cell(what, row, text, most, kind, full) {
    const value = row[what];
    if (value === null) return make("td", { "data-what": what }, "–", make("small", {}, "not measured"));
    const guess = what === "ms" && (kind === "cutout" || kind === "sliced");
    const bar = make("span", { class: "bar" });
    bar.style.setProperty("--share", (value / most).toFixed(4));
    const change = kind === "full" || full[what] === null ? "" : format.change(full[what], value);
    return make("td", { "data-what": what, "data-value": value, title: what === "macs" ? `${format.whole(value)} MACs` : null },
      `${guess ? "≈ " : ""}${text(value)}`, bar, make("small", {}, change));
  }

  function timing(t) {
    if (!t) return "ms: not measured; 'hiergen explore --measure' does it, 'hiergen cost' measures one cutout.";
    return `ms for a batch of ${t.batch}, ${t.threads} thread${t.threads === 1 ? "" : "s"}, ${t.machine}, torch ${t.torch}, median of ${t.runs} runs. ` +
      `Predicted (≈): ${format.ms(t.base)} ms + ${format.ms(t.slope)} ms per GMAC of branches, fitted to ${t.points.length} measured networks, at most ${format.percent(t.error)} off them.`;
  }

  function draw() {
    const model = Explore.model(0);
    const n = state.total, costs = Explore.costsOf(0);
    const forms = costs.forms.length > 1 ? costs.forms : Explore.panes().map((pane) => Explore.costsOf(pane).forms).at(-1);
    choice.hidden = forms.length < 2;
    form.replaceChildren(...forms.map((name) => make("option", { value: name, selected: name === state.form }, name)));
    means.textContent = FORMS[form.value];
    count.textContent = n === 0 ? "Click classes or groups to keep them." : n === Explore.count ? "All classes are chosen: that is the full network." : `${format.whole(n)} of ${format.classes(Explore.count)}`;
    body.replaceChildren(...Explore.panes().map(figures));
    line.set(Explore.cutoutLine(model, state.chosen, state.files), n ? "hiergen cutout: leave a class out, the whole network is no cutout" : "hiergen cutout …");
    if (n !== draw.before) {
      if (costs.plan && n && n < Explore.count) {
        const part = costs.cutout(state.chosen);
        Explore.say(`Cutout of ${format.classes(n)}: ${format.whole(part.params)} params, ${format.giga(part.macs)} giga MACs`);
      } else if (draw.before !== undefined) Explore.say(count.textContent);
    }
    draw.before = n;
  }

  Explore.on("chosen models layout form", draw);
})(globalThis.Explore);
