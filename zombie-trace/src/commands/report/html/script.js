
"use strict";
// Everything is shown without this script. It sorts, searches, selects a part of the run, shows values and
// copies tables. Texts of the recording are only ever set as text.
const $ = selector => document.querySelector(selector);
const $$ = selector => [...document.querySelectorAll(selector)];
const data = JSON.parse($("#data").textContent);
const log = ns => Math.log2(Math.max(ns, 1));

// As the rest of the page writes durations.
const human = ns => {
  if (ns < 1000) return `${Math.round(ns)} ns`;
  for (const [unit, size, limit] of [["µs", 1e3, 999.5], ["ms", 1e6, 999.5], ["s", 1e9, 59.95]]) {
    const value = ns / size;
    if (value < limit) return `${value.toFixed(value < 9.995 ? 2 : value < 99.95 ? 1 : 0)} ${unit}`;
  }
  const seconds = Math.round(ns / 1e9), minutes = Math.floor(seconds / 60), hours = Math.floor(seconds / 3600);
  const two = number => String(number).padStart(2, "0");
  if (hours < 1) return `${minutes}m${two(seconds % 60)}s`;
  return hours < 100 ? `${hours}h${two(minutes % 60)}m` : `${Math.floor(hours / 24)}d${two(hours % 24)}h`;
};
// A zombie time, no finer than its error.
const lasted = ns => ns < data.error ? `<${human(data.error).replace(/\.0+ /, " ")}` : human(ns);
const grouped = number => String(number).replace(/\B(?=(\d{3})+$)/g, ",");

// Sorts a table by the column whose heading is pressed: numbers largest first, then the other way.
for (const button of $$("th button")) {
  button.addEventListener("click", () => {
    const th = button.closest("th"), body = th.closest("table").tBodies[0];
    const column = th.cellIndex, number = th.classList.contains("n");
    const sorted = th.getAttribute("aria-sort");
    const up = sorted ? sorted !== "ascending" : !number;
    const key = row => number ? Number(row.cells[column].dataset.v ?? -1) : row.cells[column].textContent;
    const compare = (a, b) => number ? a - b : a.localeCompare(b, "en");
    const rows = [...body.rows].map(row => [key(row), row]);
    rows.sort(([a], [b]) => up ? compare(a, b) : compare(b, a));
    body.append(...rows.map(([, row]) => row));
    for (const other of th.parentNode.cells) other.removeAttribute("aria-sort");
    th.setAttribute("aria-sort", up ? "ascending" : "descending");
  });
}

// The zombies, as objects.
const dots = data.dots.map(([end, time, pid, comm, parent, ppid, status, how, reaper, cause, count, ...phases]) => ({
  end: end * 1000, time, pid, ppid, count, phases, comm: data.texts[comm], parent: data.texts[parent],
  status: data.texts[status], how: data.texts[how], reaper: data.texts[reaper], cause: data.texts[cause],
}));
const dotX = dot => data.length ? Math.min(dot.end / data.length, 1) : 0;
const dotY = dot => {
  const [low, high] = data.scale;
  return 1 - (Math.min(Math.max(log(dot.time), low), high) - low) / (high - low);
};
// The parents' rows hold their command lines.
const commandLines = new Map();
for (const row of document.querySelector("#parents")?.tBodies[0].rows ?? []) {
  commandLines.set(row.cells[1].textContent, row.cells[0].textContent);
}

