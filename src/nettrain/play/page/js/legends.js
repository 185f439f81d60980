// What the pictures' lines and colours mean, and what the lanes are called.

import { laneColor, theme } from "./canvas.js";
import { element } from "./controls.js";
import { swatch } from "./stage.js";
import { t } from "./texts.js";

const $ = (id) => document.getElementById(id);

// What tells the lanes apart, the optimizer first.
export function labels(state) {
  const { base, lanes } = state;
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
export function shortLabels(state) {
  const all = [state.base, ...state.lanes].map((lane) => lane.get("optimizer"));
  if (new Set(all).size === all.length && !all.includes(undefined)) return all;
  const pairs = labels(state).map((label) => label.split("="));
  const alike = pairs.every((pair) => pair.length === 2 && pair[0] === pairs[0][0]);
  return alike && pairs[0][0] === "activation" ? pairs.map((pair) => pair[1]) : labels(state);
}

export function drawLegends(page) {
  const { problem } = page;
  const many = problem.seeds > 1, race = problem.lanes.length > 1;
  const single = problem.inputs.length === 1;
  const item = (mark, text) => element("span", { className: "item" }, mark, ` ${text}`);
  const names = labels(page.state);
  $("legend").replaceChildren(...(many ? [t(single ? "curvesOfAll" : "blend")] : single && race ? names.map((label, i) => item(swatch(i), label)) : [t("trainMark"), " · ", t("valMark")]));
  $("loss-legend").replaceChildren(...(many ? [t("quantiles")] : race ? [item(strokes(-1, [], 1, 2.4), t("val")), item(strokes(-1, [], 0.6, 1), t("train"))] : [item(strokes(0, [], 1), t("val")), item(strokes(0, [4, 3], 0.6), t("train"))]));
  $("layers-legend").textContent = t("gradientNorm");
  $("surface-legend").replaceChildren(...(race ? names.map((label, i) => item(swatch(i), label)) : []));
  $("network-title").textContent = t("network") + (race ? ` · ${names[page.focus] ?? ""}` : "");
  [...$("stage").children].forEach((figure, i) => {
    figure.classList.toggle("focused", race && i === page.focus && !single);
  });
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
