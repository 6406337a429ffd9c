// PNG files: reading to the exact levels, and writing of masks. The rules are
// those of apppau_jax/imaging/decode.py.
import {Refusal, deepen, stretch} from "./levels.js";

const CHANNELS = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4};
const DEPTHS = {0: [1, 2, 4, 8, 16], 2: [8, 16], 3: [1, 2, 4, 8], 4: [8, 16],
  6: [8, 16]};
// Start and step of the columns and rows of the seven passes of Adam7.
const PASSES = [[0, 8, 0, 8], [4, 8, 0, 8], [0, 4, 4, 8], [2, 4, 0, 4],
  [0, 2, 2, 4], [1, 2, 0, 2], [0, 1, 1, 2]];
const SIGNATURE = [137, 80, 78, 71, 13, 10, 26, 10];

export const isPng = (bytes) => SIGNATURE.every((b, i) => bytes[i] === b);

const damaged = (what) => new Refusal(
  `The PNG file is damaged (${what}). Get it again from its owner.`);

const CRC_TABLE = Uint32Array.from({length: 256}, (_, n) => {
  for (let k = 0; k < 8; k++) n = n & 1 ? 0xEDB88320 ^ (n >>> 1) : n >>> 1;
  return n >>> 0;
});

/** CRC-32 of bytes, as PNG and ZIP use it. */
export function crc32(bytes) {
  let crc = 0xFFFFFFFF;
  for (const byte of bytes) crc = CRC_TABLE[(crc ^ byte) & 255] ^ (crc >>> 8);
  return (crc ^ 0xFFFFFFFF) >>> 0;
}

/** What a (de)compressing stream makes of bytes, at most `most` of them. */
async function through(stream, bytes, most = Infinity) {
  const writer = stream.writable.getWriter();
  const written = writer.write(bytes).then(() => writer.close());
  written.catch(() => {}); // the reader fails as well
  const parts = [];
  let length = 0;
  for (const reader = stream.readable.getReader();;) {
    const {done, value} = await reader.read();
    if (done) break;
    parts.push(value);
    length += value.length;
    if (length > most) throw damaged("it holds more pixels than it states");
  }
  return joined(parts);
}

export function joined(parts) {
  const all = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) {
    all.set(part, at);
    at += part.length;
  }
  return all;
}

/** Levels of `bits` of a grey picture; deep ones are stretched. */
export async function readPng(bytes, {bits, checkSize}) {
  const chunks = readChunks(bytes);
  const header = readHeader(chunks);
  checkSize(header.height, header.width);
  const samples = await readSamples(chunks, header);
  const data = greyOf(samples, header, chunks);
  return {
    data: header.depth === 16 ? stretch(data, bits) : deepen(data, bits),
    height: header.height,
    width: header.width,
  };
}

function readChunks(bytes) {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const chunks = [];
  for (let at = 8; at + 12 <= bytes.length;) {
    const length = view.getUint32(at);
    if (at + 12 + length > bytes.length) throw damaged("it is cut");
    const body = bytes.subarray(at + 4, at + 8 + length);
    if (crc32(body) !== view.getUint32(at + 8 + length)) {
      throw damaged("a checksum does not match");
    }
    const type = String.fromCharCode(...body.subarray(0, 4));
    chunks.push({type, data: body.subarray(4)});
    if (type === "IEND") return chunks;
    at += 12 + length;
  }
  throw damaged("it is cut");
}

const chunk = (chunks, type) => chunks.find((one) => one.type === type)?.data;

