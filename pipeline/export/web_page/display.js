// What the page shows of results: bars of the likeliest classes, the timeline, and the list of times and classes.

const NUM_BARS = 5;
const GOLDEN_ANGLE = 137.5; // colors of neighboring classes differ most
const PERCENT = new Intl.NumberFormat("en", { style: "percent" });
const find = (id) => document.getElementById(id);

export class Display {
  // classes: their names. seek: called with the time of an entry that was chosen.
  constructor(classes, seek) {
    this.classes = classes;
    this.seek = seek;
    this.clear();
    find("timeline").onclick = (event) => {
      const { left, width } = find("timeline").getBoundingClientRect();
      seek(this.start + ((event.clientX - left) / width) * (this.end - this.start));
    };
  }

  clear() {
    this.segments = []; // { start, end, top, span, item }
    this.start = this.end = 0;
    find("segments").replaceChildren();
    find("timeline").replaceChildren(find("cursor"));
    for (const id of ["timeline", "found"]) find(id).hidden = true;
    find("bars").replaceChildren(element("li", "faint", "No frames yet."));
  }

  // Add results at increasing times. interval: seconds from one to the next. duration: of the whole video, if known.
  add(results, interval, duration) {
    for (const { time, top } of results) {
      const last = this.segments.at(-1);
      if (last?.top === top) last.end = time + interval;
      else this.segments.push(this.newSegment(time, time + interval, top));
      if (last && last.top !== top) last.end = time;
    }
    if (!this.segments.length) return;
    this.start = this.segments[0].start;
    this.end = Math.max(this.start + (duration ?? 0), this.segments.at(-1).end);
    for (const id of ["timeline", "found"]) find(id).hidden = false;
    this.place();
  }

  newSegment(start, end, top) {
    const span = element("div", "span");
    span.title = this.classes[top];
    span.style.setProperty("--hue", hue(top));
    find("timeline").append(span);
    const item = element("button");
    item.type = "button";
    item.onclick = () => this.seek(start);
    const swatch = element("span", "swatch");
    swatch.style.setProperty("--hue", hue(top));
    item.append(swatch, element("span", "faint"), element("span", "", this.classes[top]));
    const row = element("li");
    row.append(item);
    find("segments").append(row);
    return { start, end, top, span, item };
  }

  place() {
    const share = (time) => `${(100 * (time - this.start)) / (this.end - this.start)}%`;
    for (const { start, end, span, item } of this.segments) {
      span.style.left = share(start);
      span.style.width = share(this.start + end - start);
      item.children[1].textContent = `${clock(start)} – ${clock(end)}`;
    }
  }

  // Show one result, { time, shares }, in the bars and on the timeline.
  show({ time, shares }) {
    const order = [...shares.keys()].sort((a, b) => shares[b] - shares[a]).slice(0, NUM_BARS);
    find("bars").replaceChildren(...order.map((index) => this.bar(index, shares[index])));
    find("cursor").style.left = `${(100 * (time - this.start)) / Math.max(this.end - this.start, 1e-9)}%`;
  }

  bar(index, share) {
    const [row, name, track, fill] = [element("li"), element("div", "name"), element("div", "track"), element("div", "fill")];
    name.append(element("span", "", this.classes[index]), element("span", "", PERCENT.format(share)));
    fill.style.width = `${100 * share}%`;
    fill.style.setProperty("--hue", hue(index));
    track.append(fill);
    row.append(name, track);
    return row;
  }
}

// Text of a CSV file of all results.
export function asCsv(results, classes) {
  const quoted = (text) => `"${text.replaceAll('"', '""')}"`;
  const lines = results.map(({ time, top, shares }) => `${time.toFixed(3)},${quoted(classes[top])},${shares[top].toFixed(4)}`);
  return ["time_seconds,class,probability", ...lines, ""].join("\n");
}

export function element(tag, name = "", text = "") {
  const made = document.createElement(tag);
  if (name) made.className = name;
  made.textContent = text;
  return made;
}

const hue = (index) => (200 + index * GOLDEN_ANGLE) % 360;

function clock(seconds) {
  const whole = Math.floor(seconds / 60);
  return `${whole}:${(seconds - 60 * whole).toFixed(1).padStart(4, "0")}`;
}
