// The charts: loss over epochs, gradient and saturation of each layer, the updates of an epoch, the loss surface.

import { DASHES, axes, bytes, contour, curve, laneColor, mark, open, short, theme } from "./canvas.js";
import { t } from "./texts.js";

const box = (width, height, left = 44, right = 10, top = 8, bottom = 22) => ({ x: left, y: top, width: width - left - right, height: height - top - bottom });

// `histories`: of each lane its rows [epoch, train loss, val loss, ...]; of several seeds quantiles of these.
export function drawLoss(canvas, histories, problem) {
  const { context, width, height } = open(canvas);
  const many = problem.seeds > 1;
  const inside = box(width, height);
  const losses = histories.flat().flatMap((row) => (many ? [row[1][1], row[1][3], row[2][0], row[2][2], row[2][3]] : [row[1], row[2]])).filter((v) => v !== null && v !== undefined && Number.isFinite(v));
  const epochs = Math.max(10, ...histories.map((rows) => (rows.length ? rows.at(-1)[0] : 0)));
  const positive = losses.filter((v) => v > 0);
  const log = losses.length > 0 && positive.length === losses.length;
  let low = losses.length ? Math.min(...losses) : 0.1;
  let high = losses.length ? Math.max(...losses) : 1;
  if (log) {
    high = Math.min(high, 1e4 * median(positive)); // one that has diverged does not flatten the others
    [low, high] = [low / 1.25, Math.max(high * 1.15, low * 2)];
  } else [low, high] = [low - 0.06 * (high - low || 1), high + 0.06 * (high - low || 1)];
  const { toX, toY } = axes(context, inside, [0, epochs], [low, high], { logY: log, xLabel: t("epoch") });
  context.save();
  context.beginPath();
  context.rect(inside.x, inside.y, inside.width, inside.height);
  context.clip();
  histories.forEach((rows, i) => {
    if (!rows.length) return;
    const thin = thinned(rows, Math.ceil(inside.width));
    const xs = thin.map((row) => toX(row[0]));
    const at = (pick) => thin.map((row) => { const v = pick(row); return v === null || v === undefined || (log && v <= 0) ? null : toY(v); });
    context.strokeStyle = context.fillStyle = laneColor(i);
    if (many) {
      band(context, xs, at((row) => row[2][0]), at((row) => row[2][4] ?? 1e30), 0.13, inside);
      band(context, xs, at((row) => row[2][1]), at((row) => row[2][3] ?? 1e30), 0.28, inside);
    }
    const [train, val] = many ? [at((row) => row[1][2]), at((row) => row[2][2])] : [at((row) => row[1]), at((row) => row[2])];
    context.globalAlpha = 0.6;
    context.lineWidth = 1.2;
    context.setLineDash(histories.length > 1 ? DASHES[i % DASHES.length] : [4, 3]);
    curve(context, xs, train);
    context.globalAlpha = 1;
    context.lineWidth = 2.3;
    context.setLineDash(histories.length > 1 ? DASHES[i % DASHES.length] : []);
    curve(context, xs, val);
    context.setLineDash([]);
    if (val.at(-1) !== null) {
      mark(context, 0, xs.at(-1), val.at(-1), 3);
      context.fill();
    }
  });
  context.restore();
}

function band(context, xs, low, high, alpha, inside) {
  context.globalAlpha = alpha;
  context.beginPath();
  const top = (y) => Math.max(inside.y - 5, Math.min(inside.y + inside.height + 5, y ?? inside.y));
  xs.forEach((x, k) => context[k ? "lineTo" : "moveTo"](x, top(low[k])));
  for (let k = xs.length - 1; k >= 0; k--) context.lineTo(xs[k], top(high[k]));
  context.fill();
  context.globalAlpha = 1;
}

function thinned(rows, most) {
  if (rows.length <= most) return rows;
  const step = rows.length / most;
  return Array.from({ length: most }, (_, i) => rows[Math.min(rows.length - 1, Math.floor((i + 1) * step) - 1)]);
}

const median = (values) => [...values].sort((a, b) => a - b)[values.length >> 1];

