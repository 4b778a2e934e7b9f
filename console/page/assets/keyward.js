// The console works without this script. It offers what a page cannot do without one: to copy.
"use strict";
for (const row of document.querySelectorAll("[data-copies]")) {
  const button = row.querySelector("button"), says = row.querySelector("output");
  const source = document.getElementById(row.dataset.copies);
  if (!navigator.clipboard || !source) continue;
  row.classList.add("ready");
  button.addEventListener("click", async () => {
    try {
      await navigator.clipboard.writeText(source.textContent);
      says.textContent = "Copied";
    } catch {
      says.textContent = "Not copied: select the text";
    }
  });
}
