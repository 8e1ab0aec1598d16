"use strict";
// One example with its answers, as nodes. Text from data and models reaches them through textContent only.
const exampleDetail = (() => {
  const MAX_SHOWN = 20000; // characters of one text before a button shows the rest
  const MAX_GROUPS = 8; // different answers of one system before a button shows the rest
  const TOLD = { better: "▲ better than ", worse: "▼ worse than ", same: "= same as " };

  function el(tag, attributes, ...children) {
    const node = document.createElement(tag);
    for (const [name, value] of Object.entries(attributes)) {
      if (value !== null && value !== false) node.setAttribute(name, value);
    }
    node.append(...children.filter((child) => child !== null && child !== ""));
    return node;
  }

  function button(text, act) {
    const node = el("button", { type: "button", class: "quiet" }, text);
    node.addEventListener("click", act);
    return node;
  }

  const count = (number) => number.toLocaleString("en");

  function textBlock(text, against) {
    const runs = against === null || text === against ? null : differences.words(against, text);
    const block = el("pre", { dir: "auto" });
    if (runs) block.append(...runs.map(([kind, part]) => (kind === "=" ? part : el(kind === "+" ? "ins" : "del", {}, part))));
    else block.textContent = text.slice(0, MAX_SHOWN) || "(empty)";
    if (text.length <= MAX_SHOWN || runs) return [block];
    const more = button(`Show all ${count(text.length)} characters`, () => { block.textContent = text; more.remove(); });
    return [block, more];
  }

  function groupSamples(data, samples) {
    const groups = new Map();
    for (const [text, problem, tie] of samples) {
      const key = `${text} ${problem}`;
      const group = groups.get(key) || { text: data.texts[text], problem: data.texts[problem], times: 0, tie: false };
      groups.set(key, Object.assign(group, { times: group.times + 1, tie: group.tie || tie === 1 }));
    }
    return [...groups.values()].sort((a, b) => b.times - a.times);
  }

  function drawSample(group, total, against) {
    const told = total > 1 ? `${group.times} of ${total} answers` + (group.problem ? `: ${group.problem}` : "") : "";
    const isEmpty = group.text === "" && group.problem !== "";
    return [
      told ? el("p", { class: "sample" }, told) : null,
      group.tie ? el("p", { class: "sample" }, "≈ near tie: rounding could have chosen another word") : null,
      ...(isEmpty ? [] : textBlock(group.text, against)),
    ].filter(Boolean);
  }

  function drawAnswer(data, title, answer, against) {
    const head = el("p", { class: "box-title" }, el("bdi", {}, title));
    if (!answer) return el("div", { class: "answer" }, head, el("p", { class: "none" }, "not asked"));
    const kind = answer.right === true ? "right" : answer.bad ? "wrong" : "";
    if (kind) head.append(" ", el("span", { class: "cell-" + kind }, kind === "right" ? "✓ right" : answer.failed ? "! failed" : "✕ wrong"));
    const scores = data.scorers.map((name, at) => [name, answer.scores[at]]).filter(([, score]) => score !== "–");
    const groups = groupSamples(data, answer.samples);
    const draw = (group) => drawSample(group, answer.samples.length, against);
    const rest = groups.slice(MAX_GROUPS);
    const more = rest.length ? button(`Show ${count(rest.length)} more`, () => more.replaceWith(...rest.flatMap(draw))) : null;
    return el("div", { class: "answer " + kind }, head,
      answer.problem ? el("p", { class: "problem" }, answer.problem) : null,
      ...groups.slice(0, MAX_GROUPS).flatMap(draw), more,
      scores.length ? el("p", { class: "scores-line" }, scores.map(([name, score]) => `${name} ${score}`).join(" · ")) : null);
  }

  // Against the reference each answer is right or wrong; without one the baseline is equal or unequal.
  function fieldCell(value, held, wanted, marks) {
    if (!held) return el("td", { class: "none" }, "no JSON");
    const shown = el("bdi", {}, value === undefined ? "missing" : value);
    if (marks === null) return el("td", {}, shown);
    const isEqual = value === wanted;
    return el("td", { class: isEqual ? marks.equal : marks.unequal }, isEqual ? marks.yes : marks.no, " ", shown);
  }

  function fieldTable(texts, names) {
    const found = differences.fields(texts);
    if (!found) return [];
    const marks = found.held[0] ? { yes: "✓", no: "✕", equal: "cell-right", unequal: "cell-wrong" }
      : { yes: "=", no: "≠", equal: "mark-same", unequal: "cell-unequal" };
    const from = found.held[0] ? 0 : 1; // the reference has a column where it has fields
    const head = el("tr", {}, ...["Field", ...names.slice(from)].map((name) => el("th", { scope: "col" }, el("bdi", {}, name))));
    const body = found.rows.map(([path, values]) => el("tr", {}, el("th", { scope: "row" }, el("bdi", {}, path)),
      ...values.slice(from).map((value, at) => fieldCell(value, found.held[at + from], values[from], at > 0 ? marks : null))));
    return [el("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": "Field by field" },
      el("table", { class: "fields" }, el("thead", {}, head), el("tbody", {}, ...body)))];
  }

  function legend(name) {
    return el("p", { class: "legend" }, el("ins", {}, "Underlined"), " is not in ", el("bdi", {}, name), ", ",
      el("del", {}, "struck out"), " is only there.");
  }

  // `marks` says from what differences are marked: "reference", "baseline" or "none".
  function draw(data, view, baseline, marks, buttons) {
    const { row } = view;
    const textOf = (answer) => (answer ? data.texts[answer.samples[0][0]] : null);
    const reference = row.reference === null ? null : data.texts[row.reference];
    const named = [["Candidate", view.candidate], ...(baseline === null ? [] : [[baseline, view.baseline]])];
    const isToReference = marks === "reference" && reference !== null;
    const other = marks === "none" ? null : isToReference ? reference : textOf(view.baseline);
    const boxes = named.map(([name, answer], at) => drawAnswer(data, name, answer, isToReference || at === 0 ? other : null));
    const answers = el("div", { class: "answers" },
      reference === null ? null : el("div", { class: "answer" }, el("p", { class: "box-title" }, "Reference"), ...textBlock(reference, null)),
      ...boxes);
    const fields = fieldTable([reference, ...named.map(([, answer]) => textOf(answer))], ["Reference", ...named.map(([name]) => name)]);
    const isSeveral = named.some(([, answer]) => answer && answer.samples.length > 1);
    const input = textBlock(data.texts[row.input], null);
    input[0].classList.add("input");
    return [
      el("div", { class: "detail-head" }, el("h3", {}, el("bdi", {}, row.id)),
        ...row.tags.map((tag) => el("span", { class: "chip" }, el("bdi", {}, data.tags[tag]))),
        view.outcome ? el("span", { class: "mark-" + view.outcome }, TOLD[view.outcome], el("bdi", {}, baseline)) : null,
        el("span", { class: "push" }, ...buttons)),
      el("h4", {}, "Input"), ...input,
      el("h4", {}, "Answers"), answers,
      ...(answers.querySelector("ins, del") ? [legend(isToReference ? "the reference" : baseline)] : []),
      ...(fields.length ? [el("h4", {}, isSeveral ? "First answers, field by field" : "Field by field"), ...fields] : []),
    ];
  }

  return { el, button, count, draw };
})();
