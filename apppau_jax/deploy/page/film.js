// Any film that the page reads, by its content and never by its name.
import {isDicom} from "./dicom_file.js";
import {readDicom} from "./dicom.js";
import {isJpeg, readJpeg} from "./jpeg.js";
import {Refusal} from "./levels.js";
import {isPng, readPng} from "./png.js";

/**
 * Reads a film to grey levels, dense parts bright.
 *
 * @param bytes of the file.
 * @param rules constants of apppau_jax, see page_facts.py.
 * @param decode as for readJpeg.
 * @return {data, height, width, remarks, spacing}.
 */
export async function readFilm(bytes, {bits, rules, decode}) {
  const checkSize = (height, width) => {
    if (height * width > rules.most_pixels) {
      throw new Refusal(`The file states ${width} x ${height} pixels, more ` +
        "than any radiograph.");
    }
  };
  const film = {remarks: [], spacing: null};
  const options = {bits, checkSize, decode, sides: rules.spacing_sides};
  if (isPng(bytes)) Object.assign(film, await readPng(bytes, options));
  else if (isJpeg(bytes)) Object.assign(film, await readJpeg(bytes, options));
  else if (isDicom(bytes)) Object.assign(film, readDicom(bytes, options));
  else {
    throw new Refusal("This is no PNG, JPEG or DICOM file. Convert it to PNG, " +
      "or use the command launch.predict.");
  }
  if (film.data.every((level) => level === film.data[0])) {
    throw new Refusal("The film shows nothing: every pixel has the level " +
      `${film.data[0]}.`);
  }
  return film;
}
