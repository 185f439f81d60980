// Which data are learnt: made-up ones, a drawing, a table of the package or of one's own, and which of its columns.

import { ask } from "./api.js";
import { element } from "./controls.js";
import { decode, encode } from "./drawing.js";

export async function chooseData(page, name) {
  const { state } = page;
  if (name === "drawing") {
    page.drawing.show(state.table === "drawing" ? decode(state.points) : []);
    return page.controls.build(state); // the select shows what is in use
  }
  if (name === "upload") return upload(page);
  if (page.choices.tables.includes(name)) return useTable(page, await page.guarded(() => ask("table", { shipped: name })), name);
  forgetTable(page);
  state.choose("data", name);
  if (name === "quadratic") { state.choose("model", "polynomial"); state.set("bs", "8"); }
  else if (state.base.get("model") === "polynomial") { state.choose("model", ""); state.set("model.hidden", "[6,4]"); }
  state.choose("head", "");
  page.controls.build(state);
  return page.restart();
}

function forgetTable(page) {
  const { state } = page;
  Object.assign(state, { table: "", points: "" });
  page.controls.columns = null;
  state.base.delete("recipe");
}

function upload(page) {
  const input = element("input", { type: "file", accept: ".csv,.tsv,.txt,.parquet,.xlsx", id: "file", hidden: true });
  document.getElementById("file")?.remove();
  document.body.append(input);
  input.onchange = async () => {
    const [file] = input.files;
    if (!file) return;
    const content = btoa(Array.from(new Uint8Array(await file.arrayBuffer()), (v) => String.fromCharCode(v)).join(""));
    useTable(page, await page.guarded(() => ask("table", { name: file.name, content })), "");
  };
  page.controls.build(page.state);
  input.click();
}

// Take a table into use: its last column is the target, and the first two with numbers are the inputs.
function useTable(page, table, name) {
  if (!table) return page.controls.build(page.state);
  const { state } = page;
  forgetTable(page);
  state.choose("data", "csv");
  state.table = name;
  state.set("recipe", "plain");
  state.set("data.path", table.path);
  state.choose("head", "");
  if (state.base.get("model") === "polynomial") { state.choose("model", ""); state.set("model.hidden", "[6,4]"); }
  page.controls.columns = table.columns;
  const names = table.columns.map((column) => column.name);
  const target = names.at(-1);
  const inputs = table.columns.filter((column) => column.number && column.name !== target).map((column) => column.name);
  const pair = name === "iris" ? inputs.slice(2, 4) : inputs.slice(0, 2);
  return chooseColumns(page, pair[0] ?? "", pair[1] ?? "", target);
}

export function chooseColumns(page, across, up, target) {
  const { state } = page;
  const rest = page.controls.columns.map((column) => column.name).filter((name) => ![across, up, target].includes(name));
  state.set("data.target", target);
  state.set("data.drop", rest.length ? `[${rest.map((name) => `'${name.replaceAll("'", "\\'")}'`).join(",")}]` : "");
  page.controls.build(state);
  return page.restart();
}

export async function useDrawing(page, points, plane) {
  const table = await page.guarded(() => ask("table", { points, classes: plane }));
  if (!table) return;
  const { state } = page;
  useTable(page, table, "drawing");
  state.points = encode(points);
  page.restart();
}
