// What all pictures share: sharp canvases, colours of the theme, axes, pictures of bytes, lines of equal value.

// Okabe and Ito (2008), "Color Universal Design"; beside its colour each line has a dash of its own.
const LIGHT = ["#0072B2", "#D55E00", "#009E73", "#CC79A7", "#B07C00", "#3A3A3A"];
const DARK = ["#56B4E9", "#FF8C42", "#2CCB9B", "#E59CC5", "#F0C04A", "#D5D5D5"];
const CLASSES = [[213, 94, 0], [0, 114, 178], [0, 158, 115], [204, 121, 167], [230, 159, 0], [86, 180, 233]];
export const DASHES = [[], [7, 3], [2, 3], [9, 3, 2, 3], [12, 4], [4, 2, 1, 2]];

export const theme = { dark: false };

export function readTheme() {
  const style = getComputedStyle(document.documentElement);
  const read = (name) => style.getPropertyValue(name).trim();
  Object.assign(theme, {
    dark: read("--dark") === "1",
    ink: read("--ink"),
    faint: read("--faint"),
    line: read("--line"),
    panel: read("--panel"),
    accent: read("--accent"),
    neutral: read("--neutral").split(",").map(Number),
  });
}

export const laneColor = (i) => (theme.dark ? DARK : LIGHT)[i % LIGHT.length];
export const classColor = (i) => `rgb(${CLASSES[i % CLASSES.length].join(",")})`;

// A context in CSS pixels, cleared, of a canvas as large as its box.
export function open(canvas) {
  const ratio = window.devicePixelRatio || 1;
  const { clientWidth: width, clientHeight: height } = canvas;
  if (canvas.width !== Math.round(width * ratio) || canvas.height !== Math.round(height * ratio)) {
    canvas.width = Math.round(width * ratio);
    canvas.height = Math.round(height * ratio);
  }
  const context = canvas.getContext("2d");
  context.setTransform(ratio, 0, 0, ratio, 0, 0);
  context.clearRect(0, 0, width, height);
  context.font = "11px system-ui, sans-serif";
  context.lineJoin = "round";
  return { context, width, height };
}

export function bytes(text) {
  const raw = atob(text);
  const values = new Uint8Array(raw.length);
  for (let i = 0; i < raw.length; i++) values[i] = raw.charCodeAt(i);
  return values;
}

const mix = (from, to, share) => from.map((value, i) => value + (to[i] - value) * share);

// 256 colours, as words of memory: from that of class 0 over neutral to that of class 1; or of a class, by its share.
const ramps = new Map();
function ramp(key, colorOf) {
  const name = `${key} ${theme.neutral}`;
  if (!ramps.has(name)) {
    const colors = Uint8ClampedArray.from(Array.from({ length: 256 }, (_, v) => [...colorOf(v / 255), 255]).flat());
    ramps.set(name, new Uint32Array(colors.buffer));
  }
  return ramps.get(name);
}

const between = (strength) => ramp(strength, (share) => mix(theme.neutral, CLASSES[share < 0.5 ? 0 : 1], strength * Math.abs(2 * share - 1)));

const ofClass = (c, classes, strength) => ramp([c, classes, strength], (share) => {
  const above = Math.max(0, (share - 1 / classes) / (1 - 1 / classes));
  return mix(theme.neutral, CLASSES[c % CLASSES.length], strength * (0.25 + 0.75 * above));
});

const scratch = document.createElement("canvas");

// Draw values, `size` x `size` bytes row by row from the bottom, into a rectangle; `chosen` are classes.
export function picture(context, values, size, x, y, width, height, { chosen = null, classes = 2, strength = 0.72 } = {}) {
  scratch.width = scratch.height = size;
  const inner = scratch.getContext("2d");
  const image = inner.createImageData(size, size);
  const words = new Uint32Array(image.data.buffer);
  const colors = chosen ? Array.from({ length: classes }, (_, c) => ofClass(c, classes, strength)) : between(strength);
  for (let row = 0; row < size; row++) {
    const from = (size - 1 - row) * size;
    for (let column = 0; column < size; column++) {
      const value = values[from + column];
      words[row * size + column] = chosen ? colors[chosen[from + column]][value] : colors[value];
    }
  }
  inner.putImageData(image, 0, 0);
  context.imageSmoothingEnabled = true;
  context.imageSmoothingQuality = "high";
  context.drawImage(scratch, 0, 0, size, size, x, y, width, height);
}

// Trace the lines on which a table of values, `size` x `size` from the bottom, has a value (marching squares).
export function contour(context, values, size, level, x, y, width, height) {
  const dx = width / (size - 1), dy = height / (size - 1), bottom = y + height;
  const xs = [0, 0, 0, 0], ys = [0, 0, 0, 0];
  for (let row = 0; row < size - 1; row++) {
    for (let column = 0; column < size - 1; column++) {
      const at = row * size + column;
      const a = values[at], b = values[at + 1], c = values[at + size + 1], d = values[at + size];
      const kind = (a > level) + 2 * (b > level) + 4 * (c > level) + 8 * (d > level);
      if (kind === 0 || kind === 15) continue;
      let found = 0;
      const cross = (column, row) => {
        xs[found] = x + column * dx;
        ys[found] = bottom - row * dy;
        found++;
      };
      if ((a > level) !== (b > level)) cross(column + (level - a) / (b - a), row);
      if ((b > level) !== (c > level)) cross(column + 1, row + (level - b) / (c - b));
      if ((c > level) !== (d > level)) cross(column + 1 - (level - c) / (d - c), row + 1);
      if ((d > level) !== (a > level)) cross(column, row + 1 - (level - d) / (a - d));
      for (let i = 0; i + 1 < found; i += 2) {
        context.moveTo(xs[i], ys[i]);
        context.lineTo(xs[i + 1], ys[i + 1]);
      }
    }
  }
}

