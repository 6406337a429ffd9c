// predictions.csv as apppau_jax/inference/prediction_table.py writes it, and
// the ZIP file that holds it together with the masks.
import {crc32, joined} from "./png.js";

// As apppau_jax/escapes.py: what controls a terminal or starts a formula.
const CONTROL = /[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]/g;
const FORMULA = /^[\s"']*[=+\-@\t\r＝＋－＠]/;

function textCell(text) {
  const plain = text.replace(CONTROL, escaped);
  return FORMULA.test(plain) ? `'${plain}` : plain;
}

function escaped(mark) {
  const known = {"\t": "\\t", "\n": "\\n", "\r": "\\r"}[mark];
  const code = mark.charCodeAt(0).toString(16);
  return known ?? (code.length > 2
    ? `\\u${code.padStart(4, "0")}` : `\\x${code.padStart(2, "0")}`);
}

/** A number with six significant digits, as C's %g. */
export function general(number) {
  if (number === undefined) return "";
  if (number === 0) return "0";
  const [mantissa, exponent] = number.toExponential(5).split("e").map(Number);
  if (exponent < -4 || exponent >= 6) {
    const digits = String(Math.abs(exponent)).padStart(2, "0");
    return `${mantissa}e${exponent < 0 ? "-" : "+"}${digits}`;
  }
  return String(Number(number.toPrecision(6)));
}

/** The rows of films as CSV; `groups` are the names of the columns. */
export function csv(rows, {groups, facts}) {
  const lines = [groups.flat(), ...rows.map((row) => cells(row, groups, facts))];
  const quoted = (cell) => /[",\r\n]/.test(cell) ? `"${cell.replaceAll('"', '""')}"` : cell;
  return lines.map((line) => `${line.map(quoted).join(",")}\n`).join("");
}

function cells(row, groups, facts) {
  const found = row.found;
  const status = [row.status, textCell(row.reason)];
  if (!found) {
    return groups.flatMap((names, g) =>
      g === 0 ? [textCell(row.file)] : g === 2 ? status : names.map(() => ""));
  }
  const names = facts.mask_names, probs = [...found.classes ?? []];
  const best = probs.indexOf(Math.max(...probs));
  const measured = groups[8].map((name) => general(found.measurements[name]));
  return [
    textCell(row.file),
    ...names.map((name) => textCell(row.files[name])),
    ...status,
    ...names.map((name) => found.fractions[name].toFixed(6)),
    ...names.map((name) => found.quality[name].toFixed(4)),
    ...probs.length ? [textCell(facts.classes[best]), probs[best].toFixed(6)] : [],
    ...probs.map((prob) => prob.toFixed(6)),
    found.spacing,
    ...measured,
  ];
}

/** The files of a film's masks by structure; `taken` is added to. */
export function maskFiles(file, {facts, suffixes, taken}) {
  const lower = file.toLowerCase();
  const suffix = suffixes.find((one) => lower.endsWith(one) && lower !== one) ?? "";
  const plain = suffix ? file.slice(0, -suffix.length) : file;
  const long = `${plain}${file.slice(plain.length).replaceAll(".", "_")}`;
  let stem = plain;
  for (let n = 1; taken.has(stem.toLowerCase()); n++) {
    stem = n === 1 ? long : `${long}-${n}`;
  }
  taken.add(stem.toLowerCase());
  return Object.fromEntries(facts.mask_names.map((name) =>
    [name, `${stem}_${facts.structures.length ? `${name}_mask` : "mask"}.png`]));
}

/** A ZIP file of files {name, bytes} as they are. */
export function zip(files) {
  const parts = [], directory = [];
  let at = 0;
  for (const {name, bytes} of files) {
    const path = new TextEncoder().encode(name);
    const fields = [[20, 2], [0x800, 2], [0, 2], [0, 2], [0x21, 2],
      [crc32(bytes), 4], [bytes.length, 4], [bytes.length, 4], [path.length, 2], [0, 2]];
    const local = joined([record([[0x04034B50, 4], ...fields]), path]);
    parts.push(local, bytes);
    directory.push(record([[0x02014B50, 4], [20, 2], ...fields, [0, 2], [0, 2],
      [0, 2], [0, 4], [at, 4]]), path);
    at += local.length + bytes.length;
  }
  const listed = joined(directory);
  const end = record([[0x06054B50, 4], [0, 2], [0, 2], [files.length, 2],
    [files.length, 2], [listed.length, 4], [at, 4], [0, 2]]);
  return joined([...parts, listed, end]);
}

/** Numbers of 2 or 4 bytes, one after the other. */
function record(fields) {
  const bytes = new Uint8Array(fields.reduce((sum, [, size]) => sum + size, 0));
  const view = new DataView(bytes.buffer);
  let at = 0;
  for (const [value, size] of fields) {
    if (size === 2) view.setUint16(at, value, true);
    else view.setUint32(at, value, true);
    at += size;
  }
  return bytes;
}
