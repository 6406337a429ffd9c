// The elements of a DICOM file (PS3.5, PS3.10) that pixels depend on.
import {Refusal} from "./levels.js";

export const TAGS = {
  TransferSyntaxUID: 0x00020010,
  SamplesPerPixel: 0x00280002, PhotometricInterpretation: 0x00280004,
  NumberOfFrames: 0x00280008, Rows: 0x00280010, Columns: 0x00280011,
  BitsAllocated: 0x00280100, BitsStored: 0x00280101, HighBit: 0x00280102,
  PixelRepresentation: 0x00280103, PixelPaddingValue: 0x00280120,
  PixelPaddingRangeLimit: 0x00280121, WindowCenter: 0x00281050,
  WindowWidth: 0x00281051, RescaleIntercept: 0x00281052,
  RescaleSlope: 0x00281053, VOILUTFunction: 0x00281056,
  ModalityLUTSequence: 0x00283000, LUTDescriptor: 0x00283002,
  LUTData: 0x00283006, VOILUTSequence: 0x00283010,
  PresentationLUTSequence: 0x20500010, PresentationLUTShape: 0x20500020,
  ViewPosition: 0x00185101, PatientOrientation: 0x00200020,
  PixelSpacing: 0x00280030, ImagerPixelSpacing: 0x00181164,
  PixelData: 0x7FE00010,
};
const KEYWORDS = new Map(Object.entries(TAGS).map(([name, tag]) => [tag, name]));
const IMPLICIT = "1.2.840.10008.1.2", EXPLICIT = "1.2.840.10008.1.2.1";
// Value representations after which the length has four bytes.
const LONG = new Set("OB OD OF OL OV OW SQ UC UN UR UT SV UV".split(" "));
const WORDS = new Set(["US", "SS"]);
const UNDEFINED = 0xFFFFFFFF, ITEM = 0xFFFEE000;
const ITEM_END = 0xFFFEE00D, SEQUENCE_END = 0xFFFEE0DD;
const DEEPEST = 16; // sequences within sequences

export function refusal(reason) {
  return new Refusal(`The DICOM file cannot be used: ${reason}. Export it ` +
    "again as one uncompressed grey frame, or use the command launch.predict.");
}

export function element(keyword) {
  const hex = TAGS[keyword].toString(16).toUpperCase().padStart(8, "0");
  return `${keyword} (${hex.slice(0, 4)},${hex.slice(4)})`;
}

export function isDicom(bytes) {
  if (text(bytes.subarray(128, 132)) === "DICM") return true;
  const group = bytes[0] | bytes[1] << 8;
  if (bytes.length < 12 || (group !== 2 && group !== 8)) return false;
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  return view.getUint16(2, true) < 0x100 &&
    (isExplicit(bytes, 0) || view.getUint32(4, true) <= 64);
}

const text = (bytes) => String.fromCharCode(...bytes);
const isExplicit = (bytes, at) => /^[A-Z]{2}$/.test(text(bytes.subarray(at + 4, at + 6)));

/** Elements of a data set by keyword. */
export class DataSet {
  constructor() {
    this.elements = new Map();
  }

  has(keyword) {
    return Boolean(this.elements.get(keyword)?.value.length);
  }

  /** The bytes of an element. */
  bytes(keyword) {
    return this.elements.get(keyword)?.value ?? new Uint8Array();
  }

  /** Its values as text, without what fills them up. */
  texts(keyword) {
    const whole = new TextDecoder("latin1").decode(this.bytes(keyword));
    const values = whole.replace(/[\0 ]+$/, "").split("\\");
    return values.map((value) => value.replace(/\0/g, "").trim());
  }

  text(keyword) {
    return this.texts(keyword)[0];
  }

  /** Its first value of 16 bits, or null. */
  word(keyword, {signed = false} = {}) {
    const value = this.bytes(keyword);
    if (value.length < 2) return null;
    const view = new DataView(value.buffer, value.byteOffset, 2);
    return signed ? view.getInt16(0, true) : view.getUint16(0, true);
  }

