// One film, from its levels to masks, numbers and remarks, as
// apppau_jax/inference/model.py does it.
import {estimate, onEstimates, onImage, onLungs} from "./doubt.js";
import {resizeArea, resizeMask, resizeProbability} from "./levels.js";
import {area, binarize, bothLungs, measure} from "./masks.js";

/**
 * Predicts a film.
 *
 * @param film as readFilm returns it.
 * @param facts of the model, see page_facts.py.
 * @param run maps an image of the network's resolution to {probability
 *   [r, r, k], classes [n] or null}.
 */
export async function predict(film, {facts, run}) {
  const {rules, resolution: side, mask_names: names} = facts;
  const small = resizeArea(film, side, side);
  const {probability, classes} = await run(small);
  const masks = {}, quality = {};
  names.forEach((name, k) => {
    const plane = {height: side, width: side, data: Float32Array.from(
      {length: side * side}, (_, i) => probability[i * names.length + k])};
    quality[name] = estimate(plane, binarize(plane, facts));
    masks[name] = binarize(resizeProbability(plane, film.height, film.width), facts);
  });
  const lungs = bothLungs(masks, rules);
  return {
    masks, quality, classes,
    height: film.height, width: film.width,
    spacing: film.spacing?.element ?? "",
    fractions: Object.fromEntries(names.map(
      (name) => [name, area(masks[name]) / film.data.length])),
    measurements: measure(masks, {spacing: film.spacing, rules}),
    remarks: [...film.remarks, ...onImage(film, rules),
      ...lungs ? onLungs(small, lungs, rules) : [],
      ...onEstimates(quality, rules)],
  };
}

/** The film and its masks, at most `longest` pixels a side, to be drawn. */
export function preview(film, masks, longest) {
  const factor = Math.min(1, longest / Math.max(film.height, film.width));
  const [height, width] = [film.height, film.width]
    .map((side) => Math.max(1, Math.round(side * factor)));
  const {data} = resizeArea(film, height, width);
  const white = data instanceof Uint8Array ? 255 : 65535;
  return {
    height, width,
    grey: Uint8Array.from(data, (level) => level * 255 / white),
    masks: Object.fromEntries(Object.entries(masks).map(
      ([name, mask]) => [name, resizeMask(mask, height, width).data])),
  };
}
