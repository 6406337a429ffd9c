// Stored values of a DICOM file to grey levels, as a viewer displays them and
// as apppau_jax/imaging/dicom.py and dicom_display.py compute them. What they
// do not define, and colour and compression, is refused.
import {element, parse, refusal} from "./dicom_file.js";
import {emptyLevels, quantize, whiteOf} from "./levels.js";

const FUNCTIONS = {LINEAR: 1, LINEAR_EXACT: 0, SIGMOID: 0}; // least width
const SPACINGS = ["PixelSpacing", "ImagerPixelSpacing"];

/** Levels of `bits` of one grey frame, remarks on its header and spacing. */
export function readDicom(bytes, {bits, checkSize, sides}) {
  const header = parse(bytes);
  const form = formOf(header);
  checkSize(form.rows, form.columns);
  const values = storedValues(header, form);
  return {
    data: display(header, form, values, bits),
    height: form.rows,
    width: form.columns,
    ...spacingOf(header, form, sides),
  };
}

/** How pixels are stored; refuses what is not one uncompressed grey frame. */
function formOf(header) {
  if (!header.elements.has("PixelData")) throw refusal("it has no pixel data");
  const frames = header.number("NumberOfFrames") || 1;
  if (frames !== 1) throw refusal(`it has ${frames} frames instead of one`);
  const kind = header.text("PhotometricInterpretation");
  if (kind !== "MONOCHROME1" && kind !== "MONOCHROME2") {
    throw refusal(`its pixels are ${kind || "of no stated kind"} and not grey`);
  }
  const samples = header.word("SamplesPerPixel") ?? 1;
  if (samples !== 1) throw refusal(`${element("SamplesPerPixel")} is ${samples}`);
  const [rows, columns, allocated, stored] =
    ["Rows", "Columns", "BitsAllocated", "BitsStored"].map((name) => {
      const value = header.word(name);
      if (!value) throw refusal(`${element(name)} is missing or 0`);
      return value;
    });
  if (allocated !== 8 && allocated !== 16) {
    throw refusal(`${element("BitsAllocated")} is ${allocated}, not 8 or 16`);
  }
  const high = header.word("HighBit") ?? stored - 1;
  if (stored > high + 1 || high + 1 > allocated) {
    throw refusal(`${element("HighBit")} ${high} does not fit ${
      element("BitsStored")} ${stored} of ${allocated} bits`);
  }
  const sign = header.word("PixelRepresentation");
  if (sign !== 0 && sign !== 1) {
    throw refusal(`${element("PixelRepresentation")} is neither 0 nor 1`);
  }
  return {rows, columns, allocated, stored, below: high + 1 - stored,
    signed: sign === 1, inverse: isInverse(header, kind), kind};
}

/** Whether the lowest value is white; a shape that is stated decides. */
function isInverse(header, kind) {
  if (header.elements.get("PresentationLUTSequence")?.items.length) {
    throw refusal(`${element("PresentationLUTSequence")} is not supported`);
  }
  const shape = header.text("PresentationLUTShape").toUpperCase();
  if (!["", "IDENTITY", "INVERSE"].includes(shape)) {
    throw refusal(`${element("PresentationLUTShape")} is neither IDENTITY nor ` +
      "INVERSE");
  }
  return shape ? shape === "INVERSE" : kind === "MONOCHROME1";
}

/** The values of the pixels, without the bits that are not stored. */
function storedValues(header, {rows, columns, allocated, stored, below, signed}) {
  const bytes = header.bytes("PixelData"), size = allocated / 8;
  const expected = rows * columns * size;
  if (bytes.length < expected) throw refusal("it is cut: it lacks pixels");
  const excess = bytes.subarray(expected);
  if (excess.length > 1 &&
    (excess.length >= columns * size || excess.some((byte) => byte))) {
    throw refusal(`${element("PixelData")} is ${excess.length} bytes longer ` +
      `than ${element("Rows")} x ${element("Columns")}`);
  }
  const view = new DataView(bytes.buffer, bytes.byteOffset, expected);
  const values = new Int32Array(rows * columns);
  const unused = 32 - stored;
  for (let i = 0; i < values.length; i++) {
    const raw = size === 1 ? view.getUint8(i) : view.getUint16(2 * i, true);
    const high = (raw >> below) << unused;
    values[i] = signed ? high >> unused : high >>> unused;
  }
  return values;
}

