// The panel of settings: made anew from the state whenever that changes in kind; every change is told by `changed`.

import { swatch } from "./stage.js";
import { EXAMPLES } from "./examples.js";
import { DEFAULT, LR, State, parse, unparse } from "./state.js";
import { currentLanguage, has, t } from "./texts.js";

const MOST_LAYERS = 6, MOST_WIDTH = 64;
const MAIN = ["lr", "momentum", "weight_decay"]; // keys of an optimizer that are always shown

export function element(tag, properties = {}, ...children) {
  const made = Object.assign(document.createElement(tag), properties);
  made.append(...children.filter((child) => child !== null && child !== undefined));
  return made;
}

export class Controls {
  // `tables`: asks for tables; `columns`: those of the table in use.
  constructor(root, choices, handlers) {
    Object.assign(this, { root, choices, handlers, columns: null, opened: new Set() });
    root.addEventListener("submit", (event) => event.preventDefault());
  }

  branchOf = (name) => this.choices.groups.optimizer[name]?.branch ?? "gradient";

  build(state) {
    const focused = document.activeElement?.id;
    this.state = state;
    this.root.replaceChildren(
      this.examples(),
      this.card("data", ...this.dataFields()),
      this.card("model", ...this.modelFields()),
      this.card("optimizer", ...this.optimizerFields()),
      this.card("race", ...this.raceFields()),
      this.card("output", this.choice("head", "auto"), ...this.partFields("head")),
      this.card("features", ...this.featureFields()),
      this.card("run", ...["epochs", "seed"].map((key) => this.root_(key)), ...["precision", "engine", "on_divergence"].map((key) => this.root_(key))),
    );
    if (focused) document.getElementById(focused)?.focus({ preventScroll: true });
  }

  changed(rebuild = false) {
    if (rebuild) this.build(this.state);
    this.handlers.changed();
  }

  examples() {
    const language = currentLanguage();
    const select = element("select", { id: "examples", ariaLabel: t("examples") }, element("option", { value: "", textContent: t("examplesPrompt") }),
      ...EXAMPLES.map((example, i) => element("option", { value: String(i), textContent: example[language] })));
    select.onchange = () => select.value !== "" && this.handlers.load(State.read(EXAMPLES[select.value].hash));
    return element("section", { className: "card asks" }, element("label", {}, element("span", { textContent: t("examples") }), select));
  }

  card(name, ...fields) {
    const key = `card-${name}`;
    const folded = { output: 1, features: 1, run: 1 }[name] && !this.opened.has(key);
    const details = element("details", { className: "card", open: !folded }, element("summary", { textContent: t(name) }), ...fields.flat());
    details.ontoggle = () => this.opened[details.open ? "add" : "delete"](key);
    return details;
  }

  field(id, label, input, title = "") {
    input.id = id;
    return element("label", { title }, element("span", { textContent: label }), input);
  }

  // A text field for a key: what does not fit is said by nettrain itself.
  text(key, meta, shown) {
    const value = this.state.base.get(key) ?? "";
    const input = element("input", { type: "text", value, placeholder: shown ?? String(meta.default ?? ""), spellcheck: false });
    if (meta.kind === "int" || meta.kind === "float") input.inputMode = "decimal";
    input.onchange = () => { this.state.set(key, input.value.trim()); this.changed(); };
    if (meta.kind === "int" || meta.kind === "float" || meta.kind === "NoneType") {
      input.onkeydown = (event) => {
        const up = { ArrowUp: 1, ArrowDown: -1 }[event.key];
        const now = Number(input.value || meta.default);
        if (!up || !Number.isFinite(now)) return;
        event.preventDefault();
        input.value = stepped(now, up, meta);
        input.onchange();
      };
    }
    return this.field(`key-${key}`, has(key) ? t(key) : key.split(".").at(-1), input, meta.help);
  }

  pick(key, meta, values, fallback) {
    const select = element("select", {}, ...values.map((value) => element("option", { value, textContent: value })));
    select.value = this.state.base.get(key) ?? fallback;
    select.onchange = () => { this.state.set(key, select.value === fallback ? "" : select.value); this.changed(true); };
    return this.field(`key-${key}`, has(key) ? t(key) : key.split(".").at(-1), select, meta.help);
  }

