// Opens the page in a browser, gives it films, and writes down what happens.
//
//   node page_browser.mjs PAGE OUTPUT FILM...
//
// Into OUTPUT go predictions.zip, screenshots, and report.json: the requests
// that the page made, the errors of its scripts, seconds for each film, faults
// that axe-core found, and what can be reached by the keyboard. The environment
// has NODE_MODULES (with playwright-core and axe-core) and CHROMIUM.
import {mkdtempSync, readFileSync, writeFileSync} from "node:fs";
import {createRequire} from "node:module";
import {tmpdir} from "node:os";
import {basename, join} from "node:path";
import {pathToFileURL} from "node:url";

const require = createRequire(join(process.env.NODE_MODULES, "x.js"));
const {chromium} = require("playwright-core");
const AXE = require("axe-core").source;
const SHOWN = 3; // films on the screenshots
const WIDTHS = [390, 768, 1300];
const [page_path, output, ...films] = process.argv.slice(2);
const report = {requests: [], errors: [], seconds: {}, axe: {}, overflow: {},
  focus: []};

const context = await chromium.launchPersistentContext(
  mkdtempSync(join(tmpdir(), "page-")), {
    executablePath: process.env.CHROMIUM,
    headless: true,
    acceptDownloads: true,
    args: ["--no-sandbox", "--disable-gpu", "--disable-background-networking",
      "--disable-component-update", "--disable-sync"],
  });
const page = await context.newPage();
context.on("request", (request) => report.requests.push(request.url()));
page.on("pageerror", (error) => report.errors.push(String(error)));
page.on("console", (message) => {
  if (message.type() === "error") report.errors.push(message.text());
});
const address = page_path.startsWith("http") ? page_path
  : String(pathToFileURL(page_path));
const began = performance.now();
await page.goto(address);
await page.waitForFunction(
  () => document.getElementById("status").textContent === "Ready.", null,
  {timeout: 300_000});
report.ready = (performance.now() - began) / 1000;
report.agent = await page.evaluate(() => navigator.userAgent);

/** The first film is chosen by the keyboard, the second one is dropped. */
async function give(film, i) {
  if (i === 0) {
    const chooser = page.waitForEvent("filechooser");
    await page.keyboard.press("Tab");
    await page.keyboard.press("Enter");
    return (await chooser).setFiles(film);
  }
  if (i > 1) return page.setInputFiles("#files", film);
  const bytes = readFileSync(film).toString("base64");
  await page.evaluate(([content, name]) => {
    const data = new DataTransfer();
    const array = Uint8Array.from(atob(content), (c) => c.charCodeAt(0));
    data.items.add(new File([array], name));
    document.body.dispatchEvent(
      new DragEvent("drop", {dataTransfer: data, bubbles: true}));
  }, [bytes, basename(film)]);
}

const waitForFilms = (count) => page.waitForFunction((wanted) => RegExp(
  `^${wanted} films? done`).test(document.getElementById("status").textContent),
count, {timeout: 300_000});

for (const [i, film] of films.entries()) {
  const start = performance.now();
  await give(film, i);
  await waitForFilms(i + 1);
  report.seconds[basename(film)] = (performance.now() - start) / 1000;
}

async function saved(button, name) {
  const waiting = page.waitForEvent("download");
  await button();
  await (await waiting).saveAs(join(output, name));
}
await saved(() => page.click("#zip"), "predictions.zip");
// By the keyboard alone: tab to each control, and press some of them.
await page.focus("#files");
for (let i = 0; i < 12; i++) {
  await page.keyboard.press("Tab");
  report.focus.push(await page.evaluate(() => {
    const {id, tagName, type} = document.activeElement;
    return id || type || tagName;
  }));
  if (report.focus.at(-1) === "csv") {
    await saved(() => page.keyboard.press("Enter"), "predictions.csv");
  }
  if (report.focus.at(-1) === "order") {
    await page.keyboard.press("Space");
    report.ordered = await page.isChecked("#order");
    await page.keyboard.press("Space");
  }
}
await page.click("#clear");
report.cleared = await page.isHidden("#results");
await page.setInputFiles("#files", films.slice(0, SHOWN));
await waitForFilms(SHOWN);
for (const scheme of ["light", "dark"]) {
  await page.emulateMedia({colorScheme: scheme});
  for (const width of WIDTHS) {
    await page.setViewportSize({width, height: 844});
    const name = `${width}-${scheme}`;
    await page.screenshot({path: join(output, `${name}.png`), fullPage: true});
    report.overflow[name] = await page.evaluate(
      () => document.documentElement.scrollWidth - window.innerWidth);
    // The policy of the page forbids injected scripts, but not the debugger's.
    await page.evaluate(AXE);
    const {violations} = await page.evaluate(() => window.axe.run());
    report.axe[name] = violations.map(
      ({id, impact, nodes}) => `${impact} ${id}: ${nodes[0].html}`.slice(0, 300));
  }
}
report.requests = report.requests.filter((url) => !url.startsWith("blob:"));
writeFileSync(join(output, "report.json"), JSON.stringify(report, null, 1));
await context.close();
