// The network: every input, hidden unit and output as a picture of what it is over the inputs, joined by its weights.

import { bytes, curve, laneColor, open, picture, theme } from "./canvas.js";
import { t } from "./texts.js";

const MOST_INPUTS = 8, MOST_UNITS = 16;

export class Network {
  constructor(root, chosen) {
    this.root = root;
    this.chosen = chosen; // called with the picture of the unit that is pointed at, or null
    this.links = document.createElement("canvas");
    this.links.className = "links";
    this.columns = [];
    this.shape = "";
  }

  // Make a button for each unit where the shape is a new one.
  build(units, features, outputs) {
    const layers = [...units.map((layer, i) => Math.min(layer.pictures.length, i ? MOST_UNITS : MOST_INPUTS)), outputs.length];
    const shape = JSON.stringify([layers, features, outputs]);
    if (shape === this.shape) return;
    this.shape = shape;
    this.root.replaceChildren(this.links);
    this.columns = layers.map((count, layer) => {
      const column = document.createElement("div");
      column.className = "layer";
      column.dataset.many = count > 8 ? "1" : "";
      const nodes = Array.from({ length: count }, (_, i) => this.node(layer, i, layers.length, features, outputs));
      column.append(...nodes.map((node) => node.element));
      const all = layer < units.length ? units[layer].pictures.length : count;
      if (all > count) column.append(Object.assign(document.createElement("small"), { textContent: `+ ${all - count}` }));
      this.root.append(column);
      return nodes;
    });
  }

  node(layer, i, count, features, outputs) {
    const last = layer === count - 1;
    const element = document.createElement(last ? "div" : "button");
    if (!last) element.type = "button";
    element.className = "unit";
    const canvas = document.createElement("canvas");
    element.append(canvas);
    const name = layer === 0 ? features[i] : last ? outputs[i] : `${t("unit")} ${layer}.${i + 1}`;
    if (layer === 0 || last) element.append(Object.assign(document.createElement("span"), { textContent: name }));
    element.title = name;
    element.setAttribute("aria-label", name);
    const node = { element, canvas, name };
    if (!last) {
      element.onpointerenter = element.onfocus = () => this.point(layer, i);
      element.onpointerleave = element.onblur = () => this.point(null);
    }
    return node;
  }

  point(layer, i) {
    this.pointed = layer === null ? null : [layer, i];
    this.chosen(this.picture);
  }

  // The picture of the unit that is pointed at.
  get picture() {
    if (!this.pointed || !this.units) return null;
    const [layer, i] = this.pointed;
    return this.units[layer]?.pictures[i] ?? null;
  }

  draw(state, problem, lane) {
    const outputs = problem.classes.length > 2 ? problem.classes : [problem.target];
    this.units = state.units;
    this.build(state.units, lane.features, outputs);
    const flat = problem.inputs.length === 1;
    this.columns.forEach((nodes, layer) => nodes.forEach((node, i) => {
      const { context, width, height } = open(node.canvas);
      if (!width) return;
      if (layer < state.units.length) this.drawUnit(context, state.units[layer].pictures[i], problem.unit_size, flat, width, height);
      else this.drawOutput(context, state.picture, problem, i, flat, width, height);
    }));
    this.drawLinks(state.weights);
  }

  drawUnit(context, text, size, flat, width, height) {
    if (!text) return;
    const values = bytes(text);
    if (!flat) return picture(context, values, size, 0, 0, width, height, { strength: 0.95 });
    context.strokeStyle = theme.line;
    context.lineWidth = 1;
    curve(context, [0, width], [height / 2, height / 2]);
    context.strokeStyle = laneColor(0);
    context.lineWidth = 1.8;
    curve(context, Array.from(values, (_, k) => (k / (values.length - 1)) * width), Array.from(values, (v) => height * (1 - (0.08 + 0.84 * v / 255))));
  }

  drawOutput(context, shown, problem, i, flat, width, height) {
    if (flat) {
      const ys = shown.curves[0][Math.min(i, shown.curves[0].length - 1)];
      const [low, high] = problem.box.target;
      context.strokeStyle = laneColor(0);
      context.lineWidth = 2;
      curve(context, ys.map((_, k) => (k / (ys.length - 1)) * width), ys.map((y) => (y === null ? null : height * (1 - (y - low) / (high - low)))));
      return;
    }
    const values = bytes(shown.value);
    const chosen = shown.class ? bytes(shown.class) : null;
    if (chosen) for (let k = 0; k < values.length; k++) if (chosen[k] !== i) values[k] = 0;
    picture(context, values, problem.size, 0, 0, width, height, { chosen, classes: Math.max(2, problem.classes.length), strength: 0.95 });
  }

  // A link is as thick as its weight is large; blue ones are positive and solid, orange ones negative and dashed.
  drawLinks(weights) {
    const { context } = open(this.links);
    if (!weights) return;
    const frame = this.links.getBoundingClientRect();
    const place = (node, side) => {
      const r = node.canvas.getBoundingClientRect();
      return [(side ? r.right : r.left) - frame.left, r.top + r.height / 2 - frame.top];
    };
    weights.forEach((matrix, layer) => {
      const from = this.columns[layer], to = this.columns[layer + 1];
      if (!from || !to) return;
      const largest = Math.max(1e-9, ...matrix.flat().map((v) => Math.abs(v ?? 0)));
      matrix.slice(0, to.length).forEach((row, j) => row.slice(0, from.length).forEach((weight, i) => {
        if (weight === null) return;
        const share = Math.abs(weight) / largest;
        const [x0, y0] = place(from[i], true), [x1, y1] = place(to[Math.min(j, to.length - 1)], false);
        context.globalAlpha = 0.15 + 0.75 * share;
        context.lineWidth = 0.4 + 3.6 * share;
        context.strokeStyle = weight > 0 ? laneColor(0) : laneColor(1);
        context.setLineDash(weight > 0 ? [] : [5, 3]);
        context.beginPath();
        context.moveTo(x0, y0);
        context.bezierCurveTo((x0 + x1) / 2, y0, (x0 + x1) / 2, y1, x1, y1);
        context.stroke();
      }));
    });
    context.globalAlpha = 1;
    context.setLineDash([]);
  }
}
