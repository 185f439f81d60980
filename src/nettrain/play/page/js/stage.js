// The pictures of what the lanes have learnt: over two inputs one beside the other, over one input in one plot.

import { DASHES, axes, bytes, classColor, contour, curve, laneColor, mark, open, picture, theme } from "./canvas.js";
import { t } from "./texts.js";

const MARGIN = { left: 34, right: 8, top: 8, bottom: 22 };
const NARROW = { left: 5, right: 5, top: 4, bottom: 5 }; // of one picture among several, without numbers

export class Stage {
  constructor(root) {
    this.root = root;
    this.canvases = [];
    this.marked = null; // samples of a batch that are pointed out, by their numbers
    this.unit = null; // the picture of a hidden unit that is shown in the place of the first lane's
  }

  // Make the canvases for a problem.
  begin(problem, labels) {
    this.problem = problem;
    this.single = problem.inputs.length === 1;
    const count = this.single ? 1 : problem.lanes.length;
    this.root.replaceChildren();
    this.root.dataset.count = count;
    this.canvases = Array.from({ length: count }, (_, i) => {
      const figure = document.createElement("figure");
      const canvas = document.createElement("canvas");
      canvas.setAttribute("role", "img");
      const caption = document.createElement("figcaption");
      if (count > 1) figure.append(caption);
      figure.append(canvas);
      caption.append(swatch(i), named("span", "name", labels[i] ?? ""), named("b", "value", ""));
      this.root.append(figure);
      return { canvas, caption, value: caption.querySelector("b") };
    });
    this.samples = null;
  }

  draw(frame, summary) {
    this.canvases.forEach(({ canvas, value }, i) => {
      const { context, width, height } = open(canvas);
      const margin = this.canvases.length > 2 ? NARROW : MARGIN;
      const box = { x: margin.left, y: margin.top, width: width - margin.left - margin.right, height: height - margin.top - margin.bottom };
      if (box.width < 20 || box.height < 20) return;
      if (this.single) this.drawCurves(context, box, frame);
      else this.drawField(context, box, frame.lanes[i], i);
      value.textContent = summary[i];
      canvas.setAttribute("aria-label", `${t("epoch")} ${frame.lanes[i].epoch}: ${summary[i]}`);
    });
  }

  drawField(context, box, lane, i) {
    const { problem } = this;
    const many = problem.seeds > 1;
    const unit = this.unit && i === this.focus ? this.unit : null;
    const size = unit ? problem.unit_size : problem.size;
    const inner = size * size;
    context.save();
    context.beginPath();
    context.rect(box.x, box.y, box.width, box.height);
    context.clip();
    if (unit) {
      picture(context, bytes(unit), size, box.x, box.y, box.width, box.height);
    } else {
      const values = bytes(lane.picture.value);
      const chosen = lane.picture.class ? bytes(lane.picture.class) : null;
      const shown = many ? mean(values, inner, problem.seeds) : values;
      const classes = Math.max(2, problem.classes.length);
      picture(context, shown, size, box.x, box.y, box.width, box.height, {
        chosen: chosen && (many ? vote(chosen, inner, problem.seeds, classes) : chosen), classes,
      });
      this.drawBoundaries(context, box, values, lane, size, many);
    }
    context.restore();
    this.drawSamples(context, box);
    context.strokeStyle = theme.line;
    context.strokeRect(box.x + 0.5, box.y + 0.5, box.width - 1, box.height - 1);
    const { inputs } = problem.box;
    if (this.canvases.length < 3) axes(context, box, inputs[0], inputs[1], { grid: false, xLabel: problem.inputs[0], yLabel: problem.inputs[1], ticksX: 5 });
  }

