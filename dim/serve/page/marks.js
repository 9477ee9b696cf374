/** The text with its mentions as marks: one can be chosen, and words can be selected. Text only by textContent. */

import { element, visible } from "./element.js";

/** The text as text and marks; `choose` is called with the place of a mark in `mentions`. */
export function marksOf(text, mentions, chosen, choose) {
  const parts = [];
  let last = 0;
  mentions.forEach((mention, place) => {
    parts.push(plain(text, last, mention.start), mark(text, mention, place === chosen, () => choose(place)));
    last = mention.end;
  });
  parts.push(plain(text, last, text.length));
  return parts.filter((part) => part.textContent);
}

function plain(text, start, end) {
  return placed(element("span", {}, text.slice(start, end)), text, start, end);
}

function mark(text, { start, end, answers }, isChosen, choose) {
  const best = answers.length && answers[0].id !== "NIL" ? answers[0].name : "Not in this knowledge base";
  const isNone = best !== answers[0]?.name;
  const made = element(
    "span",
    // No button: what stands in one can be neither selected nor broken into lines.
    { class: isNone ? "mention none" : "mention", role: "button", tabindex: "0", "aria-pressed": String(isChosen) },
    text.slice(start, end),
  );
  made.title = visible(best);
  made.addEventListener("click", () => {
    if (getSelection().isCollapsed) choose(); // else words were selected that begin or end here
  });
  made.addEventListener("keydown", (event) => {
    if (event.key !== "Enter" && event.key !== " ") return;
    event.preventDefault();
    choose();
  });
  return placed(made, text, start, end);
}

//: Of each part, which piece of the text it shows.
const PLACES = new WeakMap();

function placed(part, text, start, end) {
  PLACES.set(part, { text, start, end });
  return part;
}

/** Start and end in the text of what is selected inside of an element with marks; null where nothing is. */
export function selectedIn(host) {
  const selection = getSelection();
  if (selection.isCollapsed || !selection.rangeCount) return null;
  const range = selection.getRangeAt(0);
  if (!host.contains(range.startContainer) || !host.contains(range.endContainer)) return null;
  const start = placeOf(host, range.startContainer, range.startOffset);
  const end = placeOf(host, range.endContainer, range.endOffset);
  return start === null || end === null ? null : [start, end];
}

function placeOf(host, node, offset) {
  if (node === host) {
    const part = host.childNodes[offset];
    return part ? PLACES.get(part).start : (PLACES.get(host.lastChild)?.end ?? null);
  }
  const part = node.nodeType === Node.TEXT_NODE ? node.parentElement : node;
  const known = PLACES.get(part);
  if (!known) return null;
  if (node === part) return offset ? known.end : known.start;
  // What is not seen is written out, so that a part may show more characters than it stands for.
  let place = known.start;
  while (place < known.end && visible(known.text.slice(known.start, place)).length < offset) place += 1;
  return place;
}