  /** Its first value as a number, or null; refuses what is none. */
  number(keyword) {
    const vr = this.elements.get(keyword)?.vr;
    if (WORDS.has(vr)) return this.word(keyword, {signed: vr === "SS"});
    const first = this.text(keyword);
    if (first === "") return null;
    if (!/^[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?$/.test(first) ||
      !Number.isFinite(Number(first))) {
      throw refusal(`${element(keyword)} is not a finite number`);
    }
    return Number(first);
  }

  /** The first item of a sequence of tables; null without data. */
  table(keyword) {
    const item = this.elements.get(keyword)?.items?.[0];
    return item?.has("LUTDescriptor") && item.has("LUTData") ? item : null;
  }
}

/** Reads the elements up to the pixel data. */
export function parse(bytes) {
  const reader = new Reader(bytes);
  reader.at = text(bytes.subarray(128, 132)) === "DICM" ? 132 : 0;
  const found = new DataSet();
  while (reader.left && reader.group() === 2) {
    reader.element(found, {implicit: false});
  }
  const stated = found.text("TransferSyntaxUID");
  const guessed = reader.left && !isExplicit(bytes, reader.at) ? IMPLICIT : EXPLICIT;
  const syntax = stated || guessed;
  if (syntax !== IMPLICIT && syntax !== EXPLICIT) {
    throw refusal(`its pixels are compressed or big endian (transfer syntax ${
      syntax}), which this page does not decode`);
  }
  found.implicit = syntax === IMPLICIT;
  while (reader.left && !found.elements.has("PixelData")) {
    reader.element(found, {implicit: found.implicit});
  }
  setAmbiguous(found, found);
  return found;
}

/** Gives elements that are US or SS, by the sign of pixels, one of both. */
function setAmbiguous(data, top) {
  const vr = top.word("PixelRepresentation") === 1 ? "SS" : "US";
  for (const name of ["PixelPaddingValue", "PixelPaddingRangeLimit",
    "LUTDescriptor"]) {
    const one = data.elements.get(name);
    if (one && (one.vr === "" || one.vr === "UN")) one.vr = vr;
  }
  for (const {items} of data.elements.values()) {
    items?.forEach((item) => setAmbiguous(item, top));
  }
}

class Reader {
  constructor(bytes) {
    this.bytes = bytes;
    this.view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    this.at = 0;
    this.end = bytes.length;
  }

  get left() {
    return this.at < this.end;
  }

  group() {
    this.need(8);
    return this.view.getUint16(this.at, true);
  }

  need(count) {
    if (this.at + count > this.bytes.length) throw refusal("it is cut");
  }

  number(size) {
    this.need(size);
    const value = size === 2
      ? this.view.getUint16(this.at, true) : this.view.getUint32(this.at, true);
    this.at += size;
    return value;
  }

  tag() {
    return this.number(2) * 0x10000 + this.number(2);
  }

  /** Reads one element into a data set. */
  element(into, {implicit, depth = 0}) {
    const tag = this.tag();
    const [vr, length] = implicit ? ["", this.number(4)] : this.kind();
    const keyword = KEYWORDS.get(tag);
    if (keyword && into.elements.has(keyword)) {
      throw refusal(`it has ${element(keyword)} twice`);
    }
    if (length === UNDEFINED && keyword === "PixelData") {
      throw refusal("its pixels are compressed, which this page does not decode");
    }
    const nested = length === UNDEFINED || vr === "SQ" ||
      (keyword ?? "").endsWith("Sequence");
    const found = {vr, value: new Uint8Array(), items: null};
    if (nested) {
      found.items = this.items(length, {
        implicit: implicit || vr === "UN", depth: depth + 1});
    } else {
      this.need(length);
      found.value = this.bytes.subarray(this.at, this.at + length);
      this.at += length;
    }
    if (keyword) into.elements.set(keyword, found);
  }

  kind() {
    this.need(4);
    if (!isExplicit(this.bytes, this.at - 4)) throw refusal("it is damaged");
    const vr = text(this.bytes.subarray(this.at, this.at + 2));
    this.at += 2;
    if (!LONG.has(vr)) return [vr, this.number(2)];
    this.at += 2;
    return [vr, this.number(4)];
  }

  items(length, {implicit, depth}) {
    if (depth > DEEPEST) throw refusal("it is damaged");
    const end = length === UNDEFINED ? Infinity : this.at + length;
    const items = [];
    while (this.at < end) {
      const tag = this.tag(), size = this.number(4);
      if (tag === SEQUENCE_END && end === Infinity) break;
      if (tag !== ITEM) throw refusal("it is damaged");
      const item = new DataSet();
      const stop = size === UNDEFINED ? Infinity : this.at + size;
      while (this.at < stop) {
        this.need(8);
        const next = this.view.getUint16(this.at, true) * 0x10000 +
          this.view.getUint16(this.at + 2, true);
        if (next === ITEM_END && stop === Infinity) {
          this.at += 8;
          break;
        }
        this.element(item, {implicit, depth});
      }
      items.push(item);
    }
    return items;
  }
}