  // Where the most probable class changes: one line, or the cloud of those of all seeds.
  drawBoundaries(context, box, values, lane, size, many) {
    const { classes } = this.problem;
    const inner = size * size;
    context.strokeStyle = theme.ink;
    context.globalAlpha = many ? 0.28 : 0.9;
    context.lineWidth = many ? 1 : 1.8;
    context.beginPath();
    if (classes.length === 2) {
      for (let at = 0; at < values.length; at += inner) contour(context, values.subarray(at, at + inner), size, 127.5, box.x, box.y, box.width, box.height);
    } else if (classes.length) {
      const chosen = bytes(lane.picture.class), margin = bytes(lane.picture.margin);
      for (let at = 0; at < chosen.length; at += inner) {
        for (let c = 0; c < classes.length; c++) {
          const lead = Int16Array.from({ length: inner }, (_, i) => (chosen[at + i] === c ? margin[at + i] + 1 : -margin[at + i] - 1));
          contour(context, lead, size, 0, box.x, box.y, box.width, box.height);
        }
      }
    }
    context.stroke();
    context.globalAlpha = 1;
  }

  // The samples stay where they are: they are drawn once, on a sheet that is laid over each frame.
  drawSamples(context, box) {
    const ratio = window.devicePixelRatio || 1;
    const key = [box.width, box.height, ratio, theme.dark].join(" ");
    if (this.samples?.key !== key) this.samples = { key, sheet: this.sheet(box, ratio) };
    context.drawImage(this.samples.sheet, box.x, box.y, box.width, box.height);
    if (!this.marked) return;
    const { toX, toY, radius } = this.places(box);
    context.lineWidth = 2;
    context.strokeStyle = theme.ink;
    for (const i of this.marked) {
      mark(context, 0, box.x + toX(i), box.y + toY(i), radius + 3);
      context.stroke();
    }
  }

  // Where each sample lies in a box, and how large it is.
  places(box) {
    const { problem, single } = this;
    const [[left, right], [low, high]] = [problem.box.inputs[0], single ? problem.box.target : problem.box.inputs[1]];
    const toX = (i) => ((problem.x[i][0] - left) / (right - left)) * box.width;
    const toY = (i) => box.height - (((single ? problem.y[i] : problem.x[i][1]) - low) / (high - low)) * box.height;
    const radius = Math.max(1.9, Math.min(4, Math.min(box.width, box.height) / 95)) * (problem.x.length > 700 ? 0.7 : 1);
    return { toX, toY, radius };
  }

  sheet(box, ratio) {
    const { problem } = this;
    const sheet = document.createElement("canvas");
    sheet.width = Math.round(box.width * ratio);
    sheet.height = Math.round(box.height * ratio);
    const context = sheet.getContext("2d");
    context.scale(sheet.width / box.width, sheet.height / box.height);
    const { toX, toY, radius } = this.places(box);
    const classes = problem.classes.length;
    const [low, high] = problem.box.target;
    for (let i = 0; i < problem.x.length; i++) {
      if (problem.split[i] === 2) continue; // what tests is for the end
      const training = problem.split[i] === 0;
      const color = classes ? classColor(problem.y[i]) : this.single ? theme.faint : rampColor((problem.y[i] - low) / (high - low));
      mark(context, classes ? problem.y[i] : 0, toX(i), toY(i), radius);
      context.lineWidth = training ? 1 : 1.5;
      context.fillStyle = training ? color : theme.panel;
      context.strokeStyle = training ? theme.panel : color;
      context.fill();
      context.stroke();
    }
    return sheet;
  }

