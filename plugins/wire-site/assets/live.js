/* SPDX-License-Identifier: Apache-2.0 */
/* live.js - tells a reader what happened since the page was made. The page is whole without it.
 *
 * Nothing moves under the reader: new dispatches wait behind a button. A withdrawal is shown at once.
 * Text from events is only ever set as textContent. */
"use strict";
(function () {
  var body = document.body, root = body.dataset.root, mode = body.dataset.live;
  var box = document.getElementById("live"), list = document.getElementById("wire-list");
  var seen = body.dataset.seq || "0", waiting = [], known = {}, paused = false, source = null, timer = 0;
  var gone = { kill: "This dispatch was withdrawn.", merge: "This story goes on in another dispatch.",
    withhold: "This dispatch is withheld while it is being checked." };
  if (!mode || !box || !window.EventSource) return;

  function make(tag, name, text) {
    var node = document.createElement(tag);
    if (name) node.className = name;
    if (text) node.textContent = text;
    return node;
  }
  function say(text, label, act) {
    box.replaceChildren(make("span", "", text));
    if (label) {
      var button = make("button", "", label);
      button.type = "button";
      button.addEventListener("click", act);
      box.append(button);
    }
    box.hidden = !text;
  }
  function reload() { location.reload(); }
  function held(id) {
    return Array.prototype.filter.call(document.querySelectorAll("[data-id]"), function (node) {
      return node.dataset.id === id;
    });
  }
  function when(ms) {
    var iso = new Date(ms).toISOString();
    return iso.slice(0, 10) + ", " + iso.slice(11, 16) + " UTC";
  }
  function link(event) {
    var a = make("a", "", event.headline);
    if (/^d\/[0-9a-f]{6,32}\/$/.test(event.path)) a.href = root + event.path;
    return a;
  }
  function item(event) {
    var node = make("article", "item new"), title = make("h3"), dsp = make("p", "meta");
    node.dataset.id = event.id;
    title.dir = "auto";
    title.append(link(event));
    dsp.append(make("span", "dsp", event.dsp));
    node.append(make("p", "when", when(event.time_ms)), make("p", "filed", event.beat), title);
    if (event.dek) node.append(make("p", "dek", event.dek));
    node.append(dsp);
    return node;
  }
  function show() {
    waiting.forEach(function (event) { if (list) list.prepend(item(event)); });
    waiting = [];
    say("");
    if (list) list.scrollIntoView({ block: "start" });
  }
  function withdraw(event) {
    waiting = waiting.filter(function (other) { return other.id !== event.id; });
    held(event.id).forEach(function (node) {
      var note = make("p", "notice correction", gone[event.act] + " " + (event.note || ""));
      if (mode === "front") node.classList.add("gone");
      node.replaceChildren(note);
    });
  }
  function counted() {
    if (waiting.length > 0)
      say(waiting.length === 1 ? "1 new dispatch" : waiting.length + " new dispatches", "Show", show);
  }
  function handle(message) {
    var event = JSON.parse(message.data), key = event.id + " " + event.version;
    seen = message.lastEventId || seen;
    if (known[key]) return;
    known[key] = true;
    if (gone[event.act]) return withdraw(event);
    if (mode === "dispatch") {
      if (held(event.id).length > 0)
        say(event.act === "correction" ? "This dispatch was corrected." : "This dispatch was updated.", "Reload", reload);
      return;
    }
    var nodes = held(event.id);
    if (nodes.length > 0) {
      nodes.forEach(function (node) {
        var title = node.querySelector("h2, h3");
        if (title) title.replaceChildren(link(event));
      });
      return;
    }
    waiting = waiting.filter(function (other) { return other.id !== event.id; });
    waiting.push(event);
    counted();
  }
  function close() { if (source) source.close(); source = null; }
  function open() {
    if (source || paused) return;
    source = new EventSource(root + "live?after=" + encodeURIComponent(seen));
    ["dispatch", "update", "correction", "kill", "merge", "withhold"].forEach(function (kind) { source.addEventListener(kind, handle); });
    source.addEventListener("hello", function (message) { seen = message.lastEventId || seen; });
    source.addEventListener("reset", function (message) {
      seen = message.lastEventId || seen;
      say("This page is out of date.", "Reload", reload);
    });
    source.addEventListener("error", function () {
      if (!source || source.readyState !== EventSource.CLOSED) return;
      close();
      setTimeout(open, 60000 + Math.random() * 30000);
    });
  }
  document.addEventListener("visibilitychange", function () {
    clearTimeout(timer);
    if (document.hidden) timer = setTimeout(close, 60000);
    else open();
  });
  var state = document.querySelector(".onair .reload");
  if (state) {
    var pause = make("button", "pause", "Pause updates");
    pause.type = "button";
    pause.addEventListener("click", function () {
      paused = !paused;
      pause.textContent = paused ? "Resume updates" : "Pause updates";
      if (paused) close(); else open();
    });
    state.after(pause);
  }
  open();
})();
