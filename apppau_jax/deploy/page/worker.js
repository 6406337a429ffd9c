// The part of the page that computes, apart from what is seen.
import {readFilm} from "./film.js";
import {Refusal} from "./levels.js";
import {predict, preview} from "./predict.js";
import {writePng} from "./png.js";

let facts, session, runtime;
let last = Promise.resolve(); // one after the other

self.onmessage = ({data}) => {
  last = last.then(() => handle(data));
};

async function handle(data) {
  try {
    if (data.kind === "start") await start(data);
    else await answer(data);
  } catch (error) {
    const reason = error instanceof Refusal ? error.message
      : `It could not be computed (${error.name}: ${error.message}).`;
    self.postMessage({kind: data.kind === "start" ? "broken" : "failed",
      id: data.id, reason});
  }
}

async function start({facts: given, script, wasm, model}) {
  facts = given;
  // An address made here: one of the page is another origin for a file.
  runtime = await import(
    URL.createObjectURL(new Blob([script], {type: "text/javascript"})));
  Object.assign(runtime.env.wasm, {numThreads: 1, proxy: false, wasmBinary: wasm});
  session = await runtime.InferenceSession.create(new Uint8Array(model),
    {executionProviders: ["wasm"]});
  self.postMessage({kind: "ready"});
}

async function run({data, height, width}) {
  const image = new runtime.Tensor(`uint${facts.bits}`, data, [height, width]);
  const found = await session.run({image});
  return {
    probability: found.probability.data,
    classes: found.class_probability?.data ?? null,
  };
}

async function answer({id, file}) {
  if (file.size > facts.rules.most_bytes) {
    throw new Refusal("The file is larger than any radiograph.");
  }
  const bytes = new Uint8Array(await file.arrayBuffer());
  const film = await readFilm(bytes, {...facts, decode});
  const {masks, ...found} = await predict(film, {facts, run});
  const pictures = {};
  for (const [name, {data, height, width}] of Object.entries(masks)) {
    pictures[name] = await writePng(
      {data: data.map((v) => 255 * v), height, width});
  }
  self.postMessage({kind: "done", id, found, pictures,
    shown: preview(film, masks, facts.rules.overlay_side)});
}

/** Red, green, blue and alpha of a JPEG's pixels, its colours unchanged. */
async function decode(bytes) {
  const picture = await createImageBitmap(new Blob([bytes]),
    {colorSpaceConversion: "none"});
  const canvas = new OffscreenCanvas(picture.width, picture.height);
  const context = canvas.getContext("2d");
  context.drawImage(picture, 0, 0);
  return context.getImageData(0, 0, picture.width, picture.height).data;
}
