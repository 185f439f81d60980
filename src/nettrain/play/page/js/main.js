// The page: what is set becomes a session of the server, which is asked for frames as long as it plays.

import { Gone, Mistake, ask } from "./api.js";
import { open, picture, readTheme, short, theme } from "./canvas.js";
import { drawBatches, drawLayers, drawLoss, drawSeeds, drawSurface, empty } from "./charts.js";
import { Controls, element } from "./controls.js";
import { chooseColumns, chooseData, useDrawing } from "./data.js";
import { Drawing, decode } from "./drawing.js";
import { drawLegends, labels, shortLabels } from "./legends.js";
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
      data: (name) => chooseData(this, name),
      columns: (...names) => chooseColumns(this, ...names),
    });
    this.drawing = new Drawing($("drawing"), (points, plane) => useDrawing(this, points, plane));
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
    if (this.problem) this.stage.begin(this.problem, shortLabels(this.state));
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
    this.stage.begin(this.problem, shortLabels(this.state));
    this.shape();
    this.take(answer.frame);
    if (this.playing) this.loop();
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
    drawLegends(this);
    if (this.problem.lanes.length < 2) return;
    [...$("stage").children].forEach((figure, i) => { figure.onclick = () => this.look(i); });
  }

  // Look inside of a lane's network.
  look(i) {
    this.focus = this.stage.focus = i;
    this.legends();
    return this.step({});
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
    const names = labels(this.state);
    const said = frame.lanes.flatMap((lane, i) => {
      const who = problem.lanes.length > 1 ? `${names[i]}: ` : "";
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
