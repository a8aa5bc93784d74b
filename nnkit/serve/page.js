"use strict";
// Texts from the server go into the page by textContent alone: nothing of a card or a column's name is ever markup.

const $ = (id) => document.getElementById(id);
const points = [];
let shown = null; // the version whose card is on the page
let input = {};

function make(tag, text, className) {
  const node = document.createElement(tag);
  if (text !== undefined && text !== null) node.textContent = text;
  if (className) node.className = className;
  return node;
}

function number(value, digits = 4) {
  if (value === null || value === undefined) return "–";
  return typeof value === "number" ? String(Number(value.toPrecision(digits))) : String(value);
}

function table(heads, rows, chosen = () => false) {
  const box = make("div", null, "scroll"), made = make("table"), head = make("tr");
  for (const name of heads) head.append(make("th", name));
  made.append(head);
  for (const row of rows) {
    const line = make("tr", null, chosen(row) ? "current" : "");
    for (const cell of row) {
      const place = make("td", cell instanceof Node ? null : cell, typeof cell === "number" ? "number" : "");
      if (cell instanceof Node) place.append(cell);
      line.append(place);
    }
    made.append(line);
  }
  box.append(made);
  return box;
}

function flat(value, name = "") {
  if (value === null || typeof value !== "object") return [[name, number(value, 6)]];
  if (Array.isArray(value)) {
    const whole = JSON.stringify(value);
    return [[name, whole.length > 120 ? `${value.length} values` : whole]];
  }
  return Object.entries(value).flatMap(([key, part]) => flat(part, name ? `${name}.${key}` : key));
}

// ---- the model ----

async function showModel() {
  const told = await (await fetch("models")).json();
  shown = told.version;
  document.title = `${told.name} – nnkit`;
  $("card").replaceChildren(table(["", ""], flat(told.card)));
  $("model").textContent = told.model;
  showVersions(told);
  if (JSON.stringify(told.input) !== JSON.stringify(input)) {
    input = told.input;
    showFields();
  }
}

function showVersions(told) {
  if (!told.versions.length) {
    $("versions").replaceChildren(make("p", "One file, without versions."));
    return;
  }
  const names = (version) =>
    Object.entries(told.aliases).filter(([, at]) => at === version.number).map(([name]) => name).join(", ");
  const rows = told.versions.map((version) => [
    version.number, names(version), flat(version.metrics || {}).map((pair) => pair.join(" ")).join(", "),
    version.created || "", version.notes || "",
  ]);
  $("versions").replaceChildren(
    table(["version", "alias", "metrics", "made", "notes"], rows, (row) => String(row[0]) === told.version));
}

// ---- the form ----

function showFields() {
  const fields = [];
  for (const column of input.columns || []) {
    const label = make("label", column.name), values = column.values;
    let field;
    if (values && values.length <= 200) {
      field = make("select");
      for (const value of ["", ...values]) field.append(make("option", value));
    } else {
      field = make("input");
      field.type = column.kind === "number" ? "number" : "text";
      field.step = "any";
      field.placeholder = column.kind === "date" ? "2026-11-28" : "";
    }
    field.name = column.name;
    field.dataset.kind = column.kind;
    label.append(field);
    fields.push(label);
  }
  if (!input.columns) {
    const label = make("label", input.numbers ? `${input.numbers} numbers, by commas or spaces` : "One row as JSON",
      "wide");
    const area = make("textarea");
    area.id = "row";
    area.rows = 6;
    area.spellcheck = false;
    label.append(area);
    fields.push(label);
  }
  $("fields").replaceChildren(...fields);
  $("zeros").hidden = $("random").hidden = !input.numbers;
}

function filled(next) {
  $("row").value = Array.from({ length: input.numbers }, next).join(", ");
}

function row() {
  if (input.columns) {
    const found = {};
    for (const field of $("fields").querySelectorAll("input, select")) {
      const text = field.value.trim();
      found[field.name] = text === "" ? null : field.dataset.kind === "number" ? Number(text) : text;
    }
    return found;
  }
  const text = $("row").value.trim();
  if (text.startsWith("[")) return JSON.parse(text);
  return text.split(/[\s,;]+/).filter(Boolean).map((word) => {
    const value = Number(word);
    if (Number.isNaN(value)) throw new Error(`${word} is no number`);
    return value;
  });
}

