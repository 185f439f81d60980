// The page: what is set becomes a session of the server, which is asked for frames as long as it plays.

import { Gone, Mistake, ask } from "./api.js";
import { laneColor, open, picture, readTheme, short, theme } from "./canvas.js";
import { drawBatches, drawLayers, drawLoss, drawSeeds, drawSurface, empty } from "./charts.js";
import { Controls, element } from "./controls.js";
import { Drawing, decode, encode } from "./drawing.js";
import { Network } from "./network.js";
import { Stage, swatch } from "./stage.js";
import { State } from "./state.js";
import { currentLanguage, missing, setLanguage, t } from "./texts.js";

const $ = (id) => document.getElementById(id);
const SPEEDS = {
  perUpdate: { updates: 1 },
  perEpoch: { epochs: 1 },
  perTen: { epochs: 10, seconds: 0.2 },
  fast: { epochs: 1000, seconds: 0.05 },
};
const EVERY_SEEDS = 120; // milliseconds
const FRAME = 1000 / 30; // milliseconds: 30 frames a second

class Page {
  constructor(choices) {
    this.choices = choices;
    this.state = State.read(location.hash);
    this.playing = false;
    this.focus = 0;
    this.histories = [];
    this.times = [];
    this.stage = new Stage($("stage"));
    this.network = new Network($("network"), (unit) => { this.stage.unit = unit; this.draw(); });
    this.controls = new Controls($("settings"), choices, {
      changed: () => this.changed(),
      load: (state) => this.load(state),
      data: (name) => this.chooseData(name),
      columns: (...names) => this.chooseColumns(...names),
    });
    this.drawing = new Drawing($("drawing"), (points, plane) => this.useDrawing(points, plane));
  }

  async begin() {
    this.listen();
    this.texts();
    await this.load(this.state);
  }