/** Maps stored values to levels, each value once. */
function display(header, form, values, bits) {
  let [low, high] = [Infinity, -Infinity];
  for (const value of values) {
    if (value < low) low = value;
    if (value > high) high = value;
  }
  const occurs = new Uint8Array(high - low + 1);
  for (const value of values) occurs[value - low] = 1;
  const table = levelsOf(header, form, {low, occurs, bits});
  const shown = emptyLevels(values.length, bits);
  for (let i = 0; i < values.length; i++) shown[i] = table[values[i] - low];
  return shown;
}

function levelsOf(header, form, {low, occurs, bits}) {
  const isPadding = paddingOf(header, form);
  const toModality = modalityOf(header, form);
  const stored = Array.from(occurs, (_, i) => low + i);
  const values = stored.map(toModality);
  if (!values.every(Number.isFinite)) {
    throw refusal(`${element("RescaleSlope")} leads to infinite values`);
  }
  const chosen = values.filter((_, i) => occurs[i] && !isPadding(stored[i]));
  const fraction = ofInterest(header, form, chosen);
  const levels = emptyLevels(values.length, bits), white = whiteOf(bits);
  values.forEach((value, i) => {
    const level = quantize(fraction(value), white);
    levels[i] = isPadding(stored[i]) ? 0 : form.inverse ? white - level : level;
  });
  return levels;
}

/** Tells values that stand for no image, as outside a collimator. */
function paddingOf(header, {stored, signed}) {
  const asStored = (value) => {
    const count = 2 ** stored, low = signed ? -count / 2 : 0;
    if (!signed || value <= low + count - 1) return value;
    return ((value - low) % count + count) % count + low;
  };
  const first = header.number("PixelPaddingValue");
  if (first === null) return () => false;
  const other = header.number("PixelPaddingRangeLimit") ?? first;
  const ends = [first, other].map(asStored);
  return (value) => value >= Math.min(...ends) && value <= Math.max(...ends);
}

function modalityOf(header, form) {
  const item = header.table("ModalityLUTSequence");
  if (item) {
    const {first, entries} = tableOf(item, {signed: form.signed});
    return (value) => lookUp(entries, value - first);
  }
  const rescaling = rescalingOf(header);
  return rescaling ? (value) => value * rescaling[0] + rescaling[1]
    : (value) => value;
}

const lookUp = (entries, place) =>
  entries[Math.min(Math.max(place, 0), entries.length - 1)];

/** Slope and intercept; null unless both are stated. */
function rescalingOf(header) {
  const slope = header.number("RescaleSlope");
  const intercept = header.number("RescaleIntercept");
  if (slope === null || intercept === null) return null;
  if (slope === 0) throw refusal(`${element("RescaleSlope")} is 0`);
  return [slope, intercept];
}

/** Maps values of the modality to fractions of white. */
function ofInterest(header, form, chosen) {
  const item = header.table("VOILUTSequence");
  if (item) return tableOfInterest(header, form, item);
  const centre = header.number("WindowCenter");
  const width = header.number("WindowWidth");
  if (centre !== null && width !== null) return windowOf(header, centre, width);
  if (!chosen.length) return () => 0;
  const low = chosen.reduce((a, b) => Math.min(a, b));
  const high = chosen.reduce((a, b) => Math.max(a, b));
  return (value) => (value - low) / Math.max(high - low, 1e-9);
}

function tableOfInterest(header, {stored, signed}, item) {
  const [slope, intercept] = rescalingOf(header) ?? [1, 0];
  const ends = signed ? [-(2 ** (stored - 1)), 2 ** (stored - 1) - 1]
    : [0, 2 ** stored - 1];
  const lowest = Math.min(...ends.map((end) => end * slope + intercept));
  const negative = !header.table("ModalityLUTSequence") && lowest < 0;
  const {first, entries, depth} = tableOf(item, {signed: negative});
  return (value) => lookUp(entries, Math.floor(value) - first) / (2 ** depth - 1);
}

/** Fractions of a window (PS3.3 C.11.2.1.2 and C.11.2.1.3). */
function windowOf(header, centre, width) {
  const name = (header.text("VOILUTFunction") || "LINEAR").toUpperCase();
  if (!Object.hasOwn(FUNCTIONS, name)) {
    throw refusal(`${element("VOILUTFunction")} is none of ${
      Object.keys(FUNCTIONS).join(", ")}`);
  }
  if (width <= 0 || width < FUNCTIONS[name]) {
    throw refusal(`${element("WindowWidth")} is ${width}`);
  }
  if (name === "SIGMOID") {
    return (value) => 1 / (1 + Math.exp(-4 * (value - centre) / width));
  }
  const [middle, range] = name === "LINEAR"
    ? [centre - 0.5, width - 1] : [centre, width];
  return (value) => {
    if (value <= middle - range / 2) return 0;
    if (value > middle + range / 2) return 1;
    return (value - middle) / range + 0.5;
  };
}

