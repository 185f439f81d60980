// A sheet on which points are drawn, by mouse, finger or keys: classes in the plane, or a curve.

import { classColor, line, mark, open, readTheme, theme } from "./canvas.js";
import { element } from "./controls.js";
import { t } from "./texts.js";

const SPRAY = 0.06, EVERY = 35, MOST = 600;

// Points as they stand in the page's address: hundredths, x,y,class;...
export const encode = (points) => points.map((point) => point.map((v, i) => (i < 2 ? Math.round(100 * v) : v)).join(",")).join(";");
export const decode = (text) => text.split(";").filter(Boolean).map((point) => point.split(",").map((v, i) => (i < 2 ? Number(v) / 100 : Number(v))));

export class Drawing {
  constructor(dialog, done) {
    Object.assign(this, { dialog, done, points: [], chosen: 0, plane: true, cursor: [0, 0] });
  }

  show(points) {
    readTheme();
    if (points.length) {
      this.points = points;
      this.plane = points[0].length > 2;
    }
    this.build();
    this.dialog.showModal();
    this.draw();
  }

  build() {
    const kind = element("select", { id: "drawing-kind" }, element("option", { value: "plane", textContent: t("drawPlane") }), element("option", { value: "curve", textContent: t("drawCurve") }));
    kind.value = this.plane ? "plane" : "curve";
    kind.onchange = () => { this.plane = kind.value === "plane"; this.points = []; this.build(); this.draw(); };
    this.canvas = element("canvas", { tabIndex: 0, ariaLabel: t("drawHelp") });
    this.count = element("span", { className: "hint" });
    const brushes = element("div", { className: "brushes", hidden: !this.plane }, ...["A", "B", "C"].map((name, i) => {
      const button = element("button", { type: "button", textContent: name, ariaPressed: String(i === this.chosen) });
      button.style.setProperty("--brush", classColor(i));
      button.onclick = () => { this.chosen = i; this.build(); this.draw(); };
      return button;
    }));
    const button = (text, id, action, kind = "") => element("button", { type: "button", id, textContent: t(text), className: kind, onclick: action });
    this.dialog.replaceChildren(
      element("h2", { textContent: t("drawTitle") }), element("div", { className: "row" }, kind, brushes, this.count), this.canvas, element("p", { className: "note", textContent: t("drawHelp") }),
      element("div", { className: "row ends" }, button("clear", "drawing-clear", () => { this.points = []; this.draw(); }), button("cancel", "drawing-cancel", () => this.dialog.close()),
        button("use", "drawing-use", () => { this.dialog.close(); this.done(this.points, this.plane); }, "primary")),
    );
    this.canvas.onpointerdown = (event) => { this.canvas.setPointerCapture(event.pointerId); this.down = true; this.spray(event, true); };
    this.canvas.onpointermove = (event) => this.down && this.spray(event, false);
    this.canvas.onpointerup = this.canvas.onpointercancel = () => { this.down = false; };
    this.canvas.onkeydown = (event) => {
      const step = { ArrowLeft: [-0.05, 0], ArrowRight: [0.05, 0], ArrowUp: [0, 0.05], ArrowDown: [0, -0.05] }[event.key];
      if (step) this.cursor = this.cursor.map((v, i) => Math.max(-1, Math.min(1, v + step[i])));
      else if (event.key === " ") this.add(...this.cursor);
      else return;
      event.preventDefault();
      this.draw();
    };
  }

  spray(event, first) {
    const now = performance.now();
    if (!first && now - (this.last ?? 0) < EVERY) return;
    this.last = now;
    const box = this.canvas.getBoundingClientRect();
    const x = ((event.clientX - box.left) / box.width) * 2 - 1, y = 1 - ((event.clientY - box.top) / box.height) * 2;
    const spread = this.plane && !first ? SPRAY : 0;
    for (let i = 0; i < (this.plane && !first ? 2 : 1); i++) this.add(x + spread * normal(), y + spread * normal());
    this.draw();
  }

  add(x, y) {
    if (this.points.length >= MOST) return;
    const [a, b] = [x, y].map((v) => Number(Math.max(-1, Math.min(1, v)).toFixed(2)));
    this.points.push(this.plane ? [a, b, this.chosen] : [a, b]);
  }

  draw() {
    const { context, width, height } = open(this.canvas);
    context.strokeStyle = theme.line;
    for (let i = 1; i < 4; i++) {
      line(context, (i * width) / 4, 0, (i * width) / 4, height);
      line(context, 0, (i * height) / 4, width, (i * height) / 4);
    }
    for (const [x, y, c] of this.points) {
      mark(context, c ?? 0, ((x + 1) / 2) * width, ((1 - y) / 2) * height, 4);
      context.fillStyle = this.plane ? classColor(c) : theme.accent;
      context.fill();
    }
    context.strokeStyle = theme.ink;
    mark(context, 0, ((this.cursor[0] + 1) / 2) * width, ((1 - this.cursor[1]) / 2) * height, 7);
    if (document.activeElement === this.canvas) context.stroke();
    this.count.textContent = t("points", this.points.length);
  }
}

const normal = () => Math.sqrt(-2 * Math.log(1 - Math.random())) * Math.cos(2 * Math.PI * Math.random());