  flag(key, meta) {
    const now = (this.state.base.get(key) ?? String(meta.default)) === "true";
    const input = element("input", { type: "checkbox", checked: now });
    input.onchange = () => { this.state.set(key, input.checked === meta.default ? "" : String(input.checked)); this.changed(); };
    return this.field(`key-${key}`, has(key) ? t(key) : key.split(".").at(-1), input, meta.help);
  }

  option(key, meta) {
    if (meta.choices) return this.pick(key, meta, meta.choices.map(String), String(meta.default));
    if (meta.kind === "bool") return this.flag(key, meta);
    return this.text(key, meta);
  }

  root_(key) {
    const chosen = this.choices.groups.optimizer[this.state.base.get("optimizer") ?? "adam"];
    const meta = this.choices.keys[key];
    if (meta.choices) return this.option(key, meta);
    return this.text(key, meta, String(chosen?.sets[key] ?? this.choices.groups.data[this.state.base.get("data")]?.sets[key] ?? meta.default));
  }

  // A select of the parts of a group.
  choice(group, fallback) {
    const parts = this.choices.groups[group];
    const select = element("select", {}, ...Object.entries(parts).map(([name, part]) => element("option", { value: name, textContent: name, title: part.help })));
    select.value = this.state.base.get(group) ?? fallback;
    select.onchange = () => {
      this.state.choose(group, select.value === fallback ? "" : select.value);
      if (group === "model" && select.value !== "mlp") this.state.choose("activation", ""); // which has no place in it
      this.changed(true);
    };
    return this.field(`group-${group}`, has(group) && group !== "model" ? t(group) : group, select, parts[select.value]?.help ?? "");
  }

  partFields(group, keys = null) {
    const part = this.choices.groups[group][this.state.base.get(group)];
    return Object.entries(part?.keys ?? {}).filter(([key]) => !keys || keys.includes(key)).map(([key, meta]) => this.option(`${group}.${key}`, meta));
  }

  more(key, ...fields) {
    if (!fields.flat().length) return null;
    const details = element("details", { className: "more", open: this.opened.has(key) }, element("summary", { textContent: t("more") }), ...fields.flat());
    details.ontoggle = () => this.opened[details.open ? "add" : "delete"](key);
    return details;
  }

  dataFields() {
    const { state } = this;
    const made = ["moons", "spirals", "sine", "quadratic"];
    const select = element("select", {}, ...made.map((name) => element("option", { value: name, textContent: t(name) })),
      element("option", { value: "drawing", textContent: t("drawing") }),
      ...this.choices.tables.map((name) => element("option", { value: name, textContent: `${t("ofTable")} ${name}` })),
      element("option", { value: "upload", textContent: t("upload") }));
    const isTable = state.base.get("data") === "csv";
    select.value = isTable ? state.table || "upload" : state.base.get("data") ?? "moons";
    select.onchange = () => this.handlers.data(select.value);
    const fields = [this.field("data", t("data"), select)];
    if (!isTable) return [...fields, ...this.partFields("data", ["samples", "noise"]), this.more("more-data", this.partFields("data", ["data_seed", "val_fraction", "w1", "w2", "w3"]))];
    if (state.table === "drawing") {
      fields.push(element("button", { type: "button", textContent: t("draw"), onclick: () => this.handlers.data("drawing") }));
    } else if (this.columns) fields.push(...this.columnFields());
    if (!state.table) fields.push(element("button", { type: "button", textContent: t("chooseFile"), onclick: () => this.handlers.data("upload") }));
    return fields;
  }

  // Which columns of a table are the inputs and the target; the others are left out.
  columnFields() {
    const { state, columns } = this;
    const target = state.base.get("data.target");
    const dropped = listOf(state.base.get("data.drop"));
    const inputs = columns.map((column) => column.name).filter((name) => name !== target && !dropped.includes(name));
    const numeric = columns.filter((column) => column.number).map((column) => column.name);
    const column = (id, names, value, none) => {
      const select = element("select", {}, ...(none ? [element("option", { value: "", textContent: t("noColumn") })] : []), ...names.map((name) => element("option", { value: name, textContent: name })));
      select.value = value ?? "";
      return this.field(id, t(id), select);
    };
    const fields = [column("horizontal", numeric, inputs[0]), column("vertical", numeric, inputs[1], true), column("target", columns.map((c) => c.name), target)];
    const selects = fields.map((field) => field.querySelector("select"));
    for (const select of selects) select.onchange = () => { this.handlers.columns(...selects.map((s) => s.value)); };
    return fields;
  }

