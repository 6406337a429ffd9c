// How far a mask is to be trusted: apppau_jax/inference/quality.py, and
// apppau_jax/imaging/remarks.py, view.py and polarity.py.
import {resizeArea, resizeMask, shallow} from "./levels.js";
import {area} from "./masks.js";

/** The estimated Dice of a mask of probabilities, in [0, 1]. */
export function estimate(plane, mask) {
  let [shared, total] = [0, area(mask)];
  plane.data.forEach((p, i) => {
    total += p;
    if (mask.data[i]) shared += p;
  });
  return 2 * shared / Math.max(total, 1e-9);
}

/** Sentences on lungs whose outline should be looked at. */
export function onEstimates(estimates, {quality_lungs: lungs, quality_low: low}) {
  const doubtful = lungs.filter((name) => (estimates[name] ?? 1) < low)
    .map((name) => `${name.replaceAll("_", " ")} ${estimates[name].toFixed(2)}`);
  if (!doubtful.length) return [];
  return [`The outline is doubtful (estimated Dice: ${doubtful.join(", ")}).`];
}

/** Sentences on what is unusual about an image. */
export function onImage(image, rules) {
  const found = [];
  const say = (text, what) => what && found.push(text.replace("{}", what));
  say("The image has {}.", histogramRemark(image, rules));
  say("The image has an unusual size, {}.", sizeRemark(image, rules));
  say("The image may be {}.", kindRemark(image, rules.view));
  return found;
}

const percent = (share, digits) => `${(100 * share).toFixed(digits)}%`;

function histogramRemark({data}, rules) {
  const counts = new Float64Array(256);
  for (const level of shallow(data)) counts[level]++;
  const levels = counts.filter(Boolean).length;
  const reach = (share) => {
    let level = 0;
    for (let sum = counts[0]; sum < share * data.length; sum += counts[level]) level++;
    return level;
  };
  const spread = reach(0.99) - reach(0.01);
  const extreme = (counts[0] + counts[255]) / data.length;
  const reasons = [];
  if (levels < rules.fewest_levels) reasons.push(`${levels} grey levels`);
  if (spread < rules.smallest_spread) {
    reasons.push(`98 % of the pixels within ${spread} grey levels`);
  }
  if (extreme > rules.most_extreme) {
    reasons.push(`${percent(extreme, 0)} of the pixels black or white`);
  }
  return reasons.join(", ");
}

function sizeRemark({height, width}, {smallest_side: least, longest_side: most}) {
  const [short, long] = [Math.min(height, width), Math.max(height, width)];
  return short >= least && long <= most * short ? "" : `${width}x${height} pixels`;
}

/** What a film seems to be other than fit, or ""; see imaging/view.py. */
function kindRemark(image, view) {
  const found = gradientHistograms(image, view);
  if (!found.some(Boolean)) return "";
  const scores = view.weights.map((weights, kind) =>
    weights.reduce((sum, weight, i) => sum + weight * found[i], view.bias[kind]));
  return view.kinds[scores.indexOf(Math.max(...scores))];
}

/** Histograms of the directions of the gradients in fields, of norm 1. */
function gradientHistograms(image, {side, fields, directions}) {
  const small = resizeArea(image, side, side).data, cell = side / fields;
  const found = new Float64Array(fields * fields * directions);
  // Half the difference of the neighbours; at an edge the difference to one.
  const slope = (at, step, place) => {
    const [before, after] = [place > 0 ? 1 : 0, place < side - 1 ? 1 : 0];
    return (small[at + after * step] - small[at - before * step]) / (before + after);
  };
  for (let y = 0; y < side; y++) {
    for (let x = 0; x < side; x++) {
      const at = y * side + x;
      const [down, right] = [slope(at, side, y), slope(at, 1, x)];
      const turn = Math.atan2(down, right) / (2 * Math.PI) * directions;
      const lower = Math.floor(turn), share = turn - lower;
      const first = (Math.floor(y / cell) * fields + Math.floor(x / cell)) * directions;
      const add = (direction, part) => {
        const place = (direction + directions) % directions;
        found[first + place] += Math.hypot(down, right) * part;
      };
      add(lower, 1 - share);
      add(lower + 1, share);
    }
  }
  const norm = Math.sqrt(found.reduce((sum, value) => sum + value, 0)) + 1e-6;
  return found.map((value) => Math.sqrt(value) / norm);
}

/** Sentences on what is unusual about the lungs found in an image. */
export function onLungs(image, lungs, rules) {
  const covered = area(lungs) / lungs.data.length, frame = frameShare(lungs);
  const [least, most] = rules.lungs_possible;
  if (covered < least || covered > most || frame > rules.lungs_most_frame) {
    return [`Lungs cover ${percent(covered, 1)} of the image and ${
      percent(frame, 1)} of its frame: it may be a negative, upside down, or ` +
      "no frontal chest film."];
  }
  const found = [];
  const contrast = contrastOf(image, lungs, rules);
  if (contrast !== null && contrast < rules.decisive) {
    const shown = `${contrast < 0 ? "" : "+"}${contrast.toFixed(1)}`;
    found.push("Lungs are not darker than their surroundings (difference: " +
      `${shown} grey levels; usual: ${rules.decisive} or more).`);
  }
  const [low, high] = rules.lungs_usual;
  if (covered < low || covered > high) {
    found.push(`Lungs cover ${percent(covered, 1)} of the image (usual: ${
      Math.round(100 * low)} % to ${Math.round(100 * high)} %).`);
  }
  return found;
}

/** The share of the outermost pixels that a mask covers. */
function frameShare({data, height, width}) {
  let [inside, count] = [0, 0];
  const add = (i) => { inside += data[i]; count++; };
  for (let x = 0; x < width; x++) { add(x); add((height - 1) * width + x); }
  for (let y = 1; y < height - 1; y++) { add(y * width); add((y + 1) * width - 1); }
  return inside / count;
}

/** By how many levels the lungs are darker than the ring around them. */
function contrastOf(image, lungs, {contrast_side: side, ring}) {
  const grey = resizeArea({...image, data: shallow(image.data)}, side, side).data;
  const inside = resizeMask(lungs, side, side).data;
  const reach = Math.max(1, Math.floor(side / ring));
  const sums = [0, 0], counts = [0, 0];
  for (let i = 0; i < inside.length; i++) {
    if (!inside[i] && !isNear(inside, i, {side, reach})) continue;
    sums[inside[i]] += grey[i];
    counts[inside[i]]++;
  }
  return counts[0] && counts[1] ? sums[0] / counts[0] - sums[1] / counts[1] : null;
}

function isNear(mask, place, {side, reach}) {
  const [row, column] = [Math.floor(place / side), place % side];
  const last = (at) => Math.min(side - 1, at + reach);
  for (let y = Math.max(0, row - reach); y <= last(row); y++) {
    for (let x = Math.max(0, column - reach); x <= last(column); x++) {
      if (mask[y * side + x]) return true;
    }
  }
  return false;
}