  listen() {
    $("play").onclick = () => this.play(!this.playing);
    $("reset").onclick = () => this.restart();
    $("step-update").onclick = () => this.step({ updates: 1 });
    $("step-epoch").onclick = () => this.step({ epochs: 1 });
    $("language").onchange = () => { localStorage.setItem("language", $("language").value); this.texts(); };
    $("theme").onclick = () => {
      document.documentElement.dataset.theme = theme.dark ? "light" : "dark";
      localStorage.setItem("theme", document.documentElement.dataset.theme);
      this.retheme();
    };
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => this.retheme());
    new ResizeObserver(() => this.draw()).observe(document.querySelector("main"));
    addEventListener("hashchange", () => { if (location.hash !== this.hash) this.load(State.read(location.hash)); });
    addEventListener("keydown", (event) => {
      const typing = event.target.closest("input, select, textarea, dialog") || event.ctrlKey || event.metaKey || event.altKey;
      const onButton = event.key === " " && event.target.closest("button, summary, canvas");
      const act = { " ": () => this.play(!this.playing), u: () => this.step({ updates: 1 }), e: () => this.step({ epochs: 1 }), r: () => this.restart() }[event.key];
      if (!act || typing || onButton) return;
      event.preventDefault();
      act();
    });
    const bars = $("batches");
    bars.onpointermove = (event) => this.markBatch(this.batchAt?.(event.offsetX));
    bars.onpointerleave = bars.onblur = () => this.markBatch(null);
    bars.onkeydown = (event) => {
      const step = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
      if (!step) return;
      event.preventDefault();
      this.markBatch(Math.max(0, (this.marked ?? (step > 0 ? -1 : 1)) + step));
    };
  }

  texts() {
    const stored = localStorage.getItem("language") ?? (navigator.language.startsWith("es") ? "es" : "en");
    setLanguage(stored);
    $("language").value = currentLanguage();
    const speed = $("speed").value || "perEpoch";
    $("speed").replaceChildren(...Object.keys(SPEEDS).map((name) => element("option", { value: name, textContent: t(name) })));
    $("speed").value = speed;
    if (this.controls.state) this.controls.build(this.state);
    this.network.shape = "";
    this.legends();
    this.draw();
  }

  retheme() {
    readTheme();
    this.controls.build(this.state);
    if (this.problem) this.stage.begin(this.problem, this.shortLabels());
    this.legends();
    this.draw();
  }

  // Take a whole state: from the address, or an example.
  async load(state) {
    this.state = state;
    this.focus = 0;
    await this.guarded(async () => {
      if (state.table === "drawing" && state.points) {
        const points = decode(state.points);
        const table = await ask("table", { points, classes: points[0]?.length > 2 });
        state.base.set("data.path", table.path);
      } else if (this.choices.tables.includes(state.table)) {
        const table = await ask("table", { shipped: state.table });
        this.controls.columns = table.columns;
        state.base.set("data.path", table.path);
      } else if (state.base.get("data") === "csv" && state.base.get("data.path")) {
        this.controls.columns = (await ask("table", { path: state.base.get("data.path") })).columns;
      }
    });
    this.controls.build(state);
    await this.restart();
  }

  changed() {
    clearTimeout(this.waiting);
    this.waiting = setTimeout(() => this.restart(), 120);
  }

  // Begin anew with what is set, and go on playing if it played.
  async restart() {
    clearTimeout(this.waiting);
    this.hash = this.state.hash;
    if (location.hash !== this.hash) history.replaceState(null, "", this.hash);
    this.generation = (this.generation ?? 0) + 1;
    const generation = this.generation;
    document.body.classList.add("busy");
    const lanes = this.state.resolved(this.controls.branchOf);
    const answer = await this.guarded(() => ask("start", { lanes, seeds: this.state.seeds, focus: this.focus, instead: this.session ?? "" }));
    if (generation !== this.generation) return; // something else has been set meanwhile
    document.body.classList.remove("busy");
    if (!answer) return this.play(false);
    this.session = answer.session;
    this.problem = answer.problem;
    this.focus = answer.frame.focus;
    this.histories = answer.problem.lanes.map(() => []);
    this.marked = null;
    this.stage.marked = this.stage.unit = null;
    this.stage.begin(this.problem, this.shortLabels());
    this.shape();
    this.take(answer.frame);
    if (this.playing) this.loop();
  }

  // What tells the lanes apart, the optimizer first.
  labels() {
    const { base, lanes } = this.state;
    const keys = new Set(["optimizer", ...lanes.flatMap((lane) => [...lane.keys()])]);
    if (![...keys].some((key) => lanes.some((lane) => key === "optimizer" && lane.has(key)))) keys.delete("optimizer");
    const own = [...base].filter(([key]) => keys.has(key) || (key === "optimizer.lr" && keys.has("optimizer")));
    return [new Map(own), ...lanes].map((lane) => {
      const optimizer = lane.get("optimizer");
      const rest = [...lane].filter(([key]) => key !== "optimizer").map(([key, value]) => `${key.replace(/^(optimizer|model|data)\./, "")}=${value}`);
      return [...(optimizer ? [optimizer] : []), ...rest].join(" ") || base.get("optimizer") || "adam";
    });
  }

  // The same where there is little room: optimizers or activations alone, if they tell the lanes apart.
  shortLabels() {
    const all = [this.state.base, ...this.state.lanes].map((lane) => lane.get("optimizer"));
    if (new Set(all).size === all.length && !all.includes(undefined)) return all;
    const pairs = this.labels().map((label) => label.split("="));
    const alike = pairs.every((pair) => pair.length === 2 && pair[0] === pairs[0][0]);
    return alike && pairs[0][0] === "activation" ? pairs.map((pair) => pair[1]) : this.labels();
  }

  // Show the panels that this problem has.
  shape() {
    const { problem } = this;
    const many = problem.seeds > 1;
    $("seeds-panel").hidden = !many;
    $("surface-panel").hidden = !problem.surface;
    $("network-panel").hidden = many || problem.surface;
    $("batches-panel").hidden = many;
    $("layers-panel").hidden = many || problem.surface; // which has a single layer
    document.querySelectorAll(".column")[problem.surface ? 0 : 1].append($("batches-panel")); // where there is room
    document.querySelector("main").dataset.kind = many ? "seeds" : problem.surface ? "surface" : "network";
    $("network-hint").textContent = t("networkHint");
    $("commands").replaceChildren(...problem.lanes.map(({ command }, i) => {
      const button = element("button", { type: "button", textContent: t("copy") });
      button.onclick = async () => {
        await copy(command);
        button.textContent = t("copied");
        setTimeout(() => { button.textContent = t("copy"); }, 1500);
      };
      return element("div", { className: "command" }, problem.lanes.length > 1 ? swatch(i) : null, element("code", { textContent: command }), button);
    }));
    this.legends();
  }

  legends() {
    if (!this.problem) return;
    const { problem } = this;
    const many = problem.seeds > 1, race = problem.lanes.length > 1;
    const single = problem.inputs.length === 1;
    const item = (mark, text) => element("span", { className: "item" }, mark, ` ${text}`);
    const labels = this.labels();
    $("legend").replaceChildren(...(many ? [t(single ? "curvesOfAll" : "blend")] : single && race ? labels.map((label, i) => item(swatch(i), label)) : [t("trainMark"), " · ", t("valMark")]));
    $("loss-legend").replaceChildren(...(many ? [t("quantiles")] : race ? [item(strokes(-1, [], 1, 2.4), t("val")), item(strokes(-1, [], 0.6, 1), t("train"))] : [item(strokes(0, [], 1), t("val")), item(strokes(0, [4, 3], 0.6), t("train"))]));
    $("layers-legend").textContent = t("gradientNorm");
    $("surface-legend").replaceChildren(...(race ? labels.map((label, i) => item(swatch(i), label)) : []));
    $("network-title").textContent = t("network") + (race ? ` · ${labels[this.focus] ?? ""}` : "");
    [...$("stage").children].forEach((figure, i) => {
      figure.classList.toggle("focused", race && i === this.focus && !single);
      if (race) figure.onclick = () => { this.focus = i; this.stage.focus = i; this.legends(); this.step({}); };
    });
  }

  async play(on) {
    if (on && this.frame && !this.frame.running) await this.restart();
    const was = this.playing;
    this.playing = on;
    if (!on) this.draw();
    document.body.classList.toggle("playing", on);
    $("play").setAttribute("aria-pressed", String(on));
    if (on && !was) this.loop();
  }

  async loop() {
    const generation = this.generation;
    this.times = [];
    while (this.playing && generation === this.generation) {
      const began = performance.now();
      const frame = await this.advance(SPEEDS[$("speed").value]);
      if (generation !== this.generation) return;
      if (!frame) return this.play(false);
      this.take(frame);
      if (!frame.running) return this.play(false);
      const left = FRAME - (performance.now() - began); // while a frame is drawn, the next one is trained
      if (left > 0) await new Promise((next) => setTimeout(next, left));
    }
  }

  async step(much) {
    await this.play(false);
    const generation = this.generation;
    const frame = await this.advance(much);
    if (!frame || generation !== this.generation) return;
    this.take(frame);
    const { batches } = frame.lanes[this.focus];
    if (much.updates && batches?.length) this.markBatch(batches.length - 1);
  }

  async advance(much) {
    if (!this.session) return null;
    const known = this.histories.map((rows) => rows.length);
    try {
      return await this.guarded(() => ask("advance", { session: this.session, ...much, focus: this.focus, known }), true);
    } catch (error) {
      if (!(error instanceof Gone)) throw error;
      await this.restart();
      return null;
    }
  }

  // Do something; the sentence on a mistake is shown.
  async guarded(work, passGone = false) {
    try {
      const done = await work();
      $("error").hidden = true;
      return done;
    } catch (error) {
      if (error instanceof Gone && passGone) throw error;
      if (!(error instanceof Mistake)) throw error;
      $("error").textContent = error.message;
      $("error").hidden = false;
      return null;
    }
  }

  take(frame) {
    this.frame = frame;
    this.stage.focus = this.focus;
    this.histories.forEach((rows, i) => rows.push(...frame.lanes[i].history));
    this.stage.marked = null;
    this.marked = null;
    this.times.push(performance.now());
    if (this.times.length > 30) this.times.shift();
    this.draw();
  }

  get rate() {
    return this.times.length > 5 ? (1000 * (this.times.length - 1)) / (this.times.at(-1) - this.times[0]) : 0;
  }

  draw() {
    if (this.drawn || !this.frame || !this.problem) return;
    this.drawn = true;
    requestAnimationFrame(() => {
      this.drawn = false;
      this.paint();
    });
  }

  paint() {
    const { frame, problem } = this;
    const lane = frame.lanes[this.focus] ?? frame.lanes[0];
    this.stage.unit = this.network.picture ?? this.stage.unit;
    if (!this.network.pointed) this.stage.unit = null;
    this.stage.draw(frame, frame.lanes.map((_, i) => this.summary(i)));
    drawLoss($("loss"), this.histories, problem);
    if (!$("network-panel").hidden && lane.units) this.network.draw(lane, problem, problem.lanes[this.focus]);
    if (!$("layers-panel").hidden) drawLayers($("layers"), frame.lanes.map((lane) => lane.layers ?? {}));
    if (!$("batches-panel").hidden) this.paintBatches(lane);
    if (frame.surface) {
      drawSurface($("surface"), frame.surface);
      $("surface-note").textContent = frame.surface.third ? t("third", frame.surface.third[0], short(frame.surface.third[1])) : "";
    }
    if (problem.seeds > 1 && this.seedsAreDue()) drawSeeds($("seeds"), lane, problem, { picture, first: Number(this.state.base.get("seed") ?? 0), open: (seed) => this.openSeed(seed) });
    $("epoch").textContent = lane.epoch;
    $("updates").textContent = lane.step;
    this.paintMetric();
    this.paintStatus();
  }

  // Many small pictures are drawn less often than the large one, and when it stands still.
  seedsAreDue() {
    const due = !this.playing || performance.now() - (this.seedsDrawn ?? 0) > EVERY_SEEDS;
    if (due) this.seedsDrawn = performance.now();
    return due;
  }

  paintBatches(lane) {
    const { updates_per_epoch: total, batch_size: size } = this.problem.lanes[this.focus];
    if (!lane.batches?.length) {
      const { context, width, height } = open($("batches"));
      empty(context, width, height, t("noBatches"));
      this.batchAt = null;
      $("batches-note").textContent = "";
      return;
    }
    this.batchAt = drawBatches($("batches"), lane.batches, total, this.marked ?? lane.batches.length - 1);
    $("batches-note").textContent = t("batchNote", lane.batches.length, total, size);
  }

  // Point out the samples of a batch of the epoch.
  markBatch(number) {
    const lane = this.frame?.lanes[this.focus];
    if (number === undefined || !lane?.batches?.length) return;
    const there = number !== null && number < lane.batches.length;
    this.marked = there ? number : null;
    const size = this.problem.lanes[this.focus].batch_size;
    this.stage.marked = there ? lane.order.slice(number * size, (number + 1) * size).map((i) => this.problem.train[i]) : null;
    this.draw();
  }

  // The loss of a lane, and its metric.
  summary(i) {
    const row = this.histories[i].at(-1);
    if (!row) return "";
    const value = (column) => (Array.isArray(row[column]) ? row[column][2] : row[column]);
    return short(value(2));
  }

  paintMetric() {
    const { columns } = this.problem.lanes[this.focus];
    const row = this.histories[this.focus].at(-1);
    const name = columns[3] ?? columns[1];
    const value = row?.[columns[3] ? 4 : 2];
    $("metric-name").textContent = name;
    const shown = Array.isArray(value) ? value[2] : value;
    $("metric").textContent = row ? (name.endsWith("accuracy") ? `${(100 * shown).toFixed(1)} %` : short(shown)) : "–";
  }

  paintStatus() {
    const { frame, problem } = this;
    const labels = this.labels();
    const said = frame.lanes.flatMap((lane, i) => {
      const who = problem.lanes.length > 1 ? `${labels[i]}: ` : "";
      if (Array.isArray(lane.status)) {
        const diverged = lane.status.filter((status) => status === "diverged").length;
        return diverged ? [t("ofSeeds", diverged, lane.status.length)] : [];
      }
      if (lane.status === "diverged") return [`${who}${t("diverged")}: ${lane.reason}`];
      if (lane.status === "completed" && lane.reason) return [`${who}${t("stopped")}: ${lane.reason}`];
      return lane.status === "completed" && problem.lanes.length === 1 ? [t("finished")] : [];
    });
    const facts = `${problem.lanes[this.focus].parameters} ${t("parameters")} · ${t("engine")} ${frame.lanes[this.focus].engine}${this.playing && this.rate ? ` · ${Math.round(this.rate)} ${t("frames")}` : ""}`;
    $("status").textContent = [facts, ...said, ...problem.lanes[this.focus].notes].join(" · ");
  }

  openSeed(seed) {
    this.state.seeds = 1;
    this.state.set("seed", seed);
    this.controls.build(this.state);
    this.restart();
  }

  // data

  async chooseData(name) {
    const { state } = this;
    if (name === "drawing") {
      this.drawing.show(state.table === "drawing" ? decode(state.points) : []);
      return this.controls.build(state); // the select shows what is in use
    }
    if (name === "upload") return this.upload();
    if (this.choices.tables.includes(name)) return this.useTable(await this.guarded(() => ask("table", { shipped: name })), name);
    this.forgetTable();
    state.choose("data", name);
    if (name === "quadratic") { state.choose("model", "polynomial"); state.set("bs", "8"); }
    else if (state.base.get("model") === "polynomial") { state.choose("model", ""); state.set("model.hidden", "[6,4]"); }
    state.choose("head", "");
    this.controls.build(state);
    return this.restart();
  }

  forgetTable() {
    const { state } = this;
    Object.assign(state, { table: "", points: "" });
    this.controls.columns = null;
    state.base.delete("recipe");
  }

  upload() {
    const input = element("input", { type: "file", accept: ".csv,.tsv,.txt,.parquet,.xlsx", id: "file", hidden: true });
    document.getElementById("file")?.remove();
    document.body.append(input);
    input.onchange = async () => {
      const [file] = input.files;
      if (!file) return;
      const content = btoa(Array.from(new Uint8Array(await file.arrayBuffer()), (v) => String.fromCharCode(v)).join(""));
      this.useTable(await this.guarded(() => ask("table", { name: file.name, content })), "");
    };
    this.controls.build(this.state);
    input.click();
  }

  // Take a table into use: its last column is the target, and the first two with numbers are the inputs.
  useTable(table, name) {
    if (!table) return this.controls.build(this.state);
    const { state } = this;
    this.forgetTable();
    state.choose("data", "csv");
    state.table = name;
    state.set("recipe", "plain");
    state.set("data.path", table.path);
    state.choose("head", "");
    if (state.base.get("model") === "polynomial") { state.choose("model", ""); state.set("model.hidden", "[6,4]"); }
    this.controls.columns = table.columns;
    const names = table.columns.map((column) => column.name);
    const target = names.at(-1);
    const inputs = table.columns.filter((column) => column.number && column.name !== target).map((column) => column.name);
    const pair = name === "iris" ? inputs.slice(2, 4) : inputs.slice(0, 2);
    return this.chooseColumns(pair[0] ?? "", pair[1] ?? "", target);
  }

  chooseColumns(across, up, target) {
    const { state } = this;
    const rest = this.controls.columns.map((column) => column.name).filter((name) => ![across, up, target].includes(name));
    state.set("data.target", target);
    state.set("data.drop", rest.length ? `[${rest.map((name) => `'${name}'`).join(",")}]` : "");
    this.controls.build(state);
    return this.restart();
  }

  async useDrawing(points, plane) {
    const table = await this.guarded(() => ask("table", { points, classes: plane }));
    if (!table) return;
    const { state } = this;
    this.useTable(table, "drawing");
    state.points = encode(points);
    this.restart();
  }
}

// A short line as the charts draw it; without a lane in the colour of text.
function strokes(i, pattern, alpha, width = 2.2) {
  const canvas = element("canvas", { className: "swatch", width: 52, height: 20 });
  const context = canvas.getContext("2d");
  context.scale(2, 2);
  context.strokeStyle = i < 0 ? theme.ink : laneColor(i);
  context.globalAlpha = alpha;
  context.lineWidth = width;
  context.setLineDash(pattern);
  context.beginPath();
  context.moveTo(0, 5);
  context.lineTo(26, 5);
  context.stroke();
  return canvas;
}

async function copy(text) {
  try {
    await navigator.clipboard.writeText(text);
  } catch {
    const area = element("textarea", { value: text });
    document.body.append(area);
    area.select();
    document.execCommand("copy");
    area.remove();
  }
}

const stored = localStorage.getItem("theme");
if (stored) document.documentElement.dataset.theme = stored;
readTheme();
const page = new Page(await ask("choices", {}));
Object.assign(window, { page, textsMissing: missing });
await page.begin();
