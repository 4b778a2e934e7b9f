// The console works without this script. It offers what a page cannot do without one: to copy, and to stay current.
"use strict";

function offerCopies(within) {
  for (const row of within.querySelectorAll("[data-copies]")) {
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
}

// A page that names a stream of its versions is asked for again when it has another one, while somebody looks at it.
const live = {
  stream: null, latest: null, busy: false,

  region: () => document.querySelector("[data-live]"),

  follow() {
    if (!live.region() || live.stream || document.hidden) return;
    live.stream = new EventSource(live.region().dataset.live);
    live.stream.addEventListener("version", live.hears);
    live.stream.addEventListener("error", () => {
      if (live.stream?.readyState === EventSource.CLOSED) live.leave(); // it was refused; others are tried again by the browser
    });
  },

  leave() {
    live.stream?.close();
    live.stream = null;
  },

  async hears(event) {
    live.latest = event.data;
    if (live.busy) return;
    live.busy = true;
    try {
      while (live.latest && live.region() && live.latest !== live.region().dataset.version) {
        live.latest = null; // what is asked for now is at least as new
        await live.renew();
      }
    } catch { // the page stays as it is until the next event
    } finally {
      live.busy = false;
    }
  },

  async renew() {
    const response = await fetch(location.href);
    if (response.status === 409) return live.leave(); // another Group was chosen since, in another tab
    if (!response.ok || response.redirected) {
      live.leave();
      location.reload(); // it is gone, or the session is over: the answer to a person says so
      return;
    }
    const next = new DOMParser().parseFromString(await response.text(), "text/html").querySelector("main");
    const old = document.querySelector("main");
    if (!next || !old || String(getSelection()) !== "") return; // somebody is selecting text
    const at = old.contains(document.activeElement) ? document.activeElement : null;
    const opened = [...old.querySelectorAll("details")].map((one) => one.open);
    old.replaceWith(next);
    [...next.querySelectorAll("details")].forEach((one, i) => { if (opened.length > i) one.open = opened[i]; });
    offerCopies(next);
    if (at) live.refocus(next, at);
    setTimeout(() => { if (next.isConnected && live.region()) live.region().textContent = "This page has changed."; }, 100); // for screen readers
  },

  // refocus gives the focus to what stands for what had it.
  refocus(next, at) {
    const same = (one) => one.tagName === at.tagName && one.id === at.id && one.getAttribute("href") === at.getAttribute("href") &&
      one.textContent === at.textContent;
    const found = at.tagName === "MAIN" ? next : [...next.querySelectorAll("a, button, summary, [tabindex]")].find(same);
    (found ?? next).focus({ preventScroll: true });
  },
};

offerCopies(document);
live.follow();
document.addEventListener("visibilitychange", () => (document.hidden ? live.leave() : live.follow()));
addEventListener("pagehide", live.leave);
addEventListener("pageshow", live.follow);
