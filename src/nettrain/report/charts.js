// Charts in the place of pictures: what is pointed at is named, a click in the legend hides a line, dragging enlarges.
"use strict";
(() => {
  const W = 500, H = 350, LEFT = 66, RIGHT = 14, TOP = 28, BOTTOM = 48;
  const w = W - LEFT - RIGHT, h = H - TOP - BOTTOM;
  const DASHES = { "--": "7 4", ":": "2 3", "-.": "7 3 2 3" };
  const MARKERS = {
    o: "M-3.5,0a3.5,3.5 0 1,0 7,0a3.5,3.5 0 1,0 -7,0", s: "M-3,-3h6v6h-6z", "^": "M0,-4l4,7h-8z",
    D: "M0,-4.2l4.2,4.2l-4.2,4.2l-4.2,-4.2z", v: "M0,4l4,-7h-8z", P: "M-1.3,-4h2.6v2.7h2.7v2.6h-2.7v2.7h-2.6v-2.7h-2.7v-2.6h2.7z",
    X: "M-4,-4l3,0l1,2l1,-2h3l-2,4l2,4h-3l-1,-2l-1,2h-3l2,-4z",
  };
  const safe = text => text.replace(/[&<>"]/g, c => `&#${c.charCodeAt(0)};`);
  const number = v => (v === 0 ? "0" : Math.abs(v) >= 1e5 || Math.abs(v) < 1e-4 ? v.toExponential(2).replace(/\.?0+e/, "e").replace("e+", "e") : String(+v.toPrecision(4)));

  // An axis: its scale from values to the share of its length, the way back, and its ticks.
  const scale = axis => {
    const f = axis.log ? Math.log10 : v => v, [a, b] = axis.limits.map(f);
    return { to: v => (f(v) - a) / (b - a), from: s => (axis.log ? 10 ** (a + s * (b - a)) : a + s * (b - a)), ticks: axis.log ? decades(a, b) : steps(a, b) };
  };
  const steps = (a, b) => {
    const rough = (b - a) / 6, power = 10 ** Math.floor(Math.log10(rough));
    const step = [1, 2, 5, 10].find(m => m * power >= rough) * power, ticks = [];
    for (let i = Math.ceil(a / step); i * step <= b * (1 + 1e-12); i++) ticks.push(i * step);
    return ticks.map(t => (Math.abs(t) < step / 1e6 ? 0 : t));
  };
  const decades = (a, b) => {
    if (b - a < 0.7) return steps(10 ** a, 10 ** b);
    const every = Math.max(1, Math.ceil((b - a) / 8)), within = b - a < 2.5 ? [1, 2, 5] : [1], ticks = [];
    for (let e = Math.floor(a); e <= b; e++) if (e % every === 0) for (const m of within) ticks.push(m * 10 ** e);
    return ticks.filter(t => Math.log10(t) >= a - 1e-9 && Math.log10(t) <= b + 1e-9);
  };

  const element = (figure, tag, name) => {
    const made = document.createElement(tag);
    made.className = name;
    figure.insertBefore(made, figure.querySelector("figcaption"));
    return made;
  };
  const tooltip = figure => {
    const tip = element(figure, "div", "tip");
    tip.hidden = true;
    return (x, y, text) => {
      tip.hidden = text === null;
      if (text === null) return;
      tip.textContent = text;
      tip.style.left = `${Math.max(0, Math.min(x + 12, figure.clientWidth - tip.offsetWidth))}px`;
      tip.style.top = `${y + 14}px`;
    };
  };

  // Lines: drawn anew whenever one is hidden or the limits change.
  const lines = (figure, chart) => {
    const image = figure.querySelector("img"), hidden = new Set();
    const whole = { x: chart.x.limits, y: chart.y.limits };
    const box = element(figure, "div", "box"), legend = element(figure, "div", "legend"), tell = tooltip(figure);
    let strong = null, x, y;
    image.hidden = true;

    const path = (points, close) => {
      let d = "", pen = "M";
      for (const [a, b] of points) {
        const p = a === null || b === null ? NaN : w * x.to(a), q = h * (1 - y.to(b));
        if (!isFinite(p) || !isFinite(q)) { pen = close ? pen : "M"; continue; }
        d += `${pen}${p.toFixed(1)},${Math.max(-1e5, Math.min(1e5, q)).toFixed(1)}`;
        pen = "L";
      }
      return d + (close && d ? "z" : "");
    };
    const owner = chart.lines.map((line, i) => { while (i && !chart.lines[i].name) i--; return i; });
    const faint = i => (strong !== null && strong !== owner[i] ? 0.2 : 1);
    const shown = draw => chart.lines.map((line, i) => (hidden.has(owner[i]) ? "" : `<g opacity="${faint(i)}">${draw(line, i)}</g>`)).join("");
    const area = line => line.areas.map(a => `<path d="${path(a, true)}" fill="${line.color}" fill-opacity=".13" stroke="${line.color}" stroke-opacity=".45" stroke-width=".6"/>`).join("");
    const course = (line, i) => {
      const shape = line.points.length <= 30 && MARKERS[line.marker], fill = line.filled ? line.color : "#fff";
      const marks = !shape ? [] : line.points.filter(p => p[1] !== null).map(([a, b]) => `<path transform="translate(${w * x.to(a)},${h * (1 - y.to(b))})" d="${shape}" fill="${fill}" stroke="${line.color}"/>`);
      return `<path class="line" d="${path(line.points)}" fill="none" stroke="${line.color}" stroke-width="${strong === owner[i] ? 3 : 1.7}" stroke-dasharray="${DASHES[line.dash] || ""}"/>${marks.join("")}`;
    };

    const draw = () => {
      x = scale(chart.x);
      y = scale(chart.y);
      const across = x.ticks.map(t => `<line x1="${LEFT + w * x.to(t)}" x2="${LEFT + w * x.to(t)}" y1="${TOP}" y2="${TOP + h}" stroke="#ddd"/><text x="${LEFT + w * x.to(t)}" y="${TOP + h + 17}" text-anchor="middle">${number(t)}</text>`);
      const up = y.ticks.map(t => `<line x1="${LEFT}" x2="${LEFT + w}" y1="${TOP + h * (1 - y.to(t))}" y2="${TOP + h * (1 - y.to(t))}" stroke="#ddd"/><text x="${LEFT - 5}" y="${TOP + h * (1 - y.to(t)) + 4}" text-anchor="end">${number(t)}</text>`);
      const marks = chart.marks.map(m => `<line x1="${w * x.to(m.x)}" x2="${w * x.to(m.x)}" y1="0" y2="${h}" stroke="#666" stroke-dasharray="2 3"/>`).join("");
      box.innerHTML = `<svg class="chart" viewBox="0 0 ${W} ${H}" role="img" aria-label="${safe(image.alt)}">
        <text class="title" x="${LEFT}" y="15">${safe(chart.title)}</text>${across.join("")}${up.join("")}
        <text class="label" x="${LEFT + w / 2}" y="${H - 8}" text-anchor="middle">${safe(chart.x.label)}</text>
        <text class="label" transform="translate(15,${TOP + h / 2}) rotate(-90)" text-anchor="middle">${safe(chart.y.label)}</text>
        <svg x="${LEFT}" y="${TOP}" width="${w}" height="${h}" overflow="hidden">${shown(area)}${shown(course)}${marks}<rect class="chosen" fill="#0072B2" opacity=".15"/></svg>
        <path d="M${LEFT},${TOP}v${h}h${w}" fill="none" stroke="#222"/><path class="point" fill="none" stroke="#111" stroke-width="1.5"/></svg>`;
      legend.querySelector(".all").hidden = chart.x.limits === whole.x && chart.y.limits === whole.y;
    };

    chart.lines.forEach((line, i) => {
      if (!line.name) return;
      const button = document.createElement("button");
      button.innerHTML = `<svg viewBox="0 0 26 10"><path d="M0,5h26" stroke="${line.color}" stroke-width="2" stroke-dasharray="${DASHES[line.dash] || ""}"/></svg>${safe(line.name)}`;
      button.setAttribute("aria-pressed", "true");
      button.title = "click to hide or show";
      button.onclick = () => {
        hidden.has(i) ? hidden.delete(i) : hidden.add(i);
        button.setAttribute("aria-pressed", String(!hidden.has(i)));
        draw();
      };
      button.onmouseenter = button.onfocus = () => { strong = i; draw(); };
      button.onmouseleave = button.onblur = () => { strong = null; draw(); };
      legend.append(button);
    });
    for (const mark of chart.marks) legend.append(Object.assign(document.createElement("button"), { textContent: `┊ ${mark.name}`, disabled: true }));
    const all = Object.assign(document.createElement("button"), { className: "all", textContent: "⤢ show all", hidden: true });
    all.onclick = () => { chart.x.limits = whole.x; chart.y.limits = whole.y; draw(); };
    legend.append(all);

    // Positions of the pointer, in the units of the inner drawing.
    const at = event => {
      const frame = box.firstElementChild.getBoundingClientRect(), zoom = W / frame.width;
      return [(event.clientX - frame.left) * zoom - LEFT, (event.clientY - frame.top) * zoom - TOP];
    };
    const inside = ([p, q]) => [Math.max(0, Math.min(w, p)), Math.max(0, Math.min(h, q))];
    let from = null;
    box.onpointerdown = event => {
      if (event.button || event.pointerType === "touch") return;
      from = inside(at(event));
      box.setPointerCapture(event.pointerId);
    };
    box.onpointermove = event => {
      const here = at(event), svg = box.firstElementChild, point = svg.querySelector(".point");
      if (from) {
        const to = inside(here), rect = svg.querySelector(".chosen");
        rect.setAttribute("x", Math.min(from[0], to[0]));
        rect.setAttribute("y", Math.min(from[1], to[1]));
        rect.setAttribute("width", Math.abs(to[0] - from[0]));
        rect.setAttribute("height", Math.abs(to[1] - from[1]));
      }
      let best = null, least = 30 ** 2;
      chart.lines.forEach((line, i) => {
        if (hidden.has(owner[i])) return;
        for (const [a, b] of line.points) {
          if (a === null || b === null) continue;
          const p = w * x.to(a), q = h * (1 - y.to(b)), far = (p - here[0]) ** 2 + (q - here[1]) ** 2;
          if (far < least && p >= -1 && p <= w + 1 && q >= -1 && q <= h + 1) { least = far; best = { name: chart.lines[owner[i]].name, a, b, p, q }; }
        }
      });
      point.setAttribute("d", best ? `M${LEFT + best.p - 5},${TOP + best.q}a5,5 0 1,0 10,0a5,5 0 1,0 -10,0` : "");
      const frame = figure.getBoundingClientRect();
      tell(event.clientX - frame.left, event.clientY - frame.top, best && `${best.name ? best.name + "\n" : ""}${chart.x.label}: ${number(best.a)}\n${chart.y.label}: ${number(best.b)}`);
    };
    box.onpointerleave = () => { tell(0, 0, null); box.querySelector(".point").setAttribute("d", ""); };
    box.onpointerup = event => {
      if (!from) return;
      const a = from, b = inside(at(event));
      from = null;
      if (Math.abs(a[0] - b[0]) > 8 && Math.abs(a[1] - b[1]) > 8) {
        chart.x.limits = [Math.min(a[0], b[0]), Math.max(a[0], b[0])].map(p => x.from(p / w));
        chart.y.limits = [Math.max(a[1], b[1]), Math.min(a[1], b[1])].map(q => y.from(1 - q / h));
      }
      draw();
    };
    box.ondblclick = all.onclick;
    draw();
  };

  // Cells of a map: the picture stays, and says what is pointed at.
  const cells = (figure, chart) => {
    const image = figure.querySelector("img"), tell = tooltip(figure), [left, top, right, bottom] = chart.box;
    image.onpointermove = event => {
      const frame = image.getBoundingClientRect(), around = figure.getBoundingClientRect();
      const across = ((event.clientX - frame.left) / frame.width - left) / (right - left);
      const down = ((event.clientY - frame.top) / frame.height - top) / (bottom - top);
      const j = Math.floor(across * chart.columns.length), i = Math.floor(down * chart.rows.length);
      const there = i >= 0 && j >= 0 && i < chart.rows.length && j < chart.columns.length;
      const value = there && chart.values[i][j] !== null ? number(chart.values[i][j]) : "no result";
      tell(event.clientX - around.left, event.clientY - around.top, there ? `${chart.x}: ${chart.columns[j]}\n${chart.y}: ${chart.rows[i]}\n${chart.label}: ${value}` : null);
    };
    image.onpointerleave = () => tell(0, 0, null);
  };

  for (const script of document.querySelectorAll("figure > script")) {
    const chart = JSON.parse(script.textContent);
    (chart.kind === "lines" ? lines : cells)(script.parentElement, chart);
  }
})();
