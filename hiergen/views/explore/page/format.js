// Numbers and words as the command line prints them.
"use strict";
(function (Explore) {
  const grouped = (n) => Math.round(n).toLocaleString("en-US");
  Explore.format = {
    whole: grouped,
    giga(n) { // as hiergen/console/amounts.py
      const leading = n > 0 ? -Math.floor(Math.log10(n / 1e9)) : 0;
      return (n / 1e9).toFixed(Math.min(Math.max(3, leading + 2), 6));
    },
    amount(n) {
      for (const [unit, size] of [["G", 1e9], ["M", 1e6], ["k", 1e3]]) {
        if (n >= size) return `${(n / size).toFixed(2)} ${unit}`;
      }
      return String(n);
    },
    percent: (share, digits = 1) => `${(100 * share).toFixed(digits)}\u00a0%`,
    change(before, after) {
      const text = (100 * (after / before - 1)).toFixed(1);
      return `${text > 0 ? "+" : ""}${text.replace("-", "−")}\u00a0%`;
    },
    ms: (n) => n.toFixed(n < 10 ? 2 : 1),
    classes: (n) => `${grouped(n)} class${n === 1 ? "" : "es"}`,
    levels: (nest, level) => (level === nest.depth ? "classes" : `level ${level}`),
    shape: (s) => `${s[0]} × ${s[1]} × ${s[2]}`,
  };
})(globalThis.Explore);