export const short = (value, digits = 3) => {
  if (value === null || value === undefined || Number.isNaN(value)) return "–";
  if (!Number.isFinite(value)) return "∞";
  const size = Math.abs(value);
  if (size !== 0 && (size < 1e-3 || size >= 1e5)) return value.toExponential(1).replace("e+", "e").replace("-", "−").replace("e-", "e−");
  return String(Number(value.toPrecision(digits))).replace("-", "−");
};

function niceSteps(low, high, count) {
  if (!count) return [];
  const raw = (high - low) / count;
  const power = 10 ** Math.floor(Math.log10(raw));
  const step = [1, 2, 5, 10].map((m) => m * power).find((s) => s >= raw * 0.999);
  const ticks = [];
  for (let v = Math.ceil(low / step) * step; v <= high + step * 1e-6; v += step) ticks.push(Math.abs(v) < step * 1e-6 ? 0 : v);
  return ticks;
}

function logTicks(low, high) {
  const ticks = [];
  const first = Math.floor(Math.log10(low)), last = Math.ceil(Math.log10(high));
  const every = Math.max(1, Math.ceil((last - first) / 6));
  for (let p = first; p <= last; p += every) ticks.push(10 ** p);
  if (last - first <= 2) for (let p = first; p <= last; p++) ticks.push(2 * 10 ** p, 5 * 10 ** p);
  return ticks.filter((v) => v >= low * 0.999 && v <= high * 1.001).sort((a, b) => a - b);
}

// Axes of a chart: functions from values to pixels, with ticks and grid lines drawn.
export function axes(context, box, xs, ys, { logY = false, logX = false, xLabel = "", yLabel = "", grid = true, ticksX = 6, ticksY = 4 } = {}) {
  const map = (limits, log, from, to) => {
    const [low, high] = log ? limits.map(Math.log) : limits;
    const span = high - low || 1;
    return (value) => from + (((log ? Math.log(value) : value) - low) / span) * (to - from);
  };
  const toX = map(xs, logX, box.x, box.x + box.width);
  const toY = map(ys, logY, box.y + box.height, box.y);
  context.save();
  context.lineWidth = 1;
  context.fillStyle = theme.faint;
  context.strokeStyle = theme.line;
  context.textAlign = "center";
  context.textBaseline = "top";
  const named = xLabel && ticksX ? context.measureText(xLabel).width + 14 : 0; // the name stands beside the numbers
  for (const value of logX ? logTicks(...xs) : niceSteps(...xs, ticksX)) {
    const at = Math.round(toX(value)) + 0.5;
    if (grid) line(context, at, box.y, at, box.y + box.height);
    if (!named || at < box.x + box.width - named) context.fillText(short(value), at, box.y + box.height + 4);
  }
  context.textAlign = "right";
  context.textBaseline = "middle";
  for (const value of logY ? logTicks(...ys) : niceSteps(...ys, ticksY)) {
    const at = Math.round(toY(value)) + 0.5;
    if (grid) line(context, box.x, at, box.x + box.width, at);
    context.fillText(short(value), box.x - 5, at);
  }
  context.fillStyle = theme.ink;
  context.textAlign = "right";
  context.textBaseline = "top";
  if (xLabel) context.fillText(xLabel, box.x + box.width, box.y + box.height + 4);
  context.textAlign = "left";
  if (yLabel) label(context, yLabel, box.x + 5, box.y + 4);
  context.restore();
  return { toX, toY };
}

// A text that can be read on any picture.
function label(context, text, x, y) {
  context.lineWidth = 3.5;
  context.strokeStyle = theme.panel;
  context.fillStyle = theme.ink;
  context.strokeText(text, x, y);
  context.fillText(text, x, y);
}

export function line(context, x0, y0, x1, y1) {
  context.beginPath();
  context.moveTo(x0, y0);
  context.lineTo(x1, y1);
  context.stroke();
}

// A curve through points; where a value is missing it is interrupted.
export function curve(context, xs, ys) {
  context.beginPath();
  let down = false;
  for (let i = 0; i < xs.length; i++) {
    if (ys[i] === null || !Number.isFinite(ys[i]) || !Number.isFinite(xs[i])) {
      down = false;
      continue;
    }
    if (down) context.lineTo(xs[i], ys[i]);
    else context.moveTo(xs[i], ys[i]);
    down = true;
  }
  context.stroke();
}

// A mark whose shape says the class: circle, square, triangle, diamond, and so on.
export function mark(context, shape, x, y, radius) {
  context.beginPath();
  if (shape % 4 === 0) context.arc(x, y, radius, 0, 2 * Math.PI);
  else if (shape % 4 === 1) context.rect(x - radius * 0.88, y - radius * 0.88, radius * 1.76, radius * 1.76);
  else {
    const points = shape % 4 === 2 ? [[0, -1.2], [1.1, 0.8], [-1.1, 0.8]] : [[0, -1.25], [1.25, 0], [0, 1.25], [-1.25, 0]];
    points.forEach(([dx, dy], i) => context[i ? "lineTo" : "moveTo"](x + dx * radius, y + dy * radius));
    context.closePath();
  }
}
