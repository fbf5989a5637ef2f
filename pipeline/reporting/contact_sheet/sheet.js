"use strict";
const one = (id) => document.getElementById(id);
const all = (selector, within = document) => [...within.querySelectorAll(selector)];
const points = all("#points use");
const strips = all(".strip").map((strip) => {
  const video = strip.closest(".video");
  const texts = [...all(".name,.uid", video), ...all(".label,.split", strip)].map((part) => part.textContent);
  return { strip, video, text: texts.join(" ").toLowerCase() };
});
const pointOf = new Map(points.map((point) => [Number(point.dataset.frame), point]));
let chosen = null;

const figureOf = (point) => one("f" + point.dataset.frame);
const isShown = (point) => !point.classList.contains("out");
const place = (point) => [Number(point.getAttribute("x")), Number(point.getAttribute("y"))];

/* The address after # keeps the filter and the chosen frame, so that a view can be linked to. */
function remember() {
  const state = new URLSearchParams();
  if (one("filter").value) state.set("filter", one("filter").value);
  if (one("split")?.value) state.set("split", one("split").value);
  if (chosen) state.set("frame", chosen.dataset.frame);
  history.replaceState(null, "", "#" + state);
}

function filter() {
  const words = one("filter").value.toLowerCase().split(/\s+/).filter(Boolean);
  const split = one("split")?.value ?? "";
  const videos = new Set();
  let frames = 0;
  for (const { strip, video, text } of strips) {
    const matches = words.every((word) => text.includes(word)) && (!split || strip.dataset.split === split);
    strip.hidden = !matches;
    if (!matches) continue;
    videos.add(video);
    frames += all(".frame", strip).length;
  }
  for (const video of all(".video")) video.hidden = !videos.has(video);
  for (const [number, point] of pointOf) point.classList.toggle("out", one("f" + number).closest(".strip").hidden);
  for (const pair of all(".pair")) {
    pair.hidden = all("figure", pair).every((side) => one("f" + side.dataset.of).closest(".strip").hidden);
  }
  if (!chosen || !isShown(chosen)) chooseAny();
  const count = (number, noun) => `${number.toLocaleString("en")} ${noun}${number === 1 ? "" : "s"}`;
  one("matches").textContent = `${count(videos.size, "video")}, ${count(frames, "frame")}`;
}

/* What a point stands for, in one line. */
function described(point) {
  const figure = figureOf(point);
  const label = figure.closest(".strip").querySelector(".label")?.textContent;
  const name = figure.closest(".video").querySelector(".name").textContent;
  return [name, figure.querySelector("time").textContent, label].filter(Boolean).join(", ");
}

function made(tag, text) {
  const element = document.createElement(tag);
  element.textContent = text;
  return element;
}

function choose(point, focus) {
  chosen?.setAttribute("tabindex", "-1");
  chosen = point;
  point.setAttribute("tabindex", "0");
  const [x, y] = place(point);
  one("ring").setAttribute("cx", x);
  one("ring").setAttribute("cy", y);
  one("ring").classList.add("on");
  const figure = figureOf(point);
  const caption = figure.querySelector("figcaption").cloneNode(true);
  const heading = figure.closest(".strip").querySelector("h4").cloneNode(true);
  const go = made("button", "Show in its video");
  go.type = "button";
  go.addEventListener("click", () => reveal(figure));
  const name = figure.closest(".video").querySelector(".name").textContent;
  one("shown").replaceChildren(figure.querySelector("img").cloneNode(), made("h3", name), heading, caption, go);
  if (focus) point.focus();
}

/* So that the map can always be reached with the Tab key, and the panel shows what the map shows. */
function chooseAny() {
  const first = points.filter(isShown).at(-1);
  if (first) choose(first, false);
  one("ring")?.classList.toggle("on", Boolean(first));
}

function reveal(figure) {
  figure.closest(".video").open = true;
  figure.scrollIntoView({ block: "center" });
  figure.focus({ preventScroll: true });
  figure.classList.add("found");
  setTimeout(() => figure.classList.remove("found"), 2000);
}

/* The nearest point in the direction of an arrow key: sideways distance counts three times. */
function neighbor(point, [right, down]) {
  const [x, y] = place(point);
  let best = null;
  let least = Infinity;
  for (const other of points) {
    const [ox, oy] = place(other);
    const along = (ox - x) * right + (oy - y) * down;
    const across = Math.abs((ox - x) * down) + Math.abs((oy - y) * right);
    if (other !== point && isShown(other) && along > 0 && along + 3 * across < least) {
      least = along + 3 * across;
      best = other;
    }
  }
  return best;
}

const ARROWS = { ArrowRight: [1, 0], ArrowLeft: [-1, 0], ArrowDown: [0, 1], ArrowUp: [0, -1] };

function key(event) {
  if (event.key === "Enter" || event.key === " ") reveal(figureOf(event.target));
  else if (ARROWS[event.key]) {
    const next = neighbor(event.target, ARROWS[event.key]);
    if (next) choose(next, true);
  } else return;
  event.preventDefault();
}

/* The point nearest to where the map was clicked or tapped, within the width of a finger. */
function nearest(event) {
  const at = new DOMPoint(event.clientX, event.clientY).matrixTransform(one("points").getScreenCTM().inverse());
  const reach = 24 / one("points").getScreenCTM().a;
  const distance = (point) => Math.hypot(place(point)[0] - at.x, place(point)[1] - at.y);
  const near = points.filter((point) => isShown(point) && distance(point) <= reach);
  return near.sort((a, b) => distance(a) - distance(b))[0];
}

function start() {
  const state = new URLSearchParams(location.hash.slice(1));
  one("filter").value = state.get("filter") ?? "";
  if (one("split")) one("split").value = state.get("split") ?? "";
  for (const point of points) {
    point.setAttribute("role", "button");
    point.setAttribute("tabindex", "-1");
    point.setAttribute("aria-label", described(point));
  }
  filter();
  const asked = pointOf.get(Number(state.get("frame") ?? NaN));
  if (asked) choose(asked, false);
}

one("filter").addEventListener("input", () => { filter(); remember(); });
one("split")?.addEventListener("change", () => { filter(); remember(); });
one("open-all").addEventListener("click", () => all(".video").forEach((video) => { video.open = true; }));
one("close-all").addEventListener("click", () => all(".video").forEach((video) => { video.open = false; }));
one("points")?.addEventListener("keydown", (event) => { if (pointOf.size && event.target.dataset.frame) key(event); });
one("points")?.addEventListener("click", (event) => {
  const point = event.target.dataset.frame ? event.target : nearest(event);
  if (point) { choose(point, true); remember(); }
});
for (const button of all("[data-filter]")) {
  button.addEventListener("click", () => {
    one("filter").value = one("filter").value === button.dataset.filter ? "" : button.dataset.filter;
    filter();
    remember();
  });
}
for (const link of all(".pair a")) {
  link.addEventListener("click", (event) => { event.preventDefault(); reveal(one(link.hash.slice(1))); });
}
start();
