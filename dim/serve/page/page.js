/** The page: a question is written, shared by its address, asked, and answered or refused. */

import { picture, shown, summary, took } from "./answers.js";
import { element } from "./element.js";
import { ImageField } from "./image.js";
import { ask, fetchPicture, Trouble } from "./server.js";
import { bringIntoView, nameServer, tell } from "./view.js";

const at = (id) => document.getElementById(id);
const [mention, context] = [at("mention"), at("context")];
const image = new ImageField();

let about = null;
let running = null; // the AbortController of the question on its way
let isAsked = false; // whether a question came before it was known who answers

/** Says who answers here, and offers examples. */
async function begin() {
  about = await nameServer();
  const { examples } = about;
  image.limit(about.reads_images, about.limits?.max_body_bytes);
  at("examples").querySelector("ul").replaceChildren(...examples.map(exampleButton));
  at("examples").hidden = !examples.length;
}

function exampleButton(example) {
  const text = element("span", { class: "example-text", dir: "auto" }, ...marked(example));
  const button = element("button", { type: "button", class: "example" }, text);
  if (example.image) button.append(picture(example.image, "with an image"));
  button.addEventListener("click", () => attempt(() => askExample(example)));
  return element("li", {}, button);
}

/** The sentence with its mention marked. */
function marked({ mention: name, context: sentence }) {
  const start = sentence.indexOf(name);
  if (!name || start < 0) return [element("b", { class: "apart" }, name), sentence];
  return [sentence.slice(0, start), element("b", {}, name), sentence.slice(start + name.length)];
}

async function askExample(example) {
  [mention.value, context.value] = [example.mention, example.context];
  image.remove();
  if (example.image) {
    running?.abort();
    running = new AbortController(); // which the next question ends
    const blob = await fetchPicture(example.image, running.signal);
    image.set(new File([blob], "example", { type: blob.type }));
  }
  await link();
}

/** Asks what the fields hold, and shows the answers. */
async function link() {
  isAsked = true;
  running?.abort();
  const own = (running = new AbortController());
  keepInAddress();
  const question = { mention: mention.value.trim(), context: context.value.trim() };
  if (!question.mention && !image.file) throw nothingAsked();
  show({ isBusy: true });
  const start = performance.now();
  try {
    const { answers } = await ask(...request(question, own.signal));
    show({ answers, said: [...summary(answers, question.mention), took(start)] });
  } finally {
    if (running === own) setBusy(false);
  }
}

function nothingAsked() {
  mention.focus();
  const what = image.readsImages ? "a mention, or an image" : "a mention";
  return new Trouble(422, "There is nothing to link yet.", {
    expected: what,
    found: "an empty field",
    remedy: "Select a name in the sentence, or write it as the mention.",
  });
}

function request(question, signal) {
  if (!image.file) return ["link", { json: question, signal }];
  const form = new FormData();
  for (const [name, value] of Object.entries(question)) form.set(name, value);
  form.set("image", image.file);
  return ["link/image", { form, signal }];
}

function show({ answers = null, said = [], isBusy = false, isEmpty = false }) {
  at("trouble").replaceChildren();
  at("empty").hidden = !isEmpty;
  setBusy(isBusy);
  if (isBusy) return; // the earlier answers stay, dimmed, until there are new ones
  at("status").replaceChildren(...said);
  at("list").replaceChildren(...(answers ? shown(answers, about?.evidence ?? {}) : []));
  if (answers) bringIntoView(at("answers"));
}

function setBusy(isBusy) {
  at("answers").setAttribute("aria-busy", String(isBusy));
  at("link").textContent = isBusy ? "Linking …" : "Link";
  if (isBusy) at("status").textContent = "Linking …";
}

/** Does it; what goes wrong is said where the answers stand, with a button to do it again. */
async function attempt(action) {
  try {
    await action();
  } catch (error) {
    if (error.name === "AbortError") return;
    show({});
    tell(error, () => attempt(about ? action : beginAndAsk), () => mention.focus());
  }
}

function keepInAddress() {
  const kept = new URLSearchParams();
  if (mention.value.trim()) kept.set("mention", mention.value.trim());
  if (context.value.trim()) kept.set("context", context.value.trim());
  const address = kept.size ? `#${kept}` : location.pathname;
  if (address !== (location.hash || location.pathname)) history.pushState(null, "", address);
  document.title = mention.value.trim() ? `${mention.value.trim()} · dim` : "dim";
}

/** Fills in what the address says; an image does not stand in it. */
function readAddress() {
  const kept = new URLSearchParams(location.hash.slice(1));
  [mention.value, context.value] = [kept.get("mention") ?? "", kept.get("context") ?? ""];
  image.remove();
}

/** Asks what the fields hold, if anything. */
async function askFields() {
  if (mention.value || image.file) {
    await link();
  } else {
    running?.abort();
    show({ isEmpty: true });
  }
}

async function beginAndAsk() {
  isAsked = false;
  await begin();
  if (!isAsked) await askFields();
}

async function start() {
  readAddress();
  show({ isEmpty: !mention.value });
  await beginAndAsk();
}

at("question").addEventListener("submit", (event) => {
  event.preventDefault();
  attempt(link);
});
context.addEventListener("keydown", (event) => {
  if (event.key !== "Enter" || event.shiftKey || event.isComposing) return;
  event.preventDefault();
  at("question").requestSubmit();
});
context.addEventListener("select", () => {
  const selected = context.value.slice(context.selectionStart, context.selectionEnd).trim();
  // The whole sentence is selected to be copied or written anew.
  if (selected && selected !== context.value.trim()) mention.value = selected;
});
addEventListener("popstate", () => {
  readAddress();
  attempt(askFields);
});
attempt(start);