function readHeader(chunks) {
  const data = chunks[0]?.type === "IHDR" ? chunks[0].data : [];
  if (data.length !== 13) throw damaged("it has no header");
  const view = new DataView(data.buffer, data.byteOffset, 13);
  const [width, height] = [view.getUint32(0), view.getUint32(4)];
  const [depth, kind, , , interlaced] = data.subarray(8);
  if (!DEPTHS[kind]?.includes(depth) || !width || !height || interlaced > 1) {
    throw damaged("its header is impossible");
  }
  if (depth === 16 && kind !== 0) {
    throw new Refusal("The PNG file has 16 bits in each of several channels. " +
      "Save it as 16-bit grey.");
  }
  if (chunk(chunks, "acTL")) {
    throw new Refusal("The PNG file is an animation; one picture was expected.");
  }
  const exif = chunk(chunks, "eXIf");
  if (exif) checkUpright(exif);
  return {width, height, depth, kind, interlaced};
}

/** Refuses a picture whose EXIF data state a rotation. */
export function checkUpright(tiff) {
  const view = new DataView(tiff.buffer, tiff.byteOffset, tiff.byteLength);
  const little = tiff[0] === 0x49;
  const short = (at) => at + 2 <= tiff.length ? view.getUint16(at, little) : 0;
  const start = tiff.length < 8 ? 0 : view.getUint32(4, little);
  for (let i = 0; start && i < short(start); i++) {
    const at = start + 2 + 12 * i;
    if (short(at) === 0x0112 && short(at + 8) > 1) {
      throw new Refusal("The picture carries an EXIF rotation. Save it " +
        "upright, without the tag.");
    }
  }
}

/** Samples of all channels, one value each. */
async function readSamples(chunks, header) {
  const parts = chunks.filter((one) => one.type === "IDAT");
  const packed = joined(parts.map((one) => one.data));
  const {width, height, depth, kind, interlaced} = header;
  const channels = CHANNELS[kind];
  const passes = (interlaced ? PASSES : [[0, 1, 0, 1]])
    .map(([left, across, top, down]) => ({
      left, across, top, down,
      columns: Math.ceil((width - left) / across),
      rows: Math.ceil((height - top) / down),
    })).filter((pass) => pass.columns > 0 && pass.rows > 0);
  const stride = (columns) => Math.ceil(columns * channels * depth / 8);
  const expected = passes.reduce(
    (sum, pass) => sum + pass.rows * (1 + stride(pass.columns)), 0);
  let raw;
  try {
    raw = await through(new DecompressionStream("deflate"), packed, expected);
  } catch (error) {
    throw error instanceof Refusal ? error : damaged("its pixels are damaged");
  }
  if (raw.length !== expected) throw damaged("it lacks pixels");
  const samples = depth === 16
    ? new Uint16Array(width * height) : new Uint8Array(width * height * channels);
  let at = 0;
  for (const pass of passes) {
    const line = stride(pass.columns);
    const block = raw.subarray(at, at + pass.rows * (1 + line));
    unfilter(block, line, Math.max(1, channels * depth / 8));
    at += block.length;
    for (let row = 0; row < pass.rows; row++) {
      const from = row * (1 + line) + 1;
      for (let i = 0; i < pass.columns * channels; i++) {
        const column = pass.left + pass.across * Math.floor(i / channels);
        const place = (pass.top + pass.down * row) * width + column;
        samples[place * channels + i % channels] = sample(block, from, i, depth);
      }
    }
  }
  return samples;
}

function sample(block, from, i, depth) {
  if (depth === 8) return block[from + i];
  if (depth === 16) return block[from + 2 * i] << 8 | block[from + 2 * i + 1];
  const byte = block[from + (i * depth >> 3)];
  return byte >> 8 - depth - i * depth % 8 & (1 << depth) - 1;
}

/** Undoes the filters of rows, in place. */
function unfilter(block, line, back) {
  const zeros = new Uint8Array(line);
  for (let at = 0, above = zeros; at < block.length; at += 1 + line) {
    const filter = block[at], row = block.subarray(at + 1, at + 1 + line);
    if (filter > 4) throw damaged("it has an unknown filter");
    for (let i = 0; filter && i < line; i++) {
      const a = i < back ? 0 : row[i - back], b = above[i];
      if (filter === 1) row[i] += a;
      else if (filter === 2) row[i] += b;
      else if (filter === 3) row[i] += a + b >> 1;
      else row[i] += paeth(a, b, i < back ? 0 : above[i - back]);
    }
    above = row;
  }
}