/** First value mapped, entries and bits of a look-up table. */
function tableOf(item, {signed}) {
  const {value, vr} = item.elements.get("LUTDescriptor");
  if (value.length !== 6) throw refusal(`${element("LUTDescriptor")} describes ` +
    "no table");
  const view = new DataView(value.buffer, value.byteOffset, 6);
  const read = (at) => vr === "SS" ? view.getInt16(at, true) : view.getUint16(at, true);
  const [stated, start, depth] = [read(0), read(2), read(4)];
  if (stated < 0 || depth < 1 || depth > 16) {
    throw refusal(`${element("LUTDescriptor")} describes no table`);
  }
  const count = stated || 2 ** 16;
  const entries = entriesOf(item.bytes("LUTData"), {count, depth});
  if (entries.length < count) {
    throw refusal(`${element("LUTData")} has ${entries.length} entries and not ` +
      `the ${count} of ${element("LUTDescriptor")}`);
  }
  if (entries.some((entry) => entry >= 2 ** depth)) {
    throw refusal(`${element("LUTData")} has entries of more than ${depth} bits`);
  }
  return {first: signed && start >= 2 ** 15 ? start - 2 ** 16 : start, entries,
    depth};
}

function entriesOf(bytes, {count, depth}) {
  const words = new Uint16Array(bytes.length >> 1);
  for (let i = 0; i < words.length; i++) {
    words[i] = bytes[2 * i] | bytes[2 * i + 1] << 8;
  }
  const packed = words.length < count && depth <= 8; // two entries in a word
  const entries = packed
    ? Uint16Array.from(bytes.subarray(0, 2 * words.length)) : words;
  return entries.subarray(0, count);
}

/** The spacing of the pixels, and what the header says against a usual film. */
function spacingOf(header, form, sides) {
  let spacing = null;
  const unused = [];
  for (const keyword of SPACINGS) {
    const pair = header.has(keyword) ? pairOf(header, keyword) : null;
    const reason = pair ? unusable(pair, form, sides) : "";
    if (pair && !reason) {
      spacing ??= {rows: pair[0], columns: pair[1], element: keyword};
    }
    if (reason) unused.push(`${element(keyword)} ${reason} and was not used.`);
  }
  const remarks = [viewRemark(header), orientationRemark(header),
    polarityRemark(header, form.kind), ...unused];
  return {spacing, remarks: remarks.filter(Boolean)};
}

function pairOf(header, keyword) {
  const pair = header.texts(keyword).map((text) => text === "" ? NaN : Number(text));
  return pair.length === 2 ? pair : [NaN, NaN];
}

function unusable(pair, {rows, columns}, [least, most]) {
  if (!pair.every((value) => Number.isFinite(value) && value > 0)) {
    return "is not two positive numbers";
  }
  const [height, width] = [rows * pair[0], columns * pair[1]];
  if (least <= Math.min(height, width) && Math.max(height, width) <= most) return "";
  const shown = [width, height].map((value) => Number(value.toPrecision(4)));
  return `states an image of ${shown[0]} x ${shown[1]} mm`;
}

function viewRemark(header) {
  const view = header.text("ViewPosition").toUpperCase();
  const words = view.match(/[A-Z]+/g) ?? [];
  if (!words.length || words.includes("AP") || words.includes("PA")) return "";
  return `${element("ViewPosition")} is '${view.slice(0, 16)}', neither AP nor ` +
    "PA: no frontal film.";
}

function orientationRemark(header) {
  const directions = header.texts("PatientOrientation");
  const first = directions.map((direction) => direction.slice(0, 1).toUpperCase());
  if (first.length !== 2 || first.includes("") || first.join() === "L,F") return "";
  const shown = directions.map((direction) => direction.slice(0, 16)).join("/");
  return `${element("PatientOrientation")} is '${shown}'; an upright frontal ` +
    "film that is not mirrored has L/F.";
}

function polarityRemark(header, kind) {
  const shape = header.text("PresentationLUTShape").toUpperCase();
  const pair = `${kind} ${shape}`;
  if (!["MONOCHROME1 IDENTITY", "MONOCHROME2 INVERSE"].includes(pair)) return "";
  return `${element("PresentationLUTShape")} ${shape} contradicts ${
    element("PhotometricInterpretation")} ${kind} and was followed: it may be ` +
    "a negative.";
}