async function predict(event) {
  event.preventDefault();
  $("refused").hidden = true;
  $("answer").replaceChildren();
  try {
    const began = performance.now();
    const answer = await fetch("predict", {
      method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify({ rows: [row()] }),
    });
    const told = await answer.json();
    if (!answer.ok) throw new Error(told.error || answer.statusText);
    showAnswer(told, performance.now() - began);
  } catch (error) {
    $("refused").textContent = error.message;
    $("refused").hidden = false;
  }
}

function showAnswer(told, milliseconds) {
  const outputs = [told.outputs[0]].flat(Infinity), parts = [];
  const largest = Math.max(...outputs.map((value) => Math.abs(value ?? 0)), 1e-30);
  const best = outputs.length > 1 ? outputs.indexOf(Math.max(...outputs.map((value) => value ?? -Infinity))) : -1;
  const names = input.classes && input.classes.length === outputs.length ? input.classes : [...outputs.keys()];
  if (told.labels) parts.push(make("p", `label: ${told.labels[0]}`));
  const rows = outputs.slice(0, 200).map((value, place) => {
    const bar = make("span", null, value < 0 ? "bar negative" : "bar");
    bar.style.width = `${(100 * Math.abs(value ?? 0)) / largest}%`;
    return [names[place], value === null ? "not finite" : Number(value.toPrecision(5)), bar];
  });
  const made = table(["output", "value", ""], rows, (line) => line[0] === names[best]);
  made.classList.add("bars");
  parts.push(made, make("p", `version ${told.version}, ${milliseconds.toFixed(1)} ms from here`, "legend"));
  $("answer").replaceChildren(...parts);
}

// ---- live ----

async function tick() {
  try {
    const health = await (await fetch("health")).json();
    $("name").textContent = health.name;
    $("version").textContent = health.version;
    $("since").textContent = new Date(1000 * health.since).toLocaleString();
    $("status").textContent = health.status;
    $("status").className = `badge ${health.status}`;
    $("failure").hidden = !health.failure;
    if (health.failure) $("failure").textContent = `Another version could not be loaded: ${health.failure.error}`;
    showLatency(health);
    showDrift(health.drift);
    if (health.version !== shown) await showModel();
  } catch (error) {
    $("status").textContent = "no answer";
    $("status").className = "badge down";
  }
}

function showLatency(health) {
  const latency = health.latency, pairs = [["requests", health.requests], ["median", latency.p50_ms],
    ["99th percentile", latency.p99_ms], ["longest", latency.max_ms]];
  $("latency").replaceChildren(...pairs.map(([name, value], place) => {
    const pair = make("div");
    const unit = place && value !== undefined ? " ms" : "";
    pair.append(make("dt", name), make("dd", (place ? number(value, 3) : String(value)) + unit));
    return pair;
  }));
  points.push([latency.p50_ms ?? 0, latency.p99_ms ?? 0]);
  if (points.length > 120) points.shift();
  const top = Math.max(...points.flat(), 0.001), svg = "http://www.w3.org/2000/svg";
  const lines = ["p50", "p99"].map((name, which) => {
    const line = document.createElementNS(svg, "polyline");
    line.setAttribute("class", name);
    line.setAttribute("fill", "none");
    line.setAttribute("points", points.map((pair, at) =>
      `${600 - 5 * (points.length - 1 - at)},${115 - (100 * pair[which]) / top}`).join(" "));
    return line;
  });
  const text = document.createElementNS(svg, "text");
  text.setAttribute("x", "4");
  text.setAttribute("y", "12");
  text.textContent = `${number(top, 3)} ms`;
  $("chart").replaceChildren(...lines, text);
}

function showDrift(drift) {
  const parts = [];
  if (!drift) parts.push(make("p", "No reference is known for this version."));
  else if (drift.error) parts.push(make("p", drift.error, "failure"));
  if (drift && drift.features) {
    const limit = (value, most) => `${number(value, 3)}${most === null ? "" : ` (${number(most, 3)})`}`;
    const rows = drift.features.map((one) => [one.name, limit(one.psi, one.psi_limit), limit(one.ks, one.ks_limit),
      make("span", one.drifted ? "drifts" : "", "drifts")]);
    const state = drift.windows ? `${drift.windows} windows of ${drift.window} rows, the last:` :
      `${drift.rows} of the ${drift.window} rows that tell`;
    parts.push(make("p", state, "legend"),
      table(["input", "stability index (limit)", "distance (limit)", ""], rows));
  }
  $("drift").replaceChildren(...parts);
}

$("try").addEventListener("submit", predict);
$("zeros").addEventListener("click", () => filled(() => 0));
$("random").addEventListener("click", () => filled(() => Number(Math.random().toFixed(3))));
tick();
setInterval(tick, 1000);