// `lanes`: of each lane {gradient_norm: {layer: value}, saturated: {...}, dead: {...}}.
export function drawLayers(canvas, lanes) {
  const { context, width, height } = open(canvas);
  const names = [...new Set(lanes.flatMap((layers) => Object.keys(layers.gradient_norm ?? {})))];
  if (!names.length) return empty(context, width, height, t("afterFirstEpoch"));
  const shares = lanes.map((layers) => ({ ...layers.dead, ...layers.saturated }));
  const flat = shares.some((share) => Object.keys(share).length);
  const inside = box(width, height, 72, 12, 6, 22);
  const left = { ...inside, width: flat ? inside.width * 0.6 : inside.width };
  const right = { ...inside, x: left.x + left.width + 22, width: inside.width - left.width - 22 };
  const values = lanes.flatMap((layers) => Object.values(layers.gradient_norm ?? {})).filter((v) => v > 0);
  const high = Math.max(1e-2, ...values) * 2, low = Math.max(high * 1e-12, Math.min(high / 1e3, ...values) / 2);
  const { toX } = axes(context, left, [low, high], [0, 1], { logX: true, ticksY: 0 });
  const rowHeight = inside.height / names.length;
  const thickness = Math.min(14 / Math.sqrt(lanes.length), (rowHeight * 0.66) / lanes.length);
  names.forEach((name, row) => {
    const middle = inside.y + (row + 0.5) * rowHeight;
    context.fillStyle = theme.ink;
    context.textAlign = "right";
    context.textBaseline = "middle";
    context.fillText(layerName(name), left.x - 8, middle);
    lanes.forEach((layers, i) => {
      const y = middle + (i - lanes.length / 2) * thickness;
      const value = layers.gradient_norm?.[name];
      context.fillStyle = laneColor(i);
      if (value > 0) context.fillRect(left.x, y, Math.max(1, toX(value) - left.x), thickness - (lanes.length > 1 ? 1 : 0));
      const share = shares[i][name];
      if (share === undefined || share === null) return;
      context.fillStyle = theme.line;
      context.fillRect(right.x, y, right.width, thickness - (lanes.length > 1 ? 1 : 0));
      context.fillStyle = laneColor(lanes.length > 1 ? i : 1);
      context.fillRect(right.x, y, right.width * share, thickness - (lanes.length > 1 ? 1 : 0));
      if (lanes.length > 1) return;
      context.fillStyle = theme.ink;
      context.textAlign = "left";
      context.fillText(`${Math.round(100 * share)} %`, right.x + 4, middle);
    });
  });
  if (!flat) return;
  context.fillStyle = theme.faint;
  context.textAlign = "left";
  context.textBaseline = "top";
  context.fillText(lanes.some((layers) => layers.saturated) ? t("saturated") : t("dead"), right.x, inside.y + inside.height + 4);
}

const layerName = (name) => {
  const number = name.match(/^layers\.(\d+)$/);
  return number ? `${t("layer")} ${Number(number[1]) + 1}` : name;
};

export function empty(context, width, height, text) {
  context.fillStyle = theme.faint;
  context.textAlign = "center";
  context.textBaseline = "middle";
  context.font = "12px system-ui, sans-serif";
  const words = text.split(" ");
  const lines = [""];
  for (const word of words) {
    if (context.measureText(`${lines.at(-1)} ${word}`).width > width - 30) lines.push(word);
    else lines[lines.length - 1] = `${lines.at(-1)} ${word}`.trim();
  }
  lines.forEach((text, i) => context.fillText(text, width / 2, height / 2 + (i - (lines.length - 1) / 2) * 16));
}

// The batches of an epoch, each with its loss before its update; gives where each bar is.
export function drawBatches(canvas, losses, total, chosen) {
  const { context, width, height } = open(canvas);
  const inside = box(width, height, 44, 10, 8, 20);
  const high = Math.max(1e-9, ...losses.filter((v) => v !== null)) * 1.12;
  axes(context, inside, [0.5, total + 0.5], [0, high], { ticksX: 0, ticksY: 3 });
  context.clearRect(inside.x, inside.y + inside.height + 1, width, 20);
  const step = inside.width / total;
  const gap = step > 6 ? Math.min(6, step * 0.2) : 0;
  for (let i = 0; i < total; i++) {
    const x = inside.x + i * step + gap / 2;
    const done = i < losses.length && losses[i] !== null;
    const size = done ? Math.max(2, (losses[i] / high) * inside.height) : 4;
    context.globalAlpha = done ? (i === chosen ? 1 : 0.55) : 1;
    context.fillStyle = done ? (i === chosen ? laneColor(1) : laneColor(0)) : theme.line;
    context.fillRect(x, inside.y + inside.height - size, Math.max(1, step - gap), size);
  }
  context.globalAlpha = 1;
  context.fillStyle = theme.faint;
  context.textBaseline = "top";
  const every = Math.max(1, Math.ceil(total / 12));
  context.textAlign = "center";
  for (let i = 0; i < total; i += every) context.fillText(i + 1, inside.x + (i + 0.5) * step, inside.y + inside.height + 5);
  return (x) => Math.max(0, Math.min(total - 1, Math.floor((x - inside.x) / step)));
}

