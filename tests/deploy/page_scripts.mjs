// Runs the scripts of the page under Node on jobs that a test has written.
//
//   node page_scripts.mjs SCRIPTS FOLDER
//
// SCRIPTS is apppau_jax/deploy/page. FOLDER/jobs.json lists jobs, each a kind
// and its arguments; results go to FOLDER/results.json, arrays of bytes to
// files beside it.
import {readFileSync, writeFileSync} from "node:fs";
import {join} from "node:path";
import {pathToFileURL} from "node:url";

const [scripts, folder] = process.argv.slice(2);
const load = (name) => import(pathToFileURL(join(scripts, `${name}.js`)));
const read = (name) => new Uint8Array(readFileSync(join(folder, name)));
const [{readFilm}, {predict, preview}, {csv, zip}, {writePng}, levels, masks] =
  await Promise.all(["film", "predict", "table", "png", "levels", "masks"].map(load));

const array = (name, bits) => {
  const {buffer} = read(name);
  return bits === 8 ? new Uint8Array(buffer) : new Uint16Array(buffer);
};

const kinds = {
  async film({name, bits, rules, rgba}) {
    const decode = async () => read(rgba);
    const {data, ...film} = await readFilm(read(name), {bits, rules, decode});
    writeFileSync(join(folder, `${name}.levels`), data);
    return film;
  },

  async predict({name, film, facts, probability, classes, files, longest}) {
    const image = {...film, data: array(name, facts.bits)};
    const run = async (small) => {
      writeFileSync(join(folder, `${name}.small`), small.data);
      return {probability: new Float32Array(read(probability).buffer), classes};
    };
    const {masks: outlined, ...found} = await predict(image, {facts, run});
    const pictures = [{name: "table", bytes: new TextEncoder().encode("a")}];
    for (const [mask, {data, height, width}] of Object.entries(outlined)) {
      const bytes = await writePng(
        {data: data.map((v) => 255 * v), height, width});
      pictures.push({name: files[mask], bytes});
    }
    writeFileSync(join(folder, `${name}.zip`), zip(pictures));
    const small = preview(image, outlined, longest);
    writeFileSync(join(folder, `${name}.grey`), small.grey);
    const status = found.remarks.length ? "remark" : "ok";
    const row = {file: name, files, found, status, reason: found.remarks.join(" ")};
    const failed = {file: `=${name}`, status: "failed", reason: 'is, "so"\n'};
    return {
      size: [small.height, small.width],
      csv: csv([row, failed], {groups: facts.columns, facts}),
    };
  },

  async outline({name, height, width, thickness}) {
    const found = masks.outline({data: read(name), height, width}, thickness);
    writeFileSync(join(folder, `${name}.rim`), found.rim);
    writeFileSync(join(folder, `${name}.halo`), found.halo);
    return null;
  },
};

const results = [];
for (const {kind, ...job} of JSON.parse(readFileSync(join(folder, "jobs.json")))) {
  try {
    results.push(await kinds[kind](job));
  } catch (error) {
    if (!(error instanceof levels.Refusal)) throw error;
    results.push({refused: error.message});
  }
}
writeFileSync(join(folder, "results.json"), JSON.stringify(results));
