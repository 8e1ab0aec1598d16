"use strict";
// Text from data and models reaches the page through textContent only, never as markup.
(() => {
  const $ = (id) => document.getElementById(id);

  function el(tag, attributes, ...children) {
    const node = document.createElement(tag);
    for (const [name, value] of Object.entries(attributes || {})) {
      if (value !== null && value !== undefined && value !== false) node.setAttribute(name, value);
    }
    for (const child of children) {
      if (child !== null && child !== undefined && child !== "") node.append(child);
    }
    return node;
  }

  // ---- theme, copying, print -------------------------------------------------------------------
  const themes = ["auto", "light", "dark"];
  function storedTheme() {
    try { return localStorage.getItem("harness-theme"); } catch { return null; } // storage may be forbidden
  }
  function setTheme(theme) {
    if (theme === "auto") delete document.documentElement.dataset.theme;
    else document.documentElement.dataset.theme = theme;
    $("theme").textContent = { auto: "◐ Auto", light: "○ Light", dark: "● Dark" }[theme];
    $("theme").setAttribute("aria-label", "Colour theme: " + theme);
    try { localStorage.setItem("harness-theme", theme); } catch { /* the choice then lasts for this page */ }
  }
  let theme = themes.includes(storedTheme()) ? storedTheme() : "auto";
  setTheme(theme);
  $("theme").hidden = false;
  $("theme").addEventListener("click", () => {
    theme = themes[(themes.indexOf(theme) + 1) % themes.length];
    setTheme(theme);
  });

  for (const button of document.querySelectorAll("[data-copy]")) {
    if (!navigator.clipboard) continue;
    button.hidden = false;
    button.addEventListener("click", async () => {
      await navigator.clipboard.writeText($(button.dataset.copy).textContent);
      button.textContent = "Copied";
      setTimeout(() => { button.textContent = "Copy"; }, 1500);
    });
  }

  let opened = [];
  addEventListener("beforeprint", () => {
    opened = [...document.querySelectorAll("details:not([open])")];
    for (const node of opened) node.open = true;
  });
  addEventListener("afterprint", () => { for (const node of opened) node.open = false; });

  // ---- example browser -------------------------------------------------------------------------
  const ROW_HEIGHT = 58;
  const MARKS = {
    better: ["▲ better", "mark-better"], worse: ["▼ worse", "mark-worse"],
    same: ["= same", "mark-same"], failed: ["! failed", "mark-failed"], "": ["", ""],
  };
  const VIEWS = [
    ["all", "All", () => true],
    ["worse", "▼ Regressions", (row) => row.outcome === "worse"],
    ["better", "▲ Fixes", (row) => row.outcome === "better"],
    ["wrong", "✕ Wrong", (row) => row.candidate && row.candidate.right === false],
    ["errors", "! Errors", (row) => row.problem],
  ];
  let data, rows, state, visible = [], byKey = new Map();

  function readData() {
    data = JSON.parse($("example-data").textContent);
    rows = data.rows.map(([set, id, input, reference, tags, answers], place) => ({
      place, set, id, input, reference, tags, search: null,
      answers: answers.map((a) => a && { text: a[0], scores: a[1], right: a[2], failed: a[3], problem: a[4], outcome: a[5] }),
    }));
    for (const row of rows) byKey.set(row.set + "/" + row.id, row);
  }

  function defaults() {
    return { set: 0, vs: Math.max(data.systems.indexOf(data.closest), Math.min(1, data.systems.length - 1)), tag: -1, show: "all", q: "", id: null };
  }

  function readHash() {
    const found = defaults();
    const text = location.hash.slice(1);
    if (!text.includes("=")) return found;
    const hash = new URLSearchParams(text);
    const place = (names, key, fallback) => {
      const at = names.indexOf(hash.get(key));
      return at < 0 ? fallback : at;
    };
    found.set = place(data.datasets, "set", found.set);
    found.vs = Math.max(place(data.systems, "vs", found.vs), Math.min(1, data.systems.length - 1));
    found.tag = place(data.tags, "tag", -1);
    if (VIEWS.some(([key]) => key === hash.get("show"))) found.show = hash.get("show");
    found.q = hash.get("q") || "";
    found.id = hash.get("id");
    return found;
  }

  function writeHash() {
    const hash = new URLSearchParams();
    hash.set("set", data.datasets[state.set]);
    if (data.systems.length > 1) hash.set("vs", data.systems[state.vs]);
    if (state.show !== "all") hash.set("show", state.show);
    if (state.tag >= 0) hash.set("tag", data.tags[state.tag]);
    if (state.q) hash.set("q", state.q);
    if (state.id !== null) hash.set("id", state.id);
    history.replaceState(null, "", "#" + hash);
  }

  function searchText(row) {
    if (row.search === null) {
      const answers = row.answers.filter(Boolean).map((answer) => answer.text + "\n" + answer.problem);
      row.search = [row.id, row.input, row.reference || "", ...answers].join("\n").toLowerCase();
    }
    return row.search;
  }

  // What a filter sees of a row depends on the chosen baseline; it is looked up once per row and filter run.
  function seen(row) {
    const candidate = row.answers[0];
    const baseline = state.vs > 0 ? row.answers[state.vs] : null;
    return {
      candidate, baseline,
      outcome: baseline ? baseline.outcome : "",
      problem: Boolean((candidate && candidate.problem) || (baseline && baseline.problem)),
    };
  }

  function applyFilters() {
    const query = state.q.trim().toLowerCase();
    const pool = rows.filter((row) => row.set === state.set
      && (state.tag < 0 || row.tags.includes(state.tag))
      && (!query || searchText(row).includes(query)));
    const views = pool.map(seen);
    const chosen = VIEWS.find(([key]) => key === state.show)[2];
    visible = pool.filter((_, at) => chosen(views[at]));
    for (const [key, , test] of VIEWS) {
      const count = views.reduce((sum, view) => sum + (test(view) ? 1 : 0), 0);
      const button = $("show").querySelector(`[data-show="${key}"]`);
      button.querySelector("span").textContent = count.toLocaleString("en");
      button.setAttribute("aria-pressed", String(key === state.show));
    }
    const total = rows.reduce((sum, row) => sum + (row.set === state.set ? 1 : 0), 0);
    $("shown").textContent = `${visible.length.toLocaleString("en")} of ${total.toLocaleString("en")} examples`;
    if (!visible.some((row) => row.id === state.id)) state.id = visible.length ? visible[0].id : null;
  }

  function optionId(row) { return "example-" + row.place; }

  function drawItem(row, at) {
    const view = seen(row);
    const [mark, kind] = MARKS[view.candidate && view.candidate.failed ? "failed" : view.outcome];
    const item = el("div", {
      class: "item", role: "option", id: optionId(row), "aria-selected": String(row.id === state.id),
      "aria-posinset": at + 1, "aria-setsize": visible.length,
    },
    el("div", { class: "item-head" }, el("bdi", { class: "item-id" }, row.id), el("span", { class: kind }, mark)),
    el("div", { class: "item-text", dir: "auto" }, row.input.slice(0, 160)));
    item.style.top = at * ROW_HEIGHT + "px";
    item.addEventListener("click", () => select(at));
    return item;
  }

  function drawList() {
    const list = $("list");
    const first = Math.max(0, Math.floor(list.scrollTop / ROW_HEIGHT) - 6);
    const last = Math.min(visible.length, first + Math.ceil(list.clientHeight / ROW_HEIGHT) + 12);
    $("list-space").style.height = visible.length * ROW_HEIGHT + "px";
    $("list-space").replaceChildren(...visible.slice(first, last).map((row, at) => drawItem(row, first + at)));
    const current = visible.find((row) => row.id === state.id);
    const drawn = current && document.getElementById(optionId(current));
    if (drawn) list.setAttribute("aria-activedescendant", drawn.id);
    else list.removeAttribute("aria-activedescendant");
  }

  function parseObject(text) {
    try {
      const value = JSON.parse(text);
      return value !== null && typeof value === "object" && !Array.isArray(value) ? value : null;
    } catch { return null; }
  }

  function canonical(value) {
    if (value === null || typeof value !== "object") return JSON.stringify(value);
    if (Array.isArray(value)) return "[" + value.map(canonical).join(",") + "]";
    return "{" + Object.keys(value).sort().map((key) => JSON.stringify(key) + ":" + canonical(value[key])).join(",") + "}";
  }

  function fieldTable(reference, named) {
    const wanted = reference === null ? null : parseObject(reference);
    const parsed = named.map(([name, answer]) => [name, answer && parseObject(answer.text), answer && answer.text]);
    if (!wanted || !parsed.some(([, value]) => value)) return null;
    const keys = [...new Set([wanted, ...parsed.map(([, value]) => value || {})].flatMap((value) => Object.keys(value)))];
    const has = (value, key) => value && Object.hasOwn(value, key);
    const cell = (value, key, text) => {
      if (!value) return el("td", { class: "none" }, text ? "no JSON object" : "no answer");
      const right = has(value, key) === has(wanted, key) && canonical(value[key]) === canonical(wanted[key]);
      const shown = has(value, key) ? JSON.stringify(value[key]) : "missing";
      return el("td", { class: right ? "cell-right" : "cell-wrong" }, (right ? "✓ " : "✕ ") + shown);
    };
    const head = el("tr", {}, ...["Field", "Reference", ...parsed.map(([name]) => name)].map((name) => el("th", { scope: "col" }, name)));
    const body = keys.map((key) => el("tr", {}, el("th", { scope: "row" }, key),
      el("td", {}, has(wanted, key) ? JSON.stringify(wanted[key]) : "–"),
      ...parsed.map(([, value, text]) => cell(value, key, text))));
    return el("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": "Field by field" },
      el("table", {}, el("thead", {}, head), el("tbody", {}, ...body)));
  }

  function drawAnswer(title, answer) {
    if (!answer) return el("div", { class: "answer" }, el("p", { class: "box-title" }, title), el("p", { class: "none" }, "not asked"));
    const kind = answer.right === true ? "right" : answer.right === false || answer.failed ? "wrong" : "";
    const word = { right: "✓ right", wrong: answer.failed ? "! failed" : "✕ wrong", "": "" }[kind];
    const scores = data.scorers.map((name, at) => [name, answer.scores[at]]).filter(([, score]) => score !== "–");
    return el("div", { class: "answer " + kind },
      el("p", { class: "box-title" }, title, word ? " " : null, word ? el("span", { class: kind === "right" ? "cell-right" : "cell-wrong" }, word) : null),
      answer.problem ? el("p", { class: "problem" }, answer.problem) : null,
      el("pre", { dir: "auto" }, answer.text || (answer.failed ? "" : "(empty)")),
      scores.length ? el("p", { class: "scores-line" }, scores.map(([name, score]) => `${name} ${score}`).join(" · ")) : null);
  }

  function drawDetail() {
    const detail = $("detail");
    const row = state.id === null ? null : byKey.get(state.set + "/" + state.id);
    if (!row) {
      detail.replaceChildren(el("p", { class: "none" }, "No example matches these filters."));
      return;
    }
    const view = seen(row);
    const baseline = state.vs > 0 ? data.systems[state.vs] : null;
    const [mark, kind] = MARKS[view.outcome];
    const step = (text, by) => {
      const button = el("button", { type: "button", class: "quiet" }, text);
      button.addEventListener("click", () => move(by));
      return button;
    };
    const copy = el("button", { type: "button", class: "quiet" }, "Copy link");
    copy.hidden = !navigator.clipboard;
    copy.addEventListener("click", async () => {
      writeHash();
      await navigator.clipboard.writeText(location.href);
      copy.textContent = "Copied";
    });
    const named = [["Candidate", view.candidate], ...(baseline ? [[baseline, view.baseline]] : [])];
    const fields = fieldTable(row.reference, named);
    detail.replaceChildren(
      el("div", { class: "detail-head" }, el("h3", {}, el("bdi", {}, row.id)),
        ...row.tags.map((tag) => el("span", { class: "chip" }, el("bdi", {}, data.tags[tag]))),
        el("span", { class: kind }, mark ? `${mark}${baseline ? " than " + baseline : ""}`.replace("same than", "same as") : ""),
        el("span", { class: "push" }, copy, step("Previous", -1), step("Next", 1))),
      el("h4", {}, "Input"), el("pre", { class: "input", dir: "auto" }, row.input),
      el("h4", {}, "Answers"),
      el("div", { class: "answers" },
        row.reference === null ? null : el("div", { class: "answer" }, el("p", { class: "box-title" }, "Reference"), el("pre", { dir: "auto" }, row.reference)),
        ...named.map(([name, answer]) => drawAnswer(name, answer))),
      ...(fields ? [el("h4", {}, "Field by field"), fields] : []));
  }

  function keepInView(at) {
    const list = $("list");
    const top = at * ROW_HEIGHT;
    if (top < list.scrollTop) list.scrollTop = top;
    else if (top + ROW_HEIGHT > list.scrollTop + list.clientHeight) list.scrollTop = top + ROW_HEIGHT - list.clientHeight;
  }

  function select(at) {
    state.id = visible[at].id;
    keepInView(at);
    drawList();
    drawDetail();
    writeHash();
  }

  function move(by) {
    if (!visible.length) return;
    const at = visible.findIndex((row) => row.id === state.id);
    select(Math.min(Math.max(at + by, 0), visible.length - 1));
  }

  function fillControls() {
    const form = $("filters").elements;
    form.set.value = String(state.set);
    form.vs.value = String(state.vs);
    form.tag.value = String(state.tag);
    form.q.value = state.q;
  }

  function refresh() {
    applyFilters();
    $("list").scrollTop = 0;
    const at = visible.findIndex((row) => row.id === state.id);
    drawList();
    if (at > 0) { keepInView(at); drawList(); }
    drawDetail();
  }

  function buildControls() {
    const form = $("filters").elements;
    const options = (names, from) => names.map((name, at) => el("option", { value: at + from }, name));
    form.set.append(...options(data.datasets, 0));
    form.vs.append(...options(data.systems.slice(1), 1));
    form.tag.append(el("option", { value: -1 }, "any"), ...options(data.tags, 0));
    $("set-label").hidden = data.datasets.length < 2;
    $("vs-label").hidden = data.systems.length < 2;
    $("tag-label").hidden = data.tags.length === 0;
    for (const [key, label] of VIEWS) {
      const button = el("button", { type: "button", "data-show": key, "aria-pressed": "false" }, label + " ", el("span", {}));
      button.addEventListener("click", () => { state.show = key; refresh(); writeHash(); });
      $("show").append(button);
    }
  }

  function listen() {
    const form = $("filters");
    form.addEventListener("submit", (event) => event.preventDefault());
    form.addEventListener("input", () => {
      const { set, vs, tag, q } = form.elements;
      Object.assign(state, { set: Number(set.value), vs: Number(vs.value) || 0, tag: Number(tag.value), q: q.value });
      refresh();
      writeHash();
    });
    $("list").addEventListener("scroll", () => requestAnimationFrame(drawList));
    $("list").addEventListener("keydown", (event) => {
      const by = { ArrowDown: 1, ArrowUp: -1, PageDown: 10, PageUp: -10, Home: -visible.length, End: visible.length }[event.key];
      if (by === undefined) return;
      event.preventDefault();
      move(by);
    });
    document.addEventListener("keydown", (event) => {
      if (event.ctrlKey || event.metaKey || event.altKey || event.target.closest("input, select, textarea")) return;
      const by = { j: 1, k: -1 }[event.key];
      if (by !== undefined) {
        move(by);
        $("browser").scrollIntoView({ block: "nearest" });
      } else if (event.key === "/") {
        event.preventDefault();
        form.elements.q.focus();
      }
    });
    addEventListener("hashchange", () => {
      if (!location.hash.includes("=")) return;
      showHash();
    });
  }

  function showHash() {
    state = readHash();
    fillControls();
    refresh();
    $("examples").scrollIntoView({ block: "start" });
  }

  function start() {
    readData();
    if (!rows.length) return;
    state = readHash();
    $("browser").hidden = false;
    buildControls();
    fillControls();
    refresh();
    listen();
    if (location.hash.includes("=")) showHash();
  }

  // The verdict is painted first; thousands of examples are parsed after it.
  requestAnimationFrame(() => setTimeout(start));
})();
