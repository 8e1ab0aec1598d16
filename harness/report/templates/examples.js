// The browser of examples. Text from data and models reaches the page through textContent only, never as markup.
(() => {
  const ROW_HEIGHT = 58; // of .item in examples.css
  const SPARE_ROWS = 8; // drawn above and below what is seen
  const isBad = (answer) => answer !== null && answer.bad;
  // Key, label, whether it needs a baseline, which rows it shows.
  const VIEWS = [
    ["all", "All", false, () => true],
    ["worse", "▼ Regressions", true, (view) => view.outcome === "worse"],
    ["better", "▲ Fixes", true, (view) => view.outcome === "better"],
    ["flipped", "⇅ Flipped", true, (view) => ["better", "worse"].includes(view.outcome)],
    ["wrong", "✕ Wrong", false, (view) => isBad(view.candidate)],
    ["both", "✕✕ Both wrong", true, (view) => isBad(view.candidate) && isBad(view.baseline)],
    ["errors", "! Errors, cut off", false, (view) => view.shown.some((answer) => answer.problem)],
    ["ties", "≈ Near ties", false, (view) => view.shown.some((answer) => answer.tie)],
  ];
  const SORTS = [["worst", "worst first"], ["file", "as in the file"]];
  const DIFFS = [["reference", "reference"], ["baseline", "baseline"], ["none", "nothing"]];

  const { el, button, count, draw } = exampleDetail;
  const $ = (id) => document.getElementById(id);
  const form = $("filters");
  let data, rows, lower, state, visible = [], opened = null, missing = null, writing = 0;

  // ---- data ------------------------------------------------------------------------------------
  function readData() {
    data = JSON.parse($("example-data").textContent);
    lower = new Array(data.texts.length);
    const answers = data.answers.map(([samples, scores, right, failed, problem, value, outcome]) => ({
      samples, scores, right, failed: failed === 1, bad: failed === 1 || right === false, problem: data.texts[problem], value, outcome,
      tie: samples.some(([, , tie]) => tie === 1),
    }));
    rows = data.rows.map(([set, id, input, reference, tags, places], place) => ({
      place, set, id, input, reference, tags, answers: places.map((at) => (at === null ? null : answers[at])),
    }));
    data.answered = data.datasets.map((_, set) => {
      const ofSet = rows.filter((row) => row.set === set);
      return data.systems.map((_, system) => ofSet.some((row) => row.answers[system]));
    });
  }

  // The baseline that is shown: the chosen one, or another where the chosen one did not answer this data set.
  function baselineShown() {
    const answered = data.answered[state.set];
    return answered[state.vs] ? state.vs : answered.indexOf(true, 1);
  }

  function seen(row, system) {
    const candidate = row.answers[0];
    const baseline = system > 0 ? row.answers[system] : null;
    return { row, candidate, baseline, outcome: baseline ? baseline.outcome : "", shown: [candidate, baseline].filter(Boolean) };
  }

  function lowered(place) {
    return (lower[place] ??= data.texts[place].toLowerCase());
  }

  function holds(view, query) {
    const { row, shown } = view;
    return row.id.toLowerCase().includes(query) || lowered(row.input).includes(query)
      || (row.reference !== null && lowered(row.reference).includes(query))
      || shown.some((answer) => answer.samples.some(([text, problem]) => lowered(text).includes(query) || lowered(problem).includes(query)));
  }

  // The largest loss against the baseline first; among equals the lowest score of the candidate.
  function byWorst(a, b) {
    const value = (answer, none) => (answer && answer.value !== null ? answer.value : none);
    const gain = (view) => (view.outcome ? value(view.candidate, 0) - value(view.baseline, 0) : 0);
    return gain(a) - gain(b) || value(a.candidate, 2) - value(b.candidate, 2) || a.row.place - b.row.place;
  }

  // ---- state and address -----------------------------------------------------------------------
  function defaults() {
    return { set: 0, vs: Math.max(data.systems.indexOf(data.closest), 1), tag: -1, show: "all", sort: "worst", marks: "reference", q: "" };
  }

  function readHash() {
    state = defaults();
    opened = missing = null;
    const hash = new URLSearchParams(location.hash.includes("=") ? location.hash.slice(1) : "");
    for (const [key, names] of [["set", data.datasets], ["vs", data.systems], ["tag", data.tags]]) {
      const at = names.indexOf(hash.get(key));
      if (at >= (key === "vs" ? 1 : 0)) state[key] = at;
    }
    for (const [key, known] of [["show", VIEWS], ["sort", SORTS], ["marks", DIFFS]]) {
      if (known.some(([name]) => name === hash.get(key))) state[key] = hash.get(key);
    }
    state.q = hash.get("q") || "";
    if (!hash.has("id")) return;
    opened = rows.find((row) => row.set === state.set && row.id === hash.get("id")) || null;
    if (opened === null) missing = hash.get("id");
  }

  function address(filters) {
    const initial = defaults();
    const hash = new URLSearchParams({ set: data.datasets[state.set] });
    if (baselineShown() > 0) hash.set("vs", data.systems[baselineShown()]);
    for (const key of filters) if (state[key] !== initial[key]) hash.set(key, key === "tag" ? data.tags[state.tag] : state[key]);
    if (opened) hash.set("id", opened.id);
    return "#" + hash;
  }

  // Later and once, since a held key changes the state more often than browsers let a page change its address.
  function writeHash() {
    clearTimeout(writing);
    writing = setTimeout(() => history.replaceState(null, "", address(["show", "sort", "marks", "tag", "q"])), 150);
  }

  // ---- list ------------------------------------------------------------------------------------
  function filterRows() {
    const query = state.q.trim().toLowerCase();
    const system = baselineShown();
    const ofSet = rows.filter((row) => row.set === state.set);
    const pool = ofSet.filter((row) => state.tag < 0 || row.tags.includes(state.tag))
      .map((row) => seen(row, system)).filter((view) => !query || holds(view, query));
    for (const [key, , needsBaseline, test] of VIEWS) {
      const chip = $("show").querySelector(`[data-show="${key}"]`);
      chip.hidden = needsBaseline && system < 0 && state.show !== key;
      chip.querySelector("span").textContent = count(pool.filter(test).length);
      chip.setAttribute("aria-pressed", String(key === state.show));
    }
    visible = pool.filter(VIEWS.find(([key]) => key === state.show)[3]);
    if (state.sort === "worst") visible.sort(byWorst);
    $("shown").textContent = `${count(visible.length)} of ${count(ofSet.length)} examples`;
  }

  // The outcome of a row in a word or two, and its class.
  function mark({ candidate, outcome }) {
    const isCompared = outcome !== "";
    if (candidate && candidate.failed) return ["! failed", "mark-worse"];
    if (outcome === "better") return ["▲ better", "mark-better"];
    if (outcome === "worse") return ["▼ worse", "mark-worse"];
    if (candidate && candidate.bad) return isCompared ? ["= both wrong", "mark-same"] : ["✕ wrong", "mark-worse"];
    if (candidate && candidate.right) return isCompared ? ["= both right", "mark-same"] : ["✓ right", "mark-same"];
    return [isCompared ? "= same" : "", "mark-same"];
  }

  function drawItem(view, at) {
    const { row } = view;
    const [told, kind] = mark(view);
    const item = el("div", {
      class: "item", role: "option", id: "example-" + row.place, "data-at": at, "aria-selected": String(row === opened),
      "aria-posinset": at + 1, "aria-setsize": visible.length,
    },
    el("div", { class: "item-head" }, el("bdi", { class: "item-id" }, row.id), el("span", { class: kind }, told)),
    el("div", { class: "item-text", dir: "auto" }, data.texts[row.input].slice(0, 160)));
    item.style.top = at * ROW_HEIGHT + "px";
    return item;
  }

  const openedAt = () => visible.findIndex((view) => view.row === opened);

  // Only what is near the visible part is in the document, and the selected row, which the list points to.
  function drawList() {
    const list = $("list");
    const first = Math.max(0, Math.floor(list.scrollTop / ROW_HEIGHT) - SPARE_ROWS);
    const last = Math.min(visible.length, first + Math.ceil(list.clientHeight / ROW_HEIGHT) + 2 * SPARE_ROWS);
    const at = openedAt();
    const drawn = visible.slice(first, last).map((view, place) => drawItem(view, first + place));
    if (at >= 0 && at < first) drawn.unshift(drawItem(visible[at], at));
    if (at >= last) drawn.push(drawItem(visible[at], at));
    $("list-space").style.height = visible.length * ROW_HEIGHT + "px";
    $("list-space").replaceChildren(...drawn);
    if (at >= 0) list.setAttribute("aria-activedescendant", "example-" + opened.place);
    else list.removeAttribute("aria-activedescendant");
  }

  function keepInView(at) {
    const list = $("list");
    const top = at * ROW_HEIGHT;
    list.scrollTop = Math.min(Math.max(list.scrollTop, top + ROW_HEIGHT - list.clientHeight), top);
  }

  // ---- detail ----------------------------------------------------------------------------------
  function copyButton() {
    const copy = button("Copy link", async () => {
      const link = location.href.split("#")[0] + address([]);
      try {
        await navigator.clipboard.writeText(link);
        copy.textContent = "Copied";
      } catch { // no clipboard here, or it was refused
        history.replaceState(null, "", link);
        copy.textContent = "Copy the address bar";
      }
      setTimeout(() => { copy.textContent = "Copy link"; }, 2000);
    });
    return copy;
  }

  function drawDetail() {
    const detail = $("detail");
    const system = baselineShown();
    const pressed = detail.contains(document.activeElement) ? document.activeElement.textContent : null;
    detail.scrollTop = 0;
    if (!opened) {
      const text = missing === null ? "No example matches these filters." : `This report has no example “${missing}” in ${data.datasets[state.set]}.`;
      detail.replaceChildren(el("p", { class: "none" }, text));
      return;
    }
    const buttons = [copyButton(), button("Previous", () => move(-1)), button("Next", () => move(1))];
    detail.replaceChildren(...draw(data, seen(opened, system), system > 0 ? data.systems[system] : null, state.marks, buttons));
    // A pressed button was replaced with the rest; its successor keeps the focus.
    if (pressed !== null) (buttons.find((node) => node.textContent === pressed) || detail).focus({ preventScroll: true });
  }

  // ---- controls --------------------------------------------------------------------------------
  function open(at) {
    opened = visible[at].row;
    missing = null;
    keepInView(at);
    drawList();
    drawDetail();
    writeHash();
  }

  function move(by) {
    if (visible.length) open(Math.min(Math.max(openedAt() + by, 0), visible.length - 1));
  }

  function refresh() {
    filterRows();
    if (openedAt() < 0 && missing === null) opened = visible.length ? visible[0].row : null;
    $("list").scrollTop = 0;
    if (openedAt() > 0) keepInView(openedAt());
    drawList();
    drawDetail();
  }

  function change(changes) {
    Object.assign(state, changes);
    missing = null;
    fillControls();
    refresh();
    writeHash();
  }

  function fillControls() {
    const { set, vs, tag, sort, marks, q } = form.elements;
    if (vs.dataset.set !== String(state.set)) {
      const answered = data.answered[state.set];
      vs.replaceChildren(...data.systems.map((name, at) => el("option", { value: at }, name)).filter((_, at) => at > 0 && answered[at]));
      vs.parentElement.hidden = vs.options.length === 0;
      vs.dataset.set = state.set;
    }
    set.value = state.set;
    vs.value = baselineShown();
    tag.value = state.tag;
    sort.value = state.sort;
    marks.value = state.marks;
    if (q.value !== state.q) q.value = state.q;
  }

  function buildControls() {
    const { set, tag, sort, marks } = form.elements;
    const fill = (select, options) => select.append(...options.map(([value, name]) => el("option", { value }, name)));
    fill(set, data.datasets.map((name, at) => [at, name]));
    fill(tag, [[-1, "any"], ...data.tags.map((name, at) => [at, name])]);
    fill(sort, SORTS);
    fill(marks, DIFFS);
    set.parentElement.hidden = data.datasets.length < 2;
    tag.parentElement.hidden = data.tags.length === 0;
    for (const [key, label] of VIEWS) {
      const chip = el("button", { type: "button", "data-show": key, "aria-pressed": "false" }, label + " ", el("span", {}));
      chip.addEventListener("click", () => change({ show: key }));
      $("show").append(chip);
    }
  }

  function onForm(event) {
    const { set, vs, tag, sort, marks, q } = form.elements;
    // A data set that the chosen baseline did not answer shows another one; the choice is kept.
    const wished = event.target === vs ? Number(vs.value) : state.vs;
    change({ set: Number(set.value), vs: wished, tag: Number(tag.value), sort: sort.value, marks: marks.value, q: q.value });
  }

  const toList = () => $("list").focus({ preventScroll: true });

  function onListKey(event) {
    const by = { ArrowDown: 1, ArrowUp: -1, PageDown: 10, PageUp: -10, Home: -visible.length, End: visible.length }[event.key];
    if (by === undefined && event.key !== "Enter") return;
    event.preventDefault();
    if (event.key === "Enter") $("detail").focus();
    else move(by);
  }

  // Keys of one character can be switched off (WCAG 2.1.4), since speech input types them unasked.
  function onKey(event) {
    if (event.ctrlKey || event.metaKey || event.altKey || !$("shortcuts").checked) return;
    if (event.target.closest("input:not([type=checkbox]), select, textarea")) return;
    const act = {
      j: () => move(1), k: () => move(-1), "/": () => form.elements.q.focus(),
      f: () => change({ show: state.show === "flipped" ? "all" : "flipped" }),
    }[event.key];
    if (!act) return;
    event.preventDefault();
    $("browser").scrollIntoView({ block: "nearest" });
    if (event.key !== "/") toList();
    act();
  }

  function listen() {
    form.addEventListener("submit", (event) => { event.preventDefault(); toList(); });
    form.addEventListener("input", onForm);
    $("list").addEventListener("scroll", () => requestAnimationFrame(drawList));
    $("list").addEventListener("keydown", onListKey);
    $("list").addEventListener("click", (event) => {
      const item = event.target.closest(".item");
      if (item) open(Number(item.dataset.at));
    });
    $("browser").addEventListener("keydown", (event) => { if (event.key === "Escape") toList(); });
    document.addEventListener("keydown", onKey);
    addEventListener("resize", drawList);
    addEventListener("hashchange", () => {
      clearTimeout(writing);
      if (!location.hash.includes("=")) return;
      showHash();
      $("detail").focus({ preventScroll: true });
    });
  }

  function showHash() {
    readHash();
    filterRows();
    // A link to an example wins over the filters beside it, which may hide it after a new judgement.
    if (opened && openedAt() < 0) Object.assign(state, { tag: -1, show: "all", q: "" });
    fillControls();
    refresh();
    if (!location.hash.includes("=")) return;
    const isStacked = matchMedia("(max-width: 900px)").matches; // as in examples.css: the example stands below the list
    $(opened && isStacked ? "detail" : "examples").scrollIntoView({ block: "start" });
  }

  function start() {
    readData();
    if (!rows.length) return;
    $("examples-static").hidden = true;
    $("browser").hidden = false;
    buildControls();
    showHash();
    listen();
  }

  // The verdict is painted first; thousands of examples are parsed after it.
  requestAnimationFrame(() => setTimeout(start));
})();
