"use strict";
(() => {
  const $ = (id) => document.getElementById(id);

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

  // What the examples are made of and every number beside them, as one file made of what the page holds already.
  $("raw").hidden = false;
  $("raw").addEventListener("click", () => {
    const text = (id) => $(id).textContent;
    const file = new Blob([`{"record":${text("record-data")},"examples":${text("example-data")}}\n`], { type: "application/json" });
    $("raw").href = URL.createObjectURL(file);
    setTimeout(() => URL.revokeObjectURL($("raw").href), 60_000);
  });

  let opened = [];
  addEventListener("beforeprint", () => {
    opened = [...document.querySelectorAll("details:not([open])")];
    for (const node of opened) node.open = true;
  });
  addEventListener("afterprint", () => { for (const node of opened) node.open = false; });
})();
