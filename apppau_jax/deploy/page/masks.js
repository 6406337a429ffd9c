// Masks and what is measured in them, as in apppau_jax/inference/outputs.py and
// measurements.py. A mask is {data: Uint8Array of 0 and 1, height, width}.

/** The mask of probabilities, and of it the largest connected parts. */
export function binarize(plane, {threshold, largest_components: count}) {
  const least = Math.fround(threshold), {height, width} = plane;
  const mask = {data: new Uint8Array(height * width), height, width};
  for (let i = 0; i < mask.data.length; i++) mask.data[i] = +(plane.data[i] >= least);
  return count ? unite(largest(mask, count), mask) : mask;
}

function unite(parts, {height, width}) {
  const data = new Uint8Array(height * width);
  for (const part of parts) for (const i of part) data[i] = 1;
  return {data, height, width};
}

/** Places of the largest 4-connected parts, at most `count`, largest first. */
export function largest(mask, count) {
  const {height, width} = mask, last = width * (height - 1);
  const left = mask.data.slice(); // what is not in a part yet
  const places = new Int32Array(area(mask)), parts = [];
  let end = 0;
  const take = (i) => {
    if (!left[i]) return;
    left[i] = 0;
    places[end++] = i;
  };
  for (let start = 0; start < left.length; start++) {
    if (!left[start]) continue;
    const begin = end;
    take(start);
    for (let next = begin; next < end; next++) {
      const i = places[next], x = i % width;
      if (x > 0) take(i - 1);
      if (x < width - 1) take(i + 1);
      if (i >= width) take(i - width);
      if (i < last) take(i + width);
    }
    parts.push(places.subarray(begin, end));
  }
  return parts.sort((a, b) => b.length - a.length).slice(0, count);
}

export function area({data}) {
  let count = 0;
  for (const value of data) count += value;
  return count;
}

/** The mask of both lungs; null if they are not among the masks. */
export function bothLungs(masks, {left, right, lungs}) {
  if (masks[lungs]) return masks[lungs];
  if (!masks[left] || !masks[right]) return null;
  const {data, height, width} = masks[left];
  return {data: data.map((v, i) => v | masks[right].data[i]), height, width};
}

/**
 * Measures masks by name.
 *
 * @param masks by name; one of both lungs is called `lungs`.
 * @param spacing {rows, columns} in millimetres, or null.
 * @return numbers by name; what cannot be measured is absent.
 */
export function measure(masks, {spacing, rules}) {
  const {left, right, heart, lungs} = rules;
  const parts = {...masks};
  if (masks[lungs]) Object.assign(parts, sidesOf(masks[lungs], rules));
  const found = {}, tall = {}, wide = {};
  const areas = Object.fromEntries(
    Object.entries(parts).map(([name, mask]) => [name, area(mask)]));
  lengths(parts, {left, right, heart}, tall, wide);
  const square = spacing && spacing.rows * spacing.columns / 100;
  for (const [name, pixels] of Object.entries(areas)) {
    found[`${name}_area_px`] = pixels;
    if (spacing) found[`${name}_area_cm2`] = pixels * square;
  }
  for (const [lines, step] of [[tall, spacing?.rows], [wide, spacing?.columns]]) {
    for (const [name, pixels] of Object.entries(lines)) {
      found[`${name}_px`] = pixels;
      if (spacing) found[`${name}_mm`] = pixels * step;
    }
  }
  const both = (areas[left] ?? 0) + (areas[right] ?? 0);
  if (both) found[`${left}_share`] = (areas[left] ?? 0) / both;
  if (wide.heart_width !== undefined && wide.thorax_width !== undefined) {
    found.cardiothoracic_ratio = wide.heart_width / wide.thorax_width;
  }
  return found;
}

/** Each lung of a mask that has two such parts side by side. */
function sidesOf(mask, {left, right, smaller_lung: least}) {
  const pair = largest(mask, 2);
  if (pair.length < 2 || pair[1].length < least * pair[0].length) return {};
  const centre = (part, of) =>
    part.reduce((sum, i) => sum + of(i), 0) / part.length;
  const {width} = mask;
  const across = centre(pair[0], (i) => i % width) - centre(pair[1], (i) => i % width);
  const row = (i) => Math.floor(i / width);
  const down = centre(pair[0], row) - centre(pair[1], row);
  if (Math.abs(across) <= Math.abs(down)) return {};
  const [first, second] = across > 0 ? pair : [pair[1], pair[0]];
  return {[left]: unite([first], mask), [right]: unite([second], mask)};
}

function lengths(parts, {left, right, heart}, tall, wide) {
  const [one, other, middle] = [left, right, heart].map(
    (name) => parts[name] && largest(parts[name], 1)[0]);
  const width = Object.values(parts)[0].width;
  if (one && other) {
    const [a, b] = [one, other].map((part) => rowEnds(part, width));
    const rows = [...a.keys(), ...b.keys()];
    tall.thorax_height = extent(rows);
    const inner = [...a.keys()].filter((row) => b.has(row))
      .map((row) => extent([...a.get(row), ...b.get(row)]));
    if (inner.length) wide.thorax_width = inner.reduce((x, y) => Math.max(x, y));
  }
  if (middle) {
    wide.heart_width = extent([...rowEnds(middle, width).values()].flat());
  }
}

function extent(places) {
  const low = places.reduce((a, b) => Math.min(a, b));
  return places.reduce((a, b) => Math.max(a, b)) - low + 1;
}

/** The first and the last column of a part in each of its rows. */
function rowEnds(part, width) {
  const ends = new Map();
  for (const i of part) {
    const row = Math.floor(i / width), x = i % width, known = ends.get(row);
    if (!known) ends.set(row, [x, x]);
    else if (x < known[0]) known[0] = x;
    else if (x > known[1]) known[1] = x;
  }
  return ends;
}

/**
 * What shows a mask in a picture: its inner rim, and the pixels around it.
 *
 * As apppau_jax/inference/overlay.py draws them.
 */
export function outline(mask, thickness) {
  const {data, height, width} = mask;
  let inner = data;
  for (let i = 0; i < thickness; i++) inner = eroded(inner, height, width);
  const around = eroded(data.map((v) => 1 - v), height, width, 1);
  return {
    rim: data.map((v, i) => v & (1 - inner[i])),
    halo: data.map((v, i) => (1 - v) & (1 - around[i])),
  };
}

/** Erosion by a cross; beyond the border lies `beyond`. */
function eroded(data, height, width, beyond = 0) {
  return data.map((value, i) => {
    const x = i % width;
    return value & (x > 0 ? data[i - 1] : beyond) &
      (x < width - 1 ? data[i + 1] : beyond) &
      (i >= width ? data[i - width] : beyond) &
      (i < width * (height - 1) ? data[i + width] : beyond);
  });
}
