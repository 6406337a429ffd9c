// Grey levels and resampling, as in apppau_jax/imaging/grey_levels.py,
// apppau_jax/imaging/resample.py and apppau_jax/inference/outputs.py.
// An image is {data, height, width}, its rows one after the other.

/** A file that cannot be used; the message is a paragraph for the user. */
export class Refusal extends Error {}

export const whiteOf = (bits) => 2 ** bits - 1;

export function emptyLevels(count, bits) {
  return bits === 8 ? new Uint8Array(count) : new Uint16Array(count);
}

/** Converts a fraction of the full range to a level. */
export function quantize(fraction, white) {
  return Math.floor(Math.min(1, Math.max(0, fraction)) * white + 0.5);
}

/** Scales integers linearly: the lowest becomes 0, the highest white. */
export function stretch(values, bits) {
  let [low, high] = [Infinity, -Infinity];
  for (const value of values) {
    if (value < low) low = value;
    if (value > high) high = value;
  }
  const found = emptyLevels(values.length, bits);
  const range = Math.max(high - low, 1e-9);
  for (let i = 0; i < found.length; i++) {
    found[i] = quantize((values[i] - low) / range, whiteOf(bits));
  }
  return found;
}

/** Converts levels of 8 bits to levels of `bits`; white remains white. */
export function deepen(grey, bits) {
  return bits === 8 ? grey : Uint16Array.from(grey, (level) => level * 257);
}

/** The upper eight bits of levels. */
export function shallow(grey) {
  return grey instanceof Uint8Array
    ? grey : Uint8Array.from(grey, (level) => level >> 8);
}

/** The mean level of the area that each new pixel covers, rounded half up. */
export function resizeArea(image, height, width) {
  const total = areaSums(image, height, width);
  const area = image.height * image.width;
  const data = emptyLevels(total.length, 8 * image.data.BYTES_PER_ELEMENT);
  for (let i = 0; i < data.length; i++) {
    data[i] = Math.floor((2 * total[i] + area) / (2 * area));
  }
  return {data, height, width};
}

/** 1 where at least half of the area of a new pixel is in the mask, else 0. */
export function resizeMask(mask, height, width) {
  const area = mask.height * mask.width;
  const total = areaSums(mask, height, width), data = new Uint8Array(total.length);
  for (let i = 0; i < data.length; i++) data[i] = +(2 * total[i] >= area);
  return {data, height, width};
}

/** Values times covered area, in 1 / (height * width) pixels; exact. */
function areaSums(image, height, width) {
  const {data, height: rows, width: columns} = image;
  const tall = sumBands(data, {old: rows, count: height, lines: columns,
    step: columns, next: 1});
  const wide = sumBands(tall, {old: columns, count: width, lines: height,
    step: 1, next: columns});
  return wide;
}

/**
 * Sums what each of `count` equal bands of `old` values covers, in 1/count.
 *
 * Of the bands along columns (step 1) the result is [lines, count], of those
 * along rows [count, lines].
 */
function sumBands(values, {old, count, lines, step, next}) {
  const sums = new Float64Array(count * lines);
  const [outStep, outNext] = step === 1 ? [1, count] : [lines, 1];
  for (let band = 0; band < count; band++) {
    const first = Math.floor(band * old / count);
    const last = Math.floor((band + 1) * old / count);
    const skipped = band * old % count, taken = (band + 1) * old % count;
    for (let line = 0; line < lines; line++) {
      const from = line * next;
      let sum = -skipped * values[from + first * step];
      for (let i = first; i < last; i++) sum += values[from + i * step] * count;
      if (taken) sum += taken * values[from + last * step];
      sums[band * outStep + line * outNext] = sum;
    }
  }
  return sums;
}

/** Resamples float32 probabilities bilinearly with antialiasing, as Pillow. */
export function resizeProbability(plane, height, width) {
  const {data, height: rows, width: columns} = plane;
  const wide = weigh(data, weights(columns, width), {lines: rows, step: 1,
    next: columns, outStep: 1, outNext: width});
  const tall = weigh(wide, weights(rows, height), {lines: width, step: width,
    next: 1, outStep: width, outNext: 1});
  return {data: tall, height, width};
}

/** For each new place the first old place and the weights from there on. */
function weights(old, count) {
  const scale = old / count, support = Math.max(scale, 1);
  return Array.from({length: count}, (_, i) => {
    const centre = (i + 0.5) * scale;
    const first = Math.max(0, Math.trunc(centre - support + 0.5));
    const end = Math.min(old, Math.trunc(centre + support + 0.5));
    const found = [];
    for (let place = first; place < end; place++) {
      const distance = Math.abs((place - centre + 0.5) / support);
      found.push(Math.max(0, 1 - distance));
    }
    const total = found.reduce((sum, weight) => sum + weight, 0);
    return {first, found: found.map((weight) => weight / total)};
  });
}

function weigh(values, places, {lines, step, next, outStep, outNext}) {
  const sums = new Float32Array(places.length * lines);
  places.forEach(({first, found}, place) => {
    for (let line = 0; line < lines; line++) {
      let sum = 0;
      const from = line * next + first * step;
      for (let i = 0; i < found.length; i++) {
        sum += values[from + i * step] * found[i];
      }
      sums[place * outStep + line * outNext] = sum;
    }
  });
  return sums;
}