  featureFields() {
    const { state } = this;
    const data = this.choices.groups.data[state.base.get("data") ?? "moons"];
    const encoding = state.base.get("data.numbers");
    const fields = Object.entries(data.keys).filter(([key]) => key === "numbers" || (key === "bins" && encoding === "piecewise")).map(([key, meta]) => this.option(`data.${key}`, meta));
    const model = state.base.get("model") ?? "mlp";
    if (model === "mlp") fields.push(...["periodic", "sigma"].map((key) => this.option(`model.${key}`, this.choices.groups.model.mlp.keys[key])));
    return fields;
  }

  modelFields() {
    const { state } = this;
    const name = state.base.get("model") ?? "mlp";
    const fields = [this.choice("model", "mlp")];
    if (name === "polynomial") fields.push(...this.partFields("model"));
    if (name !== "mlp") return fields;
    return [...fields, this.layersField(), this.choice("activation", "relu"), ...this.partFields("activation"), this.option("model.dropout", this.choices.groups.model.mlp.keys.dropout)];
  }

  layersField() {
    const { state } = this;
    const widths = listOf(state.base.get("model.hidden") ?? "[64,64]").map(Number);
    const set = (next, focus) => {
      state.set("model.hidden", `[${next.join(",")}]`);
      this.changed(true);
      document.getElementById(focus)?.focus();
    };
    const layer = (width, i) => {
      const input = element("input", { type: "text", inputMode: "numeric", value: width, id: `width-${i}`, ariaLabel: `${t("layer")} ${i + 1}` });
      input.onchange = () => set(widths.map((w, k) => (k === i ? input.value : w)), `width-${i}`);
      const button = (step, text, label) => element("button", { type: "button", id: `width-${i}-${step}`, textContent: text, title: t(label), ariaLabel: `${t(label)}, ${t("layer")} ${i + 1}`,
        onclick: () => set(widths.map((w, k) => (k === i ? Math.max(1, Math.min(MOST_WIDTH, w + step)) : w)), `width-${i}-${step}`) });
      return element("span", { className: "width" }, button(1, "+", "moreUnits"), input, button(-1, "−", "fewerUnits"));
    };
    const add = element("button", { type: "button", id: "add-layer", textContent: "+", title: t("addLayer"), ariaLabel: t("addLayer"), disabled: widths.length >= MOST_LAYERS, onclick: () => set([...widths, 4], "add-layer") });
    const remove = element("button", { type: "button", id: "remove-layer", textContent: "−", title: t("removeLayer"), ariaLabel: t("removeLayer"), disabled: widths.length < 2, onclick: () => set(widths.slice(0, -1), "remove-layer") });
    return element("div", { className: "layers" }, element("span", { textContent: t("hidden") }), element("div", {}, ...widths.map(layer), element("span", { className: "ends" }, add, remove)));
  }

  optimizerFields() {
    const { state } = this;
    const fields = [this.field("optimizer", t("optimizer"), this.optimizerSelect(state.base.get("optimizer") ?? "adam", (name) => { this.setOptimizer(name); this.changed(true); }))];
    const keys = Object.keys(this.choices.groups.optimizer[state.base.get("optimizer") ?? "adam"]?.keys ?? {});
    fields.push(...this.partFields("optimizer", MAIN), this.root_("bs"));
    const rest = keys.filter((key) => !MAIN.includes(key));
    return [...fields, this.more("more-optimizer", this.partFields("optimizer", rest), this.choice("schedule", "constant"), this.partFields("schedule"))];
  }