function paeth(a, b, c) {
  const pa = Math.abs(b - c), pb = Math.abs(a - c), pc = Math.abs(a + b - 2 * c);
  if (pa <= pb && pa <= pc) return a;
  return pb <= pc ? b : c;
}

/** One level for each pixel; refuses colour and transparency. */
function greyOf(samples, {depth, kind}, chunks) {
  const clear = chunk(chunks, "tRNS");
  if (kind === 3) return fromPalette(samples, chunk(chunks, "PLTE"), clear);
  const channels = CHANNELS[kind];
  if (kind > 3) {
    for (let i = channels - 1; i < samples.length; i += channels) {
      if (samples[i] < 255) throw transparent();
    }
  }
  if (clear) checkOpaque(samples, channels, clear);
  if (channels > 1) return equalChannels(samples, channels, 0);
  return depth < 8 ? samples.map((v) => v * 255 / ((1 << depth) - 1)) : samples;
}

function checkOpaque(samples, channels, clear) {
  const key = Array.from({length: channels},
    (_, c) => clear[2 * c] << 8 | clear[2 * c + 1]);
  for (let i = 0; i < samples.length; i += channels) {
    if (key.every((value, c) => samples[i + c] === value)) throw transparent();
  }
}

const transparent = () => new Refusal("The picture has transparent pixels, " +
  "whose grey value is undefined. Save it without an alpha channel.");

function fromPalette(samples, palette, clear = []) {
  const colours = new Uint8Array(samples.length * 3);
  samples.forEach((index, i) => {
    if (!palette || index >= Math.floor(palette.length / 3)) {
      throw damaged("it has pixels beyond its palette");
    }
    if ((clear[index] ?? 255) < 255) throw transparent();
    colours.set(palette.subarray(3 * index, 3 * index + 3), 3 * i);
  });
  return equalChannels(colours, 3, 0);
}

/** The level of pixels whose red, green and blue differ by `tolerance` at most. */
export function equalChannels(samples, channels, tolerance) {
  const found = new Uint8Array(samples.length / channels);
  const [green, blue] = channels < 3 ? [0, 0] : [1, 2];
  for (let i = 0, at = 0; i < found.length; i++, at += channels) {
    const r = samples[at], g = samples[at + green], b = samples[at + blue];
    if (Math.max(r, g, b) - Math.min(r, g, b) > tolerance) {
      throw new Refusal("The picture is in colour, and a radiograph is grey. " +
        "Check that it is not an overlay, a photograph or the wrong file.");
    }
    found[i] = g;
  }
  return found;
}

/** Encodes levels of 8 bits as a grey PNG file. */
export async function writePng({data, height, width}) {
  const rows = new Uint8Array(height * (width + 1));
  for (let row = 0; row < height; row++) {
    rows.set(data.subarray(row * width, (row + 1) * width), row * (width + 1) + 1);
  }
  const header = new Uint8Array(13);
  const view = new DataView(header.buffer);
  view.setUint32(0, width);
  view.setUint32(4, height);
  header[8] = 8;
  const packed = await through(new CompressionStream("deflate"), rows);
  return joined([Uint8Array.from(SIGNATURE), ...encodeChunk("IHDR", header),
    ...encodeChunk("IDAT", packed), ...encodeChunk("IEND", new Uint8Array())]);
}

function encodeChunk(type, data) {
  const body = joined([new TextEncoder().encode(type), data]);
  const number = (value) => {
    const bytes = new Uint8Array(4);
    new DataView(bytes.buffer).setUint32(0, value);
    return bytes;
  };
  return [number(data.length), body, number(crc32(body))];
}