  drawCurves(context, box, frame) {
    const { problem } = this;
    const xs = problem.box.inputs[0];
    const ys = problem.box.target;
    const { toX, toY } = axes(context, box, xs, ys, { xLabel: problem.inputs[0], yLabel: problem.classes.length ? `P(${problem.classes.at(-1)})` : problem.target });
    context.save();
    context.beginPath();
    context.rect(box.x, box.y, box.width, box.height);
    context.clip();
    this.drawSamples(context, box);
    const at = (points) => points.map((_, k) => toX(xs[0] + (k / (points.length - 1)) * (xs[1] - xs[0])));
    frame.lanes.forEach((lane, i) => {
      const runs = lane.picture.curves;
      const places = at(runs[0][0]);
      context.strokeStyle = context.fillStyle = laneColor(i);
      if (runs[0].length === 3 && !problem.classes.length) {
        for (const [, low, high] of runs) {
          context.globalAlpha = runs.length > 1 ? 0.02 : 0.16;
          context.beginPath();
          places.forEach((x, k) => context[k ? "lineTo" : "moveTo"](x, toY(low[k] ?? 0)));
          for (let k = places.length - 1; k >= 0; k--) context.lineTo(places[k], toY(high[k] ?? 0));
          context.fill();
        }
      }
      context.setLineDash(DASHES[i % DASHES.length]);
      context.globalAlpha = runs.length > 1 ? 0.3 : 1;
      context.lineWidth = runs.length > 1 ? 1 : 2.6;
      const drawn = problem.classes.length > 2 ? runs[0].length : 1;
      for (const run of runs) {
        for (let c = 0; c < drawn; c++) {
          if (drawn > 1) context.strokeStyle = classColor(c);
          curve(context, places, run[c].map((y) => (y === null ? null : toY(y))));
        }
      }
      if (runs.length > 1) {
        context.globalAlpha = 1;
        context.lineWidth = 2.6;
        const middle = runs[0][0].map((_, k) => median(runs.map((run) => run[0][k])));
        curve(context, places, middle.map((y) => (y === null ? null : toY(y))));
      }
      context.setLineDash([]);
      context.globalAlpha = 1;
    });
    if (this.unit) this.drawUnitCurve(context, box, toX, xs);
    context.restore();
  }

  drawUnitCurve(context, box, toX, xs) {
    const values = bytes(this.unit);
    context.strokeStyle = theme.ink;
    context.lineWidth = 2;
    curve(context, Array.from(values, (_, k) => toX(xs[0] + (k / (values.length - 1)) * (xs[1] - xs[0]))),
      Array.from(values, (v) => box.y + box.height * (1 - (0.1 + 0.8 * v / 255))));
  }
}

const named = (tag, className, textContent) => Object.assign(document.createElement(tag), { className, textContent });

export function swatch(i) {
  const canvas = document.createElement("canvas");
  canvas.className = "swatch";
  canvas.width = 52;
  canvas.height = 20;
  const context = canvas.getContext("2d");
  context.scale(2, 2);
  context.strokeStyle = laneColor(i);
  context.lineWidth = 2.6;
  context.setLineDash(DASHES[i % DASHES.length]);
  context.beginPath();
  context.moveTo(0, 5);
  context.lineTo(26, 5);
  context.stroke();
  return canvas;
}

function mean(values, inner, count) {
  const sums = new Float32Array(inner);
  for (let i = 0; i < values.length; i++) sums[i % inner] += values[i];
  return Uint8Array.from(sums, (sum) => sum / count);
}

function vote(chosen, inner, count, classes) {
  const votes = new Uint16Array(inner * classes);
  for (let i = 0; i < chosen.length; i++) votes[(i % inner) * classes + chosen[i]]++;
  return Uint8Array.from({ length: inner }, (_, i) => {
    const here = votes.subarray(i * classes, (i + 1) * classes);
    return here.indexOf(Math.max(...here));
  });
}

function rampColor(share) {
  const side = share < 0.5 ? [213, 94, 0] : [0, 114, 178];
  const strength = Math.min(1, Math.abs(share - 0.5) * 2);
  return `rgb(${theme.neutral.map((v, i) => Math.round(v + (side[i] - v) * strength)).join(",")})`;
}

function median(values) {
  const sorted = values.filter((v) => v !== null).sort((a, b) => a - b);
  return sorted.length ? sorted[sorted.length >> 1] : null;
}