  optimizerSelect(value, chosen) {
    const groups = ["gradient", "curvature", "search"].map((branch) => element("optgroup", { label: t(`branch_${branch}`) },
      ...Object.entries(this.choices.groups.optimizer).filter(([, part]) => part.branch === branch).map(([name, part]) => element("option", { value: name, textContent: name, title: part.help }))));
    const select = element("select", {}, ...groups);
    select.value = value;
    select.onchange = () => chosen(select.value);
    return select;
  }

  setOptimizer(name) {
    const { state } = this;
    const before = this.branchOf(state.base.get("optimizer"));
    state.choose("optimizer", name);
    if (LR[name]) state.set("optimizer.lr", LR[name]);
    if (this.branchOf(name) !== "gradient") state.set("bs", "full");
    else if (before !== "gradient") state.set("bs", DEFAULT.bs);
  }

  raceFields() {
    const { state } = this;
    const many = element("select", {}, element("option", { value: "1", textContent: t("oneSeed") }), element("option", { value: "64", textContent: t("manySeeds") }));
    many.value = state.seeds > 1 ? "64" : "1";
    many.onchange = () => { state.seeds = Number(many.value); this.changed(true); };
    const lanes = state.lanes.map((lane, i) => this.laneRow(lane, i));
    const add = element("button", { type: "button", id: "add-lane", className: "wide", textContent: t("addLane"), disabled: state.lanes.length + 1 >= this.choices.limits.lanes,
      onclick: () => { const next = this.nextOptimizer(); state.lanes.push(new Map([["optimizer", next], ...(LR[next] ? [["optimizer.lr", LR[next]]] : [])])); this.changed(true); } });
    return [this.field("seeds-choice", t("seeds"), many), element("p", { className: "note", textContent: t("raceHelp") }), ...lanes, add];
  }

  nextOptimizer() {
    const used = [this.state.base.get("optimizer") ?? "adam", ...this.state.lanes.map((lane) => lane.get("optimizer"))];
    return ["sgd", "momentum", "rmsprop", "adagrad", "adam", "adamw", "bfgs"].find((name) => !used.includes(name)) ?? "sgd";
  }

  laneRow(lane, i) {
    const { state } = this;
    const rest = new Map([...lane].filter(([key]) => key !== "optimizer" && key !== "optimizer.lr"));
    const inherited = lane.get("optimizer") ?? state.base.get("optimizer") ?? "adam";
    const select = this.optimizerSelect(inherited, (name) => {
      lane.set("optimizer", name);
      if (LR[name]) lane.set("optimizer.lr", LR[name]);
      else lane.delete("optimizer.lr");
      this.changed(true);
    });
    select.id = `lane-${i + 1}`;
    select.ariaLabel = t("optimizer");
    const lr = element("input", { type: "text", id: `lane-lr-${i + 1}`, inputMode: "decimal", value: lane.get("optimizer.lr") ?? "", placeholder: state.base.get("optimizer.lr") ?? "", ariaLabel: t("optimizer.lr"), title: t("optimizer.lr"),
      hidden: this.branchOf(inherited) !== "gradient" });
    lr.onchange = () => { if (lr.value.trim()) lane.set("optimizer.lr", lr.value.trim()); else lane.delete("optimizer.lr"); this.changed(); };
    const other = element("input", { type: "text", id: `lane-other-${i + 1}`, value: unparse(rest), placeholder: t("otherSettings"), ariaLabel: t("otherSettings"), spellcheck: false });
    other.onchange = () => {
      for (const key of rest.keys()) lane.delete(key);
      for (const [key, value] of parse(other.value)) lane.set(key, value);
      this.changed();
    };
    const remove = element("button", { type: "button", textContent: "×", title: t("removeLane"), ariaLabel: t("removeLane"), onclick: () => { state.lanes.splice(i, 1); this.changed(true); } });
    return element("div", { className: "lane" }, swatch(i + 1), select, lr, remove, other);
  }
}

export const listOf = (text) => (text ?? "").replace(/^\[|\]$/g, "").split(",").map((part) => part.trim().replace(/^'|'$/g, "")).filter(Boolean);

function stepped(value, up, meta) {
  if (meta.kind === "int") return String(value + up);
  if (value === 0) return up > 0 ? "0.01" : "0";
  return String(Number((value * (up > 0 ? 1.25 : 0.8)).toPrecision(3)));
}
