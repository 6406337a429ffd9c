// JPEG files: what they state is checked here, the browser decodes them.
import {Refusal, deepen} from "./levels.js";
import {checkUpright, equalChannels} from "./png.js";

const TOLERANCE = 4; // grey is stored as colour with rounding
const MAX_SCANS = 100; // progressive files have about ten

export const isJpeg = (b) => b[0] === 0xFF && b[1] === 0xD8 && b[2] === 0xFF;

/**
 * Levels of `bits` of a grey picture.
 *
 * @param decode maps bytes to the red, green, blue and alpha of each pixel.
 */
export async function readJpeg(bytes, {bits, checkSize, decode}) {
  const {height, width} = checkJpeg(bytes);
  checkSize(height, width);
  const pixels = await decode(bytes).catch(() => {
    throw broken("the browser cannot decode it");
  });
  if (pixels.length !== 4 * height * width) throw broken("its size");
  const grey = equalChannels(pixels, 4, TOLERANCE);
  return {data: deepen(grey, bits), height, width};
}

const broken = (what) => new Refusal(
  `The JPEG file is damaged (${what}). Get it again from its owner.`);

/** Returns the size that a file states; refuses what is decoded ambiguously. */
export function checkJpeg(bytes) {
  const word = (at) => bytes[at] << 8 | bytes[at + 1];
  let size = null, scans = 0, ended = false;
  for (let at = 2; at + 2 <= bytes.length && !ended;) {
    const marker = bytes[at + 1];
    if (bytes[at] !== 0xFF) throw broken("a marker is missing");
    if (marker === 0xFF) { at += 1; continue; } // filling
    if (marker === 0xD9) { ended = true; continue; }
    const end = at + 2 + word(at + 2);
    if (!(end <= bytes.length)) throw broken("it is cut");
    if (marker === 0xE1 && String.fromCharCode(...bytes.subarray(at + 4, at + 8))
      === "Exif") checkUpright(bytes.subarray(at + 10, end));
    if (marker >= 0xC0 && marker <= 0xCF && ![0xC4, 0xC8, 0xCC].includes(marker)) {
      if (size) throw broken("it has two frames");
      if (bytes[at + 4] !== 8 || ![1, 3].includes(bytes[at + 9])) {
        throw new Refusal("The JPEG file is neither grey nor RGB of 8 bits. " +
          "Save it as 8-bit or 16-bit grey PNG.");
      }
      size = {height: word(at + 5), width: word(at + 7)};
    }
    at = end;
    if (marker === 0xDA) {
      if (++scans > MAX_SCANS) throw broken("it has too many scans");
      at = afterScan(bytes, at);
    }
  }
  if (!ended || !size || !size.height || !size.width) throw broken("it is cut");
  return size;
}

/** The place of the marker that ends a scan. */
function afterScan(bytes, at) {
  for (; at + 1 < bytes.length; at++) {
    const next = bytes[at + 1];
    const inside = next === 0 || next === 0xFF || (next >= 0xD0 && next <= 0xD7);
    if (bytes[at] === 0xFF && !inside) return at;
  }
  throw broken("it is cut");
}
