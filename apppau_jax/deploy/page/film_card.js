// What is shown of one film.
import {outline} from "./masks.js";

const HALO = 0.6; // opacity of the black beside an outline
const shown = (name) => name.replaceAll("_", " ");
const capital = (text) => text[0].toUpperCase() + text.slice(1);
const UNITS = [["_mm", "mm", 0], ["_px", "px", 0], ["_share", "%", 1]];

function tag(name, text = "", attributes = {}) {
  const made = document.createElement(name);
  made.textContent = text;
  for (const [key, value] of Object.entries(attributes)) {
    made.setAttribute(key, value);
  }
  return made;
}

/** A card that waits for its film. */
export function newCard(file) {
  const card = document.getElementById("film").content.firstElementChild
    .cloneNode(true);
  card.querySelector(".name").textContent = file;
  card.querySelector(".facts .scroll").setAttribute("aria-label", `Masks of ${file}`);
  setStatus(card, "waiting");
  return card;
}

function setStatus(card, status) {
  card.classList.remove("waiting");
  card.classList.add(status);
  card.querySelector(".badge").textContent = status;
}

export function fillFailed(card, reason) {
  setStatus(card, "failed");
  card.querySelector(".remarks").append(tag("li", reason));
}

/** Fills a card with what was found; `links` are addresses by mask. */
export function fillCard(card, row, {shown: picture, links, facts}) {
  const {found} = row;
  setStatus(card, row.status);
  card.querySelector(".remarks").append(
    ...found.remarks.map((remark) => tag("li", remark)));
  if (found.classes) fillClasses(card, found.classes, facts.classes);
  const body = card.querySelector("tbody");
  for (const name of facts.mask_names) {
    body.append(maskRow(name, row, {link: links[name], facts}));
  }
  card.querySelector(".pairs").append(...pairs(found.measurements, facts));
  fillPicture(card, row.file, picture, facts);
}

function fillClasses(card, probs, classes) {
  const best = probs.indexOf(Math.max(...probs));
  card.querySelector(".classes").append(...classes.map((name, i) => {
    const line = tag("div", "", {class: i === best ? "class best" : "class"});
    const track = tag("span", "", {class: "track"});
    const bar = tag("span");
    bar.style.width = `${100 * probs[i]}%`;
    track.append(bar);
    line.append(tag("span", name), track, tag("span", percent(probs[i], 1)));
    return line;
  }));
}

const percent = (share, digits) => `${(100 * share).toFixed(digits)} %`;

function maskRow(name, {found, files}, {link, facts}) {
  const row = tag("tr"), quality = found.quality[name];
  row.append(tag("th", capital(shown(name)), {scope: "row"}));
  const low = facts.rules.quality_lungs.includes(name) &&
    quality < facts.rules.quality_low;
  row.append(tag("td", `${quality.toFixed(2)}${low ? " doubtful" : ""}`,
    {class: low ? "low" : ""}));
  row.append(tag("td", areaOf(name, found.measurements)));
  const cell = tag("td"), file = tag("a", "PNG", {href: link, download: files[name],
    "aria-label": `Mask of ${shown(name)}, PNG`});
  cell.append(file);
  row.append(cell);
  return row;
}

function areaOf(name, measured) {
  const square = measured[`${name}_area_cm2`];
  if (square !== undefined) return `${square.toFixed(square < 100 ? 1 : 0)} cm²`;
  return `${grouped(measured[`${name}_area_px`])} px`;
}

const grouped = (number) => Math.round(number).toLocaleString("en");

/** Measurements that are not of one mask: in mm where they are known. */
function pairs(measured, {columns, mask_names}) {
  const found = [];
  for (const name of columns[8]) {
    const value = measured[name];
    const own = mask_names.some((mask) => name.startsWith(`${mask}_area`));
    const millimetres = `${name.slice(0, -3)}_mm`;
    if (value === undefined || own || name.endsWith("_area_cm2")) continue;
    if (name.endsWith("_px") && measured[millimetres] !== undefined) continue;
    const line = tag("div");
    line.append(tag("dt", labelOf(name)), tag("dd", valueOf(name, value)));
    found.push(line);
  }
  return found;
}

const labelOf = (name) => capital(shown(
  name.replace(/_(px|mm)$/, "").replace(/_share$/, "’s share of the area")));

function valueOf(name, value) {
  const [, unit, digits] = UNITS.find(([end]) => name.endsWith(end)) ?? [];
  if (unit === "%") return percent(value, digits);
  return unit ? `${grouped(value)} ${unit}` : value.toFixed(3);
}

function fillPicture(card, file, picture, facts) {
  const canvas = card.querySelector("canvas"), legend = card.querySelector(".legend");
  canvas.width = picture.width;
  canvas.height = picture.height;
  const names = facts.mask_names, visible = new Set(names);
  canvas.setAttribute("aria-label",
    `${file} with the outlines of ${names.map(shown).join(", ")}`);
  const thickness = Math.max(2, Math.round(
    Math.max(picture.height, picture.width) / 384));
  const outlines = names.map((name) => outline(
    {data: picture.masks[name], height: picture.height, width: picture.width},
    thickness));
  const draw = () => paint(canvas, picture, names.map((name, k) =>
    ({...outlines[k], colour: facts.colours[k], drawn: visible.has(name)})));
  names.forEach((name, k) => {
    const label = tag("label", "", {class: "check"});
    const box = tag("input", "", {type: "checkbox"});
    box.checked = true;
    box.onchange = () => {
      if (box.checked) visible.add(name);
      else visible.delete(name);
      draw();
    };
    const swatch = tag("span", "", {class: "swatch"});
    swatch.style.background = `rgb(${facts.colours[k].join(" ")})`;
    label.append(box, swatch, shown(name));
    legend.append(label);
  });
  draw();
}

function paint(canvas, {grey, height, width}, layers) {
  const context = canvas.getContext("2d");
  const image = context.createImageData(width, height);
  const used = layers.filter((layer) => layer.drawn);
  for (let i = 0; i < grey.length; i++) {
    let level = grey[i], colour = null;
    for (const layer of used) {
      if (layer.halo[i]) level *= 1 - HALO;
      if (layer.rim[i]) colour = layer.colour;
    }
    for (let c = 0; c < 3; c++) image.data[4 * i + c] = colour ? colour[c] : level;
    image.data[4 * i + 3] = 255;
  }
  context.putImageData(image, 0, 0);
}