// Filters: a part of the run, in columns, and a text.
const toolbar = $("#toolbar"), search = $("#search"), from = $("#from"), to = $("#to"), clear = $("#clear");
const columns = from ? data.columns : 0;
let part = null;
const rows = $$("table.rows tbody tr").map(row => {
  const lane = data.lanes[row.closest("table").id]?.[row.dataset.r];
  const cells = ["living", "reaped", "max", "time"].map(name => row.querySelector(`.f-${name}`));
  return { row, lane, cells, whole: cells.map(cell => cell && [cell.dataset.v, cell.textContent]), text: row.textContent.toLowerCase() };
});
const sum = lane => {
  const sums = { reaped: 0, max: 0, time: 0, living: 0 };
  const [begin, end] = part;
  for (let at = 0; at < lane.length; at += 4) {
    const [column, reaped, max, time] = lane.slice(at, at + 4);
    if (column < begin || column >= end) continue;
    sums.reaped += reaped;
    sums.max = Math.max(sums.max, max * 1000);
    sums.time += time * 1000;
    const span = Math.min(data.column, data.length - column * data.column) || 1;
    if (column === end - 1) sums.living = Math.round(time * 1000 / span);
  }
  return sums;
};
const set = (cell, value, text) => {
  if (value === undefined) delete cell.dataset.v; else cell.dataset.v = value;
  cell.textContent = text;
};
const edge = column => Math.min(column * data.column, data.length);
function apply() {
  const text = search.value.trim().toLowerCase();
  for (const { row, lane, cells, whole, text: own } of rows) {
    let inPart = true;
    if (row.dataset.e !== undefined) {
      inPart = !part || (Number(row.dataset.e) >= edge(part[0]) && Number(row.dataset.b) <= edge(part[1]));
    } else if (part && lane) {
      const sums = sum(lane);
      inPart = sums.time > 0 || sums.reaped > 0;
      set(cells[0], sums.living, grouped(sums.living));
      set(cells[1], sums.reaped, grouped(sums.reaped));
      set(cells[2], sums.max || undefined, sums.max ? lasted(sums.max) : "–");
      set(cells[3], sums.time, human(sums.time));
    } else if (lane) {
      cells.forEach((cell, number) => set(cell, ...whole[number]));
    }
    row.hidden = !inPart || !own.includes(text);
  }
  document.body.classList.toggle("part", Boolean(part));
  clear.hidden = !part && !text;
  for (const brush of $$(".brush")) {
    brush.hidden = !part;
    if (part) {
      brush.style.left = `${edge(part[0]) / data.length * 100}%`;
      brush.style.right = `${100 - edge(part[1]) / data.length * 100}%`;
    }
  }
  if (part) {
    const sums = sum(data.all);
    $("#window").textContent = `${human(edge(part[0]))} – ${human(edge(part[1]))}: ${grouped(sums.reaped)} reaped, ` +
      `zombie time ${human(sums.time)}. Grey figures are of the whole run.`;
  } else {
    $("#window").textContent = "";
  }
  if (from) {
    [from.value, to.value] = part ?? [0, columns];
    from.setAttribute("aria-valuetext", human(edge(Number(from.value))));
    to.setAttribute("aria-valuetext", human(edge(Number(to.value))));
  }
  const found = text && dots.filter(dot => `${dot.comm} ${dot.parent} ${dot.pid} ${dot.ppid} ${dot.cause}`.toLowerCase().includes(text));
  const path = $(".dot.found");
  path?.setAttribute("d", (found || []).map(dot => `M${(dotX(dot) * 1000).toFixed(1)} ${(dotY(dot) * 100).toFixed(1)}h0`).join(""));
  $("#chart-zombies")?.classList.toggle("searched", Boolean(text));
}
function select(begin, end) {
  const [first, last] = begin <= end ? [begin, end] : [end, begin];
  const low = Math.max(0, Math.min(first, columns - 1)), high = Math.min(columns, Math.max(last, low + 1));
  part = low === 0 && high === columns ? null : [low, high];
  apply();
}
toolbar.hidden = false;
for (const button of $$(".copy")) button.hidden = false;
toolbar.addEventListener("submit", event => event.preventDefault());
search.addEventListener("input", apply);
clear.addEventListener("click", () => { part = null; search.value = ""; apply(); search.focus(); });
if (from) {
  for (const hint of $$(".hint")) hint.hidden = false;
  from.addEventListener("input", () => select(Number(from.value), Math.max(Number(to.value), Number(from.value) + 1)));
  to.addEventListener("input", () => select(Math.min(Number(from.value), Number(to.value) - 1), Number(to.value)));
}

