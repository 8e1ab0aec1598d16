"use strict";
// Text from data and models reaches the page through textContent only, never as markup.
(() => {
  const $ = (id) => document.getElementById(id);
  const data = JSON.parse($("review-data").textContent);
  const items = data.items.map(([id, messages, reference, a, b]) => ({ id, messages, reference, a, b }));
  const KEY = "harness-review-" + data.export;
  const CHOICES = { a: "A is better", b: "B is better", tie: "Tie" };

  // `undo` holds what each rating replaced, newest last: [item, choice before or null].
  const fresh = () => ({ rater: "", at: 0, ratings: {}, undo: [] });
  let state = fresh();

  // ---- theme ------------------------------------------------------------------------------------
  const themes = ["auto", "light", "dark"];
  function stored(key) {
    try { return localStorage.getItem(key); } catch { return null; } // storage may be forbidden
  }
  function store(key, text) {
    try { localStorage.setItem(key, text); return true; } catch { return false; }
  }
  function setTheme(name) {
    if (name === "auto") delete document.documentElement.dataset.theme;
    else document.documentElement.dataset.theme = name;
    $("theme").textContent = { auto: "◐ Auto", light: "○ Light", dark: "● Dark" }[name];
    $("theme").setAttribute("aria-label", "Colour theme: " + name);
    store("harness-theme", name);
    theme = name;
  }
  let theme;
  setTheme(themes.includes(stored("harness-theme")) ? stored("harness-theme") : "auto");
  $("theme").addEventListener("click", () => setTheme(themes[(themes.indexOf(theme) + 1) % themes.length]));

  // ---- state ------------------------------------------------------------------------------------
  function restore() {
    const known = new Set(items.map((item) => item.id));
    try {
      const kept = JSON.parse(stored(KEY));
      if (typeof kept.rater !== "string" || !Array.isArray(kept.undo)) return;
      const ratings = Object.entries(kept.ratings).filter(([id, choice]) => known.has(id) && Object.hasOwn(CHOICES, choice));
      const at = Number.isInteger(kept.at) ? Math.min(Math.max(kept.at, 0), items.length - 1) : 0;
      state = { rater: kept.rater, at, ratings: Object.fromEntries(ratings), undo: kept.undo.filter(([id]) => known.has(id)) };
    } catch { /* nothing kept, or not by this page: a fresh start */ }
  }

  function save() {
    if (!store(KEY, JSON.stringify(state))) say("This browser keeps nothing: export before you close the page.");
  }

  const rated = () => Object.keys(state.ratings).length;

  // ---- drawing ----------------------------------------------------------------------------------
  function say(text) { $("said").textContent = text; }

  function turn([role, content]) {
    const box = document.createElement("div");
    const title = document.createElement("h3");
    const text = document.createElement("pre");
    box.className = "box turn";
    title.textContent = { system: "System", user: "Question", assistant: "Earlier answer" }[role];
    text.dir = "auto";
    text.textContent = content;
    box.append(title, text);
    return box;
  }

  function draw() {
    const started = state.rater !== "";
    $("start").hidden = started;
    $("work").hidden = !started;
    $("export").disabled = !started || rated() === 0;
    $("count").textContent = `${rated()} of ${items.length} rated`;
    $("progress").max = items.length;
    $("progress").value = rated();
    if (!started) return;
    const item = items[state.at];
    const choice = state.ratings[item.id];
    $("place").textContent = `Item ${state.at + 1} of ${items.length}` + (choice ? `, rated: ${CHOICES[choice]}` : "");
    $("question").replaceChildren(...item.messages.map(turn));
    $("reference").hidden = item.reference === null;
    $("reference-text").textContent = item.reference || "";
    for (const side of ["a", "b"]) {
      $("text-" + side).textContent = item[side] || "(empty)";
      $("side-" + side).toggleAttribute("data-chosen", choice === side);
    }
    for (const button of document.querySelectorAll("[data-choice]")) {
      button.setAttribute("aria-pressed", String(button.dataset.choice === choice));
    }
    $("undo").disabled = state.undo.length === 0;
    $("rater").textContent = state.rater;
  }

  function show(at, said = "") {
    state.at = Math.min(Math.max(at, 0), items.length - 1);
    $("reference").open = false;
    say(said);
    save();
    draw();
    $("place").focus({ preventScroll: true }); // a screen reader reads on from here
    scrollTo(0, 0);
  }

  // ---- actions ----------------------------------------------------------------------------------
  function rate(choice) {
    const { id } = items[state.at];
    state.undo.push([id, state.ratings[id] || null]);
    state.ratings[id] = choice;
    const left = items.length - rated();
    show(state.at + 1, left ? `${CHOICES[choice]}. ${left} to go.` : "All items are rated: export your ratings with e.");
  }

  function undo() {
    const last = state.undo.pop();
    if (!last) return;
    const [id, before] = last;
    if (before) state.ratings[id] = before;
    else delete state.ratings[id];
    show(items.findIndex((item) => item.id === id), "Undone.");
  }

  function exportRatings() {
    if ($("export").disabled) return;
    const { export: digest, seed, examples } = data;
    const file = { ratings_version: 1, export: digest, seed, examples, rater: state.rater, ratings: state.ratings };
    const link = document.createElement("a");
    link.href = URL.createObjectURL(new Blob([JSON.stringify(file, null, 2) + "\n"], { type: "application/json" }));
    link.download = `ratings-${digest.slice(0, 12)}-${state.rater.replace(/[^\p{L}\p{N}]+/gu, "-")}.json`;
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 1000);
    say(`Exported ${rated()} of ${items.length} ratings as ${link.download}.`);
  }

  function startOver() {
    if (!confirm(`Remove the ${rated()} ratings of ${state.rater} from this browser? Export them first.`)) return;
    state = fresh();
    say("");
    save();
    draw();
    $("start").elements.rater.focus();
  }

  $("start").addEventListener("submit", (event) => {
    event.preventDefault();
    const name = $("start").elements.rater.value.trim();
    if (!name) return;
    state.rater = name;
    show(state.at);
  });
  for (const button of document.querySelectorAll("[data-choice]")) {
    button.addEventListener("click", () => rate(button.dataset.choice));
  }
  $("previous").addEventListener("click", () => show(state.at - 1));
  $("next").addEventListener("click", () => show(state.at + 1));
  $("undo").addEventListener("click", undo);
  $("export").addEventListener("click", exportRatings);
  $("restart").addEventListener("click", startOver);

  const previous = () => show(state.at - 1);
  const next = () => show(state.at + 1);
  const KEYS = {
    a: () => rate("a"), b: () => rate("b"), t: () => rate("tie"), u: undo, e: exportRatings,
    k: previous, ArrowLeft: previous, j: next, ArrowRight: next,
    r: () => { $("reference").open = !$("reference").open; },
  };
  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || event.repeat || !state.rater) return;
    const key = event.key.length === 1 ? event.key.toLowerCase() : event.key; // Caps Lock changes nothing
    if (event.target.closest("input") || !Object.hasOwn(KEYS, key)) return;
    event.preventDefault();
    KEYS[key]();
  });
  addEventListener("storage", (event) => { // the page is open twice: both show the same ratings
    if (event.key !== KEY) return;
    restore();
    draw();
  });

  restore();
  draw();
  if (!state.rater) $("start").elements.rater.focus();
})();
