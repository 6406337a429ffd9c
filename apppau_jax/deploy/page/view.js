// The page: takes films, hands them to the worker, shows what it returns.
import {fillCard, fillFailed, newCard} from "./film_card.js";
import {csv, maskFiles, zip} from "./table.js";

const at = (id) => document.getElementById(id);
const rows = []; // one for each film, in the order in which they were added
const taken = new Set(); // names of masks
let facts = null, worker = null, ready = false, added = 0;

async function unpacked(name) {
  const element = at(`data-${name}`);
  const packed = Uint8Array.from(atob(element.textContent), (c) => c.charCodeAt(0));
  element.remove();
  const stream = new Blob([packed]).stream()
    .pipeThrough(new DecompressionStream("gzip"));
  return new Uint8Array(await new Response(stream).arrayBuffer());
}

async function start() {
  facts = JSON.parse(new TextDecoder().decode(await unpacked("facts")));
  worker = new Worker(URL.createObjectURL(
    new Blob([await unpacked("worker")], {type: "text/javascript"})));
  worker.onmessage = ({data}) => receive(data);
  worker.onerror = (event) => broken(event.message);
  worker.postMessage({kind: "start", facts, script: await unpacked("runtime"),
    wasm: await unpacked("wasm"), model: await unpacked("model")});
}

function broken(reason) {
  at("status").textContent = `The model could not be started: ${reason} ` +
    "A current Chrome, Edge, Firefox or Safari is needed.";
}

function receive({kind, id, reason, found, pictures, shown}) {
  if (kind === "broken") return broken(reason);
  const row = rows.find((one) => one.id === id);
  if (kind === "ready") ready = true;
  else if (row) {
    if (kind === "failed") {
      Object.assign(row, {status: "failed", reason});
      fillFailed(row.card, reason);
    } else finish(row, {found, pictures, shown});
  }
  arrange();
}

function finish(row, {found, pictures, shown}) {
  Object.assign(row, {
    found, pictures,
    status: found.remarks.length ? "remark" : "ok",
    reason: found.remarks.join(" "),
    files: maskFiles(row.file, {facts, suffixes: facts.suffixes, taken}),
  });
  row.links = Object.fromEntries(Object.entries(pictures).map(([name, bytes]) =>
    [name, URL.createObjectURL(new Blob([bytes], {type: "image/png"}))]));
  fillCard(row.card, row, {shown, links: row.links, facts});
}

function add(files) {
  for (const file of files) {
    const row = {id: added++, file: file.name, status: "waiting", reason: "",
      card: newCard(file.name)};
    rows.push(row);
    started.then(() => worker.postMessage({kind: "film", id: row.id, file}));
  }
  arrange();
}

const done = () => rows.filter((row) => row.status !== "waiting");

/** Doubt of a film: the most doubtful one has the lowest number. */
function doubt({found, status}) {
  if (!found) return status === "failed" ? -1 : 2;
  const names = facts.mask_names.filter(
    (name) => facts.rules.quality_lungs.includes(name));
  return Math.min(...(names.length ? names : facts.mask_names)
    .map((name) => found.quality[name]));
}

/** Brings the list, the buttons and the status up to date. */
function arrange() {
  const order = at("order").checked
    ? rows.toSorted((a, b) => doubt(a) - doubt(b)) : rows;
  const list = at("films");
  order.forEach((row, i) => {
    if (list.children[i] !== row.card) {
      list.insertBefore(row.card, list.children[i] ?? null);
    }
  });
  at("results").hidden = !rows.length;
  const complete = done().length;
  at("zip").disabled = at("csv").disabled = complete < rows.length;
  at("status").textContent = statusText(complete);
}

function statusText(complete) {
  if (!ready) return "Loading the model …";
  if (complete < rows.length) {
    return `Computing film ${complete + 1} of ${rows.length} …`;
  }
  if (!rows.length) return "Ready.";
  const failed = rows.filter((row) => row.status === "failed").length;
  const remarked = rows.filter((row) => row.status === "remark").length;
  const parts = [`${rows.length} ${rows.length === 1 ? "film" : "films"} done`];
  if (remarked) parts.push(`${remarked} with a remark`);
  if (failed) parts.push(`${failed} failed`);
  return `${parts.join(", ")}.`;
}

function table() {
  const text = csv(done(), {groups: facts.columns, facts});
  return new TextEncoder().encode(text);
}

function archive() {
  const masks = rows.filter((row) => row.found).flatMap((row) =>
    facts.mask_names.map(
      (name) => ({name: row.files[name], bytes: row.pictures[name]})));
  return zip([{name: "predictions.csv", bytes: table()}, ...masks]);
}

function save(name, bytes, type) {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob([bytes], {type}));
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 60_000);
}

function clear() {
  for (const row of rows) {
    row.card.remove();
    Object.values(row.links ?? {}).forEach((link) => URL.revokeObjectURL(link));
  }
  rows.length = 0;
  taken.clear();
  arrange();
  at("files").focus();
}

at("files").onchange = ({target}) => {
  add(target.files);
  target.value = ""; // so that the same film can be chosen again
};
at("zip").onclick = () => save("predictions.zip", archive(), "application/zip");
at("csv").onclick = () => save("predictions.csv", table(), "text/csv");
at("clear").onclick = clear;
at("order").onchange = arrange;
let depth = 0; // of the elements that a dragged film is over
document.ondragenter = () => {
  depth++;
  document.body.classList.add("over");
};
document.ondragleave = () => {
  depth--;
  if (!depth) document.body.classList.remove("over");
};
document.ondragover = (event) => event.preventDefault();
document.ondrop = (event) => {
  event.preventDefault();
  depth = 0;
  document.body.classList.remove("over");
  add(event.dataTransfer.files);
};
const started = start();
started.catch((error) => broken(error.message));
