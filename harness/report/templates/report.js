"use strict";
for (const button of document.querySelectorAll("button[data-toggle]")) {
  button.addEventListener("click", () => {
    const all = [...document.querySelectorAll(`#${button.dataset.toggle} details`)];
    const open = !all.every((item) => item.open);
    for (const item of all) item.open = open;
  });
}
for (const button of document.querySelectorAll("button[data-copy]")) {
  button.addEventListener("click", async () => {
    const source = document.getElementById(button.dataset.copy);
    try {
      await navigator.clipboard.writeText(source.textContent);
      button.textContent = "Copied";
    } catch {
      // A page opened from a file may not write to the clipboard: select the text for the user instead.
      source.closest("details")?.setAttribute("open", "");
      getSelection().selectAllChildren(source);
      button.textContent = "Selected: press Ctrl-C";
    }
  });
}
