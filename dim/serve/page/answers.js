/** The answers as a list: who is meant, how probable that is, and what speaks for it. Text only by textContent. */

import { element } from "./element.js";
import { evidenceOf, headlinesOf } from "./evidence.js";
import { pictureSource } from "./server.js";

const NIL = "NIL";

/** A probability as it is read, such as 71.4%. */
export function percent(value) {
  if (value >= 0.9995 && value < 1) return "> 99.9%";
  if (value < 0.0005 && value > 0) return "< 0.1%";
  return `${(value * 100).toFixed(1)}%`;
}

/** One line on what was found, as texts and elements. */
export function summary(answers, mention) {
  // bdi: a name that runs from right to left leaves the line around it as it is.
  const asked = mention ? [" for “", element("bdi", {}, mention), "”"] : [" for the image"];
  if (!answers.length) return ["No entity", ...asked];
  const [first] = answers;
  if (first.id === NIL) return ["Not in this knowledge base: no entity", ...asked];
  const count = answers.filter((answer) => answer.id !== NIL).length;
  return [`${count} ${count === 1 ? "entity" : "entities"}`, ...asked];
}

/** How long it took since a moment of `performance.now()`. */
export function took(start) {
  return ` · ${Math.max(1, Math.round(performance.now() - start)).toLocaleString("en")} ms`;
}

/** The elements that show the answers; `meanings` says what the parts of the evidence mean. */
export function shown(answers, meanings) {
  if (!answers.length) {
    const what = "No entity of this knowledge base comes into question. Try another spelling, or a longer sentence.";
    return [element("p", { class: "lead" }, what)];
  }
  const made = [];
  const isNil = answers[0].id === NIL;
  const rest = isNil ? answers.slice(1) : answers;
  if (isNil) made.push(...notInTheKnowledgeBase(answers[0], rest.length));
  const entities = rest.filter((answer) => answer.id !== NIL);
  if (entities.length && entities.every((answer) => answer.probability === null)) {
    const what = "This linker has no probabilities. It shows scores: higher is better, within this list alone.";
    made.push(element("p", { class: "hint" }, what));
  }
  const headlines = headlinesOf(entities.map((answer) => answer.evidence));
  const cards = rest.map((answer, place) => card(answer, place, { headlines, meanings, leads: !isNil && !place }));
  if (cards.length) made.push(element("ol", { class: "cards" }, ...cards));
  return made;
}

function notInTheKnowledgeBase(nil, numRest) {
  const sentence =
    nil.probability === null
      ? "None of its entities seems to be meant."
      : `With a probability of ${percent(nil.probability)}, none of its entities is meant.`;
  const heading = element("h2", {}, "Not in this knowledge base");
  const banner = element("div", { class: "nil" }, heading, element("p", {}, sentence));
  return numRest ? [banner, element("h2", { class: "after-nil" }, "If it is one of them after all")] : [banner];
}

function card(answer, place, { headlines, meanings, leads }) {
  if (answer.id === NIL) {
    const name = element("h3", {}, "Not in this knowledge base");
    return element("li", { class: "answer none" }, element("div", { class: "head" }, name, measure(answer)));
  }
  const name = element("h3", { dir: "auto" }, answer.name);
  const id = element("code", { class: "soft" }, answer.id);
  const head = element("div", { class: "head" }, element("div", { class: "title" }, name, id), measure(answer));
  return element(
    "li",
    { class: leads ? "answer first" : "answer" },
    pictureOf(answer, answer.images[0]),
    body(answer, head, evidenceOf(answer, headlines, meanings)),
  );
}

function measure(answer) {
  const isScore = answer.probability === null;
  const value = isScore ? answer.score.toFixed(3) : percent(answer.probability);
  const label = element("span", { class: "unseen" }, isScore ? "Score " : "Probability ");
  return element("p", { class: "measure" }, label, value);
}

function share(answer) {
  const value = answer.probability ?? answer.score;
  const bar = element("div", { class: "share", "aria-hidden": "true" }, element("i"));
  bar.firstChild.style.width = `${Math.min(1, Math.max(0, value)) * 100}%`;
  // A score outside 0 to 1 has no whole that it is a share of.
  bar.hidden = value < 0 || value > 1;
  return bar;
}

function body(answer, head, { bars, details }) {
  const paragraph = answer.text
    ? element("p", { class: "text clamped", dir: "auto" }, answer.text)
    : element("p", { class: "text soft" }, "The knowledge base says nothing more of it.");
  const foot = element("div", { class: "foot" }, opener(paragraph), details, more(answer));
  return element("div", { class: "body" }, head, share(answer), paragraph, bars, foot);
}

/** A button that opens a paragraph whose lines are cut; hidden where none is. */
function opener(paragraph) {
  const button = element("button", { class: "plain", type: "button", "aria-expanded": "false" }, "Whole text");
  button.addEventListener("click", () => {
    const isOpen = !paragraph.classList.toggle("clamped");
    button.setAttribute("aria-expanded", String(isOpen));
    button.textContent = isOpen ? "Shorter text" : "Whole text";
  });
  button.hidden = true;
  // Whether lines are cut is known only once the text is laid out, and changes with the window.
  const look = new ResizeObserver(() => {
    if (paragraph.classList.contains("clamped")) button.hidden = paragraph.scrollHeight <= paragraph.clientHeight + 1;
  });
  look.observe(paragraph);
  return button;
}

function pictureOf(answer, url) {
  return picture(url, `Picture of ${answer.name}`, [...answer.name][0]);
}

/** A frame with a picture of the server; without one, or where it cannot be read, with an initial. */
export function picture(url, alt, initial = "") {
  const frame = element("span", { class: "picture" });
  const letter = element("span", { "aria-hidden": "true" }, initial);
  if (!url) {
    frame.append(letter);
    return frame;
  }
  const image = element("img", { alt });
  const cannot = () => frame.replaceChildren(letter, element("small", {}, "Picture cannot be read"));
  image.addEventListener("error", cannot);
  image.addEventListener("load", () => URL.revokeObjectURL(image.src));
  pictureSource(url).then((source) => (image.src = source), cannot);
  frame.append(image);
  return frame;
}

/** The pictures of an answer after the first, on demand. */
function more(answer) {
  const others = answer.images.slice(1);
  if (!others.length) return "";
  const said = `${others.length} more picture${others.length > 1 ? "s" : ""}`;
  const details = element("details", {}, element("summary", {}, said));
  details.addEventListener(
    "toggle",
    () => details.append(element("div", { class: "pictures" }, ...others.map((url) => pictureOf(answer, url)))),
    { once: true },
  );
  return details;
}
