// What is set: overrides as on the command line, kept in the page's address.

// The settings of a new page; small enough to be seen through, and fast.
export const DEFAULT = {
  data: "moons",
  "model.hidden": "[6,4]",
  activation: "tanh",
  optimizer: "adam",
  "optimizer.lr": "0.03",
  bs: "32",
  epochs: "300",
};

// Learning rates with which each optimizer does well on data of this size.
export const LR = { sgd: "0.3", momentum: "0.1", adagrad: "0.1", rmsprop: "0.01", adam: "0.03", adamw: "0.03" };

const OWN = ["lane", "seeds", "points", "table"]; // parts of the address that are no overrides

export class State {
  constructor() {
    this.base = new Map(Object.entries(DEFAULT));
    this.lanes = []; // what further lanes have in other ways than the first one
    this.seeds = 1;
    this.points = ""; // of a drawing
    this.table = ""; // the shipped table, or "drawing"
  }

  static read(hash) {
    const state = new State();
    const read = new URLSearchParams(hash.replace(/^#/, ""));
    if (![...read.keys()].length) return state;
    state.base = new Map();
    for (const [key, value] of read) {
      if (!OWN.includes(key)) state.base.set(key, value);
    }
    state.lanes = read.getAll("lane").map(parse);
    state.seeds = Number(read.get("seeds") ?? 1);
    state.points = read.get("points") ?? "";
    state.table = read.get("table") ?? "";
    return state;
  }

  get hash() {
    const parts = [...this.base].map(([key, value]) => `${escape(key)}=${escape(value)}`);
    parts.push(...this.lanes.map((lane) => `lane=${escape(unparse(lane))}`));
    if (this.seeds > 1) parts.push(`seeds=${this.seeds}`);
    if (this.table) parts.push(`table=${this.table}`);
    if (this.points) parts.push(`points=${this.points}`);
    return `#${parts.join("&")}`;
  }

  // Set a key; without a value it is the default again.
  set(key, value) {
    if (value === "" || value === null || value === undefined) this.base.delete(key);
    else this.base.set(key, String(value));
  }

  // Choose a part of a group: the keys of the one before it mean nothing any more.
  choose(group, name) {
    for (const key of [...this.base.keys()]) if (key.startsWith(`${group}.`)) this.base.delete(key);
    if (name) this.base.set(group, name);
    else this.base.delete(group);
  }

  // The overrides of all lanes, the first one as it is.
  resolved(branchOf) {
    return [new Map(), ...this.lanes].map((lane) => {
      const all = new Map(this.base);
      for (const [key, value] of lane) {
        if (!key.includes(".")) for (const inner of [...all.keys()]) if (inner.startsWith(`${key}.`)) all.delete(inner);
        all.set(key, value);
      }
      const other = lane.has("optimizer") && !lane.has("bs") && branchOf(all.get("optimizer")) !== branchOf(this.base.get("optimizer"));
      if (other) all.set("bs", branchOf(all.get("optimizer")) === "gradient" ? "32" : "full");
      for (const key of lane.keys()) if (key === "data" || key.startsWith("data.")) all.set(key, lane.get(key));
      return [...all].map(([key, value]) => `${key}=${value}`);
    });
  }
}

const escape = (text) => encodeURIComponent(text).replace(/%(5B|5D|2C|3A|2F|3D|3B)/g, (code) => decodeURIComponent(code)).replaceAll("%20", "+");

export function parse(text) {
  const pairs = text.trim().split(/\s+/).filter(Boolean).map((part) => {
    const at = part.indexOf("=");
    return at < 0 ? [part, ""] : [part.slice(0, at), part.slice(at + 1)];
  });
  return new Map(pairs);
}

export const unparse = (lane) => [...lane].map(([key, value]) => (value === "" ? key : `${key}=${value}`)).join(" ");
