"use strict";
// What differs between two texts, word by word and field by field, in bounded time whatever a model wrote.
const differences = (() => {
  const MAX_CHARACTERS = 40000; // of both texts together
  const MAX_EDITS = 400; // words
  const MAX_FIELDS = 300;
  const MAX_DEPTH = 20;
  // A run of white space, a character of a script without spaces, a word, or any other character.
  const UNSPACED = "[\\p{Script=Han}\\p{Script=Hiragana}\\p{Script=Katakana}\\p{Script=Thai}\\p{Script=Lao}\\p{Script=Khmer}\\p{Script=Myanmar}]";
  const TOKEN = new RegExp(`\\s+|${UNSPACED}\\p{M}*|(?:(?!${UNSPACED})[\\p{L}\\p{M}\\p{N}_])+|[^]`, "gu");

  const isSpace = (token) => token.trim() === "";

  // The greedy forward search of Myers, "An O(ND) difference algorithm and its variations" (1986): how far each
  // diagonal got before each round, or null when more than MAX_EDITS words differ.
  function search(from, to) {
    const most = Math.min(from.length + to.length, MAX_EDITS);
    const middle = most + 1;
    const far = new Int32Array(2 * most + 3);
    const rounds = [];
    for (let edits = 0; edits <= most; edits += 1) {
      rounds.push(far.slice(middle - edits - 1, middle + edits + 2));
      for (let k = -edits; k <= edits; k += 2) {
        let x = isInsertion(far, middle, edits, k) ? far[middle + k + 1] : far[middle + k - 1] + 1;
        while (x < from.length && x - k < to.length && from[x] === to[x - k]) x += 1;
        far[middle + k] = x;
        if (x >= from.length && x - k >= to.length) return rounds;
      }
    }
    return null;
  }

  function isInsertion(far, middle, edits, k) {
    return k === -edits || (k !== edits && far[middle + k - 1] < far[middle + k + 1]);
  }

  // The shortest edit as steps [kind, place in from, place in to]: "=" in both, "-" only in from, "+" only in to.
  function steps(from, to) {
    const rounds = search(from, to);
    if (rounds === null) return null;
    const found = [];
    let x = from.length;
    let y = to.length;
    for (let edits = rounds.length - 1; edits >= 0; edits -= 1) {
      const k = isInsertion(rounds[edits], edits + 1, edits, x - y) ? x - y + 1 : x - y - 1;
      const startX = rounds[edits][edits + 1 + k];
      const startY = startX - k;
      while (x > startX && y > startY) found.push(["=", --x, --y]);
      if (edits > 0) found.push(x === startX ? ["+", x, --y] : ["-", --x, y]);
    }
    return found.reverse();
  }

  // Runs [kind, text], or null where there is too much to mark. White space of any length counts as equal, and
  // white space between two changes belongs to them.
  function words(from, to) {
    if (from.length + to.length > MAX_CHARACTERS) return null;
    const [a, b] = [from, to].map((text) => text.match(TOKEN) || []);
    const [keysA, keysB] = [a, b].map((tokens) => tokens.map((token) => (isSpace(token) ? " " : token)));
    const path = steps(keysA, keysB);
    if (path === null) return null;
    const runs = [];
    let removed = "";
    let added = "";
    const flush = () => {
      if (removed) runs.push(["-", removed]);
      if (added) runs.push(["+", added]);
      removed = added = "";
    };
    path.forEach(([kind, x, y], at) => {
      const isBetween = (removed || added) && at + 1 < path.length && path[at + 1][0] !== "=";
      const isInner = kind === "=" && isBetween && isSpace(b[y]);
      if (kind === "-" || isInner) removed += a[x];
      if (kind === "+" || isInner) added += b[y];
      if (kind !== "=" || isInner) return;
      flush();
      if (runs.length && runs[runs.length - 1][0] === "=") runs[runs.length - 1][1] += b[y];
      else runs.push(["=", b[y]]);
    });
    flush();
    return runs;
  }

  // The object or list that a text holds: the whole text, else what stands from its first bracket to its last.
  function structure(text) {
    if (text.length > MAX_CHARACTERS) return null;
    const inner = text.slice(Math.max(text.search(/[[{]/), 0), Math.max(text.lastIndexOf("}"), text.lastIndexOf("]")) + 1);
    for (const part of [text, inner]) {
      try {
        const value = JSON.parse(part);
        if (value !== null && typeof value === "object") return value;
      } catch { /* not JSON: the next part, or no structure */ }
    }
    return null;
  }

  // Each leaf's path and JSON text; null when the value is too large or too deep to be shown as a table.
  function leaves(value) {
    const found = new Map();
    const open = [["", value, 0]];
    while (open.length) {
      const [path, item, depth] = open.pop();
      const inner = item !== null && typeof item === "object" ? Object.entries(item) : [];
      if (!inner.length) found.set(path || "(all)", JSON.stringify(item));
      if (inner.length && (depth === MAX_DEPTH || found.size + open.length + inner.length > MAX_FIELDS)) return null;
      for (const [key, next] of inner.reverse()) {
        const isName = !Array.isArray(item) && /^[\p{L}_][\p{L}\p{N}_-]*$/u.test(key);
        const step = isName ? (path ? "." : "") + key : `[${Array.isArray(item) ? key : JSON.stringify(key)}]`;
        open.push([path + step, next, depth + 1]);
      }
    }
    return found;
  }

  // Rows [path, JSON text in each of the texts or undefined], and which texts hold a structure at all; null when
  // fewer than two do.
  function fields(texts) {
    const values = texts.map((text) => (text === null ? null : structure(text)));
    const found = values.map((value) => (value === null ? null : leaves(value)));
    if (found.filter(Boolean).length < 2 || values.some((value, at) => value && !found[at])) return null;
    const paths = [...new Set(found.flatMap((leaf) => (leaf ? [...leaf.keys()] : [])))];
    const rows = paths.map((path) => [path, found.map((leaf) => (leaf ? leaf.get(path) : undefined))]);
    return { rows, held: found.map(Boolean) };
  }

  return { words, fields };
})();