export function drawSurface(canvas, surface) {
  const { context, width, height } = open(canvas);
  const inside = box(width, height, 44, 12, 8, 24);
  const { size } = surface;
  const finite = surface.loss.filter((v) => v !== null);
  const low = Math.min(...finite), high = Math.max(...finite);
  // Levels are close together where the loss is low: the valley is what matters.
  const share = (v) => (v === null ? 1 : Math.sqrt((v - low) / (high - low || 1)));
  const image = context.createImageData(size, size);
  for (let row = 0; row < size; row++) {
    for (let column = 0; column < size; column++) {
      const color = valley(share(surface.loss[(size - 1 - row) * size + column]));
      image.data.set([...color, 255], 4 * (row * size + column));
    }
  }
  const off = document.createElement("canvas");
  off.width = off.height = size;
  off.getContext("2d").putImageData(image, 0, 0);
  context.imageSmoothingEnabled = true;
  context.imageSmoothingQuality = "high";
  context.drawImage(off, inside.x, inside.y, inside.width, inside.height);
  context.save();
  context.beginPath();
  context.rect(inside.x, inside.y, inside.width, inside.height);
  context.clip();
  const shares = surface.loss.map(share);
  context.strokeStyle = theme.dark ? "rgba(255,255,255,.35)" : "rgba(255,255,255,.75)";
  context.lineWidth = 0.8;
  context.beginPath();
  for (let level = 0.08; level < 1; level += 0.08) contour(context, shares, size, level, inside.x, inside.y, inside.width, inside.height);
  context.stroke();
  const toX = (a) => inside.x + ((a - surface.a[0]) / (surface.a[1] - surface.a[0])) * inside.width;
  const toY = (b) => inside.y + inside.height - ((b - surface.b[0]) / (surface.b[1] - surface.b[0])) * inside.height;
  surface.paths.forEach((path, i) => {
    const points = path.map(([a, b]) => [toX(a), toY(b)]);
    context.lineWidth = 4.5;
    context.strokeStyle = "rgba(255,255,255,.85)";
    curve(context, points.map((p) => p[0]), points.map((p) => p[1]));
    context.lineWidth = 2.2;
    context.strokeStyle = context.fillStyle = onSurface(i);
    context.setLineDash(DASHES[i % DASHES.length]);
    curve(context, points.map((p) => p[0]), points.map((p) => p[1]));
    context.setLineDash([]);
    if (points.length < 60) for (const [x, y] of points) { mark(context, 0, x, y, 2.2); context.fill(); }
    const [x, y] = points.at(-1);
    mark(context, i, x, y, 5.5);
    context.fill();
    context.lineWidth = 1.5;
    context.strokeStyle = "#fff";
    context.stroke();
  });
  const [x0, y0] = [toX(surface.paths[0][0][0]), toY(surface.paths[0][0][1])];
  mark(context, 0, x0, y0, 4.5);
  context.fillStyle = "#fff";
  context.strokeStyle = "#000";
  context.lineWidth = 1.5;
  context.fill();
  context.stroke();
  if (surface.minimum) {
    const [x, y] = [toX(surface.minimum[0]), toY(surface.minimum[1])];
    context.strokeStyle = "#000";
    context.lineWidth = 2;
    for (const [dx, dy] of [[1, 1], [1, -1]]) { context.beginPath(); context.moveTo(x - 5 * dx, y - 5 * dy); context.lineTo(x + 5 * dx, y + 5 * dy); context.stroke(); }
  }
  context.restore();
  axes(context, inside, surface.a, surface.b, { grid: false, xLabel: surface.names[0], yLabel: surface.names[1], ticksX: 5 });
}

// Lanes on the colours of the surface, which are the same in the dark.
const onSurface = (i) => ["#0072B2", "#C04A00", "#007A58", "#A8417F", "#8A5F00", "#222222"][i % 6];

// From the floor of the valley, light, to its rims, dark: cividis backwards, as in the reports' figures.
const STOPS = [[253, 234, 69], [201, 184, 105], [153, 143, 117], [112, 112, 116], [73, 83, 109], [35, 58, 109], [0, 34, 78]];
function valley(share) {
  const at = Math.min(0.9999, Math.max(0, share)) * (STOPS.length - 1);
  const i = Math.floor(at);
  return STOPS[i].map((v, k) => Math.round(v + (STOPS[i + 1][k] - v) * (at - i)));
}

// One small picture for each seed.
export function drawSeeds(root, lane, problem, column) {
  const count = problem.seeds, size = problem.size, inner = size * size;
  if (root.childElementCount !== count) {
    root.replaceChildren(...Array.from({ length: count }, () => {
      const button = document.createElement("button");
      button.type = "button";
      button.append(document.createElement("canvas"), document.createElement("span"));
      return button;
    }));
  }
  const values = lane.picture.value ? bytes(lane.picture.value) : null;
  const chosen = lane.picture.class ? bytes(lane.picture.class) : null;
  const losses = lane.seed_losses;
  const best = losses.indexOf(Math.min(...losses.filter((v) => v !== null)));
  [...root.children].forEach((button, seed) => {
    const { context, width, height } = open(button.firstChild);
    if (!width) return;
    if (values) column.picture(context, values.subarray(seed * inner, (seed + 1) * inner), size, 0, 0, width, height, {
      chosen: chosen?.subarray(seed * inner, (seed + 1) * inner), classes: Math.max(2, problem.classes.length), strength: 0.95,
    });
    else {
      const ys = lane.picture.curves[seed][0];
      const [low, high] = problem.box.target;
      context.strokeStyle = laneColor(0);
      context.lineWidth = 1.6;
      curve(context, ys.map((_, k) => (k / (ys.length - 1)) * width), ys.map((y) => (y === null ? null : height * (1 - (y - low) / (high - low)))));
    }
    button.className = seed === best ? "best" : "";
    button.lastChild.textContent = short(losses[seed], 2);
    button.title = `seed=${column.first + seed}: ${short(losses[seed])}`;
    button.setAttribute("aria-label", button.title);
    button.onclick = () => column.open(column.first + seed);
  });
}
