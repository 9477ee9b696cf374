/** The page of a text: its mentions are found and marked, each shows its entities, and a wrong span is corrected. */

import { shown, summary, took } from "./answers.js";
import { element } from "./element.js";
import { ImageField } from "./image.js";
import { marksOf, selectedIn } from "./marks.js";
import { ask, Trouble } from "./server.js";
import { inCharacters, inUnits, moved, trimmed, wordsOf } from "./spans.js";
import { bringIntoView, nameServer, tell } from "./view.js";

const SHARE = 0.7; //: Of a body, that an image may have: as text it takes a third more.

const at = (id) => document.getElementById(id);
const field = at("text");
const image = new ImageField();

let about = null;
let running = null; // the AbortController of the question on its way
let found = { text: "", file: null, mentions: [], chosen: -1 };
let selected = null; // the span that a click on #add makes a mention

async function begin() {
  about = await nameServer();
  image.limit(about.reads_images, Math.floor(about.limits?.max_body_bytes * SHARE));
  const texts = about.examples.map((example) => example.context).filter(Boolean);
  at("example").hidden = !texts.length;
  at("example").onclick = () => {
    field.value = texts.join("\n\n");
    image.remove();
    attempt(find);
  };
}

/** Finds the mentions of what the field holds, and shows them. */
async function find() {
  const text = field.value;
  if (!text.trim()) throw nothingAsked();
  const file = image.file;
  await work(async (signal) => {
    const mentions = await annotated({ text, file, signal });
    found = { text, file, mentions, chosen: mentions.length ? 0 : -1 };
    return [saidOf(mentions.length)];
  });
  bringIntoView(at("answers"));
}

function nothingAsked() {
  field.focus();
  return new Trouble(422, "There is no text yet.", {
    expected: "a text",
    found: "an empty field",
    remedy: "Paste or write one.",
  });
}

function saidOf(count) {
  if (!count) return "No mention was found. Select words to mark one";
  return `${count} mention${count === 1 ? "" : "s"}`;
}

/** Makes a span a mention, in the place of `instead` and of all that it meets. */
async function mark(span, instead = null) {
  await work(async (signal) => {
    const [mention] = await annotated({ ...found, spans: [span], signal });
    const others = found.mentions.filter((each) => each !== instead && (each.end <= span.start || each.start >= span.end));
    const mentions = [...others, mention].sort((one, other) => one.start - other.start);
    found = { ...found, mentions, chosen: mentions.indexOf(mention) };
    return summary(mention.answers, mention.mention);
  });
}

/** What the server says of the mentions in `spans`, or of those that it finds. */
async function annotated({ text, file, spans, signal }) {
  const inText = spans?.map(({ start, end }) => ({ start: inCharacters(text, start), end: inCharacters(text, end) }));
  // No form: in one, each end of a line becomes two characters, and places would count both.
  const json = { text, spans: inText ?? null, image: file && (await dataUrl(file)) };
  const { annotations } = await ask("annotate", { json, signal });
  return inUnits(text, annotations).sort((one, other) => one.start - other.start);
}

function dataUrl(file) {
  return new Promise((resolve, reject) => {
    const reader = new FileReader();
    reader.onload = () => resolve(reader.result);
    reader.onerror = () => reject(unreadable(file));
    reader.readAsDataURL(file);
  });
}

function unreadable(file) {
  return new Trouble(422, "The image cannot be read.", {
    expected: "an image that this browser can read",
    found: file.name,
    remedy: "Choose it once more, or another one.",
  });
}

/** Does it as the only work, and shows what came of it; `action` gives what is said then. */
async function work(action) {
  running?.abort();
  const own = (running = new AbortController());
  at("trouble").replaceChildren();
  at("empty").hidden = true;
  setBusy(true);
  const start = performance.now();
  try {
    const said = await action(own.signal);
    at("status").replaceChildren(...said, took(start));
    show();
  } finally {
    if (running === own) setBusy(false);
  }
}

function setBusy(isBusy) {
  at("answers").setAttribute("aria-busy", String(isBusy));
  at("link").textContent = isBusy ? "Finding …" : "Find mentions";
}

/** Shows the marked text, and the entities of the chosen mention. */
function show() {
  const hadFocus = at("marked").contains(document.activeElement);
  at("result").hidden = !found.text;
  at("marked").replaceChildren(...marksOf(found.text, found.mentions, found.chosen, choose));
  const mention = found.mentions[found.chosen];
  at("chosen").hidden = !mention;
  at("chosen-name").replaceChildren(...(mention ? [element("span", {}, mention.mention)] : []));
  at("list").replaceChildren(...(mention ? shown(mention.answers, about?.evidence ?? {}) : []));
  if (hadFocus) at("marked").querySelector("[aria-pressed=true]")?.focus();
  offer(null);
}

function choose(place) {
  found.chosen = place;
  show();
  bringIntoView(at("chosen"));
}

/** Offers to make a span a mention. */
function offer(span) {
  selected = span;
  at("add").hidden = !span;
  if (!span) return;
  const words = found.text.slice(span.start, span.end);
  const part = words.length > 40 ? `${words.slice(0, 40)}…` : words;
  at("add").replaceChildren("Mark “", element("bdi", {}, part), "”");
}

async function attempt(action) {
  try {
    await action();
  } catch (error) {
    if (error.name === "AbortError") return;
    at("status").textContent = "";
    const again = () => attempt(about ? action : beginAndFind);
    tell(error, again, () => field.focus());
  }
}

async function beginAndFind() {
  await begin();
  if (field.value.trim()) await find();
}

at("question").addEventListener("submit", (event) => {
  event.preventDefault();
  attempt(find);
});
field.addEventListener("keydown", (event) => {
  if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) at("question").requestSubmit();
});
// Words are selected in the marked text, or, by keyboard, in the field, as long as it holds the same text.
document.addEventListener("selectionchange", () => {
  const isOfField = document.activeElement === field && field.value === found.text;
  const places = isOfField ? [field.selectionStart, field.selectionEnd] : selectedIn(at("marked"));
  const isWhole = isOfField && places[1] - places[0] === found.text.length;
  if (places) offer(isWhole ? null : trimmed(found.text, ...places));
});
at("add").addEventListener("click", () => {
  const span = selected;
  getSelection().removeAllRanges();
  if (span) attempt(() => mark(span));
});
for (const button of document.querySelectorAll("[data-move]")) {
  const [bound, step] = button.dataset.move.split(" ");
  button.addEventListener("click", () => {
    const mention = found.mentions[found.chosen];
    const span = moved(wordsOf(found.text), mention, bound, Number(step));
    if (span) attempt(() => mark(span, mention));
  });
}
at("unmark").addEventListener("click", () => {
  const mentions = found.mentions.filter((_, place) => place !== found.chosen);
  found = { ...found, mentions, chosen: Math.min(found.chosen, mentions.length - 1) };
  at("status").textContent = saidOf(mentions.length);
  show();
});
attempt(begin);
