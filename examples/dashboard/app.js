// One chart per number: every numeric field of every message of the channels that are watched.
import { connect } from "/client/index.js";

const POINTS_MAX = 120;
const CHARTS_MAX = 60; // whoever publishes names the fields: their number has to end somewhere
const charts = new Map();
const state = document.getElementById("state");

class Chart {
  constructor(name) {
    this.points = [];
    this.figure = document.createElement("figure");
    const caption = document.createElement("figcaption");
    const title = document.createElement("span");
    title.textContent = name;
    this.value = document.createElement("b");
    caption.append(title, this.value);
    const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
    svg.setAttribute("viewBox", `0 0 ${POINTS_MAX - 1} 100`);
    svg.setAttribute("preserveAspectRatio", "none");
    this.line = document.createElementNS("http://www.w3.org/2000/svg", "polyline");
    svg.append(this.line);
    this.figure.append(caption, svg);
    document.getElementById("charts").append(this.figure);
  }

  add(value) {
    this.points.push(value);
    if (this.points.length > POINTS_MAX) this.points.shift();
    this.dirty = true;
  }

  draw() {
    if (!this.dirty) return;
    this.dirty = false;
    const low = Math.min(...this.points);
    const range = Math.max(...this.points) - low || 1;
    const left = POINTS_MAX - this.points.length;
    const at = (value, index) => `${left + index},${(96 - (92 * (value - low)) / range).toFixed(1)}`;
    this.line.setAttribute("points", this.points.map(at).join(" "));
    this.value.textContent = this.points.at(-1).toLocaleString(undefined, { maximumFractionDigits: 2 });
  }
}

function take(message) {
  const payload = message.payload;
  if (payload === null || typeof payload !== "object") return;
  for (const [field, value] of Object.entries(payload)) {
    if (typeof value !== "number") continue;
    const name = `${message.channel} ${field}`;
    if (!charts.has(name)) {
      if (charts.size >= CHARTS_MAX) continue;
      document.getElementById("none")?.remove();
      charts.set(name, new Chart(name));
    }
    charts.get(name).add(value);
  }
}

function draw() {
  charts.forEach((chart) => chart.draw());
  requestAnimationFrame(draw);
}

const { url, token, channels } = await (await fetch("settings.json")).json();
try {
  const bus = await connect(url, { name: "dashboard", kind: "dashboard", ...(token ? { token } : {}) });
  const show = (now) => (state.textContent = `${now}: ${bus.url}, ${channels}`);
  bus.onState(show);
  bus.onResume((one) => one.recovered === false && (state.textContent += "; some messages are lost"));
  bus.on(channels, take);
  await bus.join(channels);
  show(bus.state);
  requestAnimationFrame(draw);
} catch (error) {
  state.textContent = `${error.message}. ${error.hint ?? ""}`;
}