// Values under the pointer, or under a cursor that the arrow keys move.
const tip = $("#tip");
function show(chart, x, y, lines) {
  const box = chart.getBoundingClientRect(), cursor = chart.querySelector(".cursor");
  cursor.hidden = false;
  cursor.style.left = `${x * 100}%`;
  tip.replaceChildren(...lines.map(line => Object.assign(document.createElement("div"), { textContent: line })));
  tip.hidden = false;
  const left = box.left + x * box.width, top = box.top + y * box.height;
  tip.style.left = `${Math.max(4, Math.min(left + 12, innerWidth - tip.offsetWidth - 4))}px`;
  tip.style.top = `${Math.max(4, top + 16 + tip.offsetHeight > innerHeight ? top - tip.offsetHeight - 12 : top + 16)}px`;
}
function hide() {
  tip.hidden = true;
  for (const cursor of $$(".cursor")) cursor.hidden = true;
}
const PHASES = ["notify", "not waiting", "run queue", "tracer", "reap"];
const describe = dot => [
  `${dot.comm} (${dot.pid}), ${dot.status}`,
  dot.how ? `zombie for ${lasted(dot.time)}, reaped at ${human(dot.end)}` : `living, a zombie for ${human(dot.time)}`,
  `parent: ${commandLines.get(String(dot.ppid)) ?? dot.parent} (${dot.ppid ?? "?"})`,
  ...(dot.how ? [`reaped by ${dot.reaper}, ${dot.how}`] : []),
  ...(dot.cause ? [`cause: ${dot.cause}`] : []),
  ...(dot.phases.length ? [dot.phases.map((time, at) => [time, PHASES[at]]).filter(([time]) => time > 0)
    .map(([time, name]) => `${name} ${human(time)}`).join(", ")] : []),
  ...(dot.count > 1 ? [`one of ${grouped(dot.count)} like it`] : []),
];
const showDot = dot => show($("#chart-zombies"), dotX(dot), dotY(dot), describe(dot));
const at = (lane, column) => {
  for (let index = 0; index < lane.length; index += 4) if (lane[index] === column) return lane[index + 3] * 1000;
  return 0;
};
function showColumn(chart, column) {
  const span = Math.min(data.column, data.length - column * data.column) || 1;
  const living = lane => (at(lane, column) / span).toFixed(1).replace(/\.0$/, "");
  const bands = data.bands.map(([name, row]) => [living(data.lanes.parents[row] ?? []), name]).filter(([value]) => value !== "0");
  const lines = [`${human(edge(column))} – ${human(edge(column + 1))}: ${living(data.all)} living`, ...bands.map(([value, name]) => `${value} of ${name}`)];
  show(chart, Math.min((column + 0.5) * data.column / data.length, 1), 0.1, lines);
}
for (const chart of $$(".chart")) {
  const isDots = chart.id === "chart-zombies";
  let cursor = -1, dragged = null;
  const place = event => {
    const box = chart.getBoundingClientRect();
    const within = value => Math.min(Math.max(value, 0), 1);
    return [within((event.clientX - box.left) / box.width), (event.clientY - box.top) / box.height, box];
  };
  const column = x => Math.floor(x * data.length / data.column);
  chart.tabIndex = 0;
  chart.setAttribute("role", "group");
  chart.setAttribute("aria-label", `${chart.querySelector("title").textContent}. Arrow keys show values.`);
  // The browser would show it over the values.
  chart.querySelector("svg").setAttribute("aria-label", chart.querySelector("title").textContent);
  chart.querySelector("title").remove();
  chart.addEventListener("pointermove", event => {
    const [x, y, box] = place(event);
    if (dragged !== null && Math.abs(x - dragged) * box.width > 4) select(column(Math.min(x, dragged)), column(Math.max(x, dragged)) + 1);
    if (!isDots) {
      if (columns) showColumn(chart, Math.min(column(x), columns - 1));
      return;
    }
    let near = null, least = 24 * 24;
    for (const dot of dots) {
      const distance = ((dotX(dot) - x) * box.width) ** 2 + ((dotY(dot) - y) * box.height) ** 2;
      if (distance < least) [near, least] = [dot, distance];
    }
    if (near) showDot(near); else hide();
  });
  chart.addEventListener("pointerdown", event => {
    if (!columns || event.button) return;
    dragged = place(event)[0];
    chart.setPointerCapture(event.pointerId);
  });
  const release = () => { dragged = null; };
  chart.addEventListener("pointerup", release);
  chart.addEventListener("pointercancel", release);
  chart.addEventListener("pointerleave", hide);
  chart.addEventListener("blur", hide);
  chart.addEventListener("keydown", event => {
    const count = isDots ? dots.length : columns;
    const step = { ArrowRight: 1, ArrowLeft: -1, Home: -count, End: count }[event.key];
    if (event.key === "Escape") hide();
    if (step === undefined || !count) return;
    event.preventDefault();
    cursor = Math.min(Math.max(cursor + step, 0), count - 1);
    if (isDots) showDot(dots[cursor]); else showColumn(chart, cursor);
  });
}
document.addEventListener("keydown", event => { if (event.key === "Escape") hide(); });
document.addEventListener("scroll", hide, { passive: true });

// Copies what is shown as Markdown.
const escaped = text => text.trim().replace(/\s+/g, " ").replace(/[\\`*_{}\[\]#|~]/g, "\\$&").replace(/&/g, "&amp;").replace(/</g, "&lt;").replace(/>/g, "&gt;");
function markdown(table, most = Infinity) {
  const line = cells => `| ${cells.join(" | ")} |`;
  const head = [...table.tHead.rows[0].cells];
  const shown = [...table.tBodies[0].rows].filter(row => !row.hidden).slice(0, most);
  return [
    line(head.map(cell => escaped(cell.textContent))),
    line(head.map(cell => cell.classList.contains("n") ? "---:" : "---")),
    ...shown.map(row => line([...row.cells].map(cell => escaped(cell.textContent)))),
  ].join("\n") + "\n";
}
function all() {
  const lines = [`## ${escaped($("h1").textContent)}`, "", `**${escaped($(".headline").textContent)}**`, ""];
  for (const item of $$("#verdict li")) lines.push(`- ${escaped(item.textContent)}`);
  lines.push("", ...$$(".tiles div").map(tile => `- ${escaped(tile.children[0].textContent)}: ${escaped(tile.children[1].textContent)}`), "");
  const table = $("#parents");
  return lines.join("\n") + (table ? `\n${markdown(table, 10)}` : "");
}
async function copy(text) {
  try {
    await navigator.clipboard.writeText(text);
  } catch {
    const area = Object.assign(document.createElement("textarea"), { value: text });
    document.body.append(area);
    area.select();
    const done = document.execCommand("copy");
    area.remove();
    if (!done) throw new Error("the browser refused");
  }
}
for (const button of $$("button.copy")) {
  button.addEventListener("click", async () => {
    const name = button.textContent;
    const text = button.dataset.copy === "all" ? all() : markdown(document.getElementById(button.dataset.copy));
    button.textContent = await copy(text).then(() => "Copied", () => "Cannot copy");
    setTimeout(() => { button.textContent = name; }, 1500);
  });
}
