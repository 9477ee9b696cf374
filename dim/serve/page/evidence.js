/** What speaks for an answer: a few parts as bars, the same ones for all answers of a list, and all parts on demand. */

import { element } from "./element.js";

const NUM_HEADLINES = 4;

//: Parts that can be headlines, in plain words; the server says of each what it exactly is.
const PLAIN = {
  vectors: "Overall fit",
  name: "Likeness of the name",
  likelihood: "Likelihood of the name",
  per_token: "The same, per token",
  exact: "Same name or alias",
  rest_in_context: "Rest of its name in the sentence",
  words_share: "Words shared with its text",
  stems: "Kindred words in its text",
  hint: "Its byname in the sentence",
  gender: "Agrees with “he” or “she”",
  too_late: "After its time",
  popularity: "How well known it is",
  alias: "Found by an alias",
  judge: "What the judge that read it says",
  ranker_probability: "Without the judge",
};
const ALWAYS = ["judge", "vectors", "name", "likelihood"];

/** The parts that tell the answers of a list apart: name → the value whose bar is full. */
export function headlinesOf(evidences) {
  const known = new Set(evidences.flatMap((evidence) => Object.keys(evidence)));
  const plain = Object.keys(PLAIN).filter((part) => known.has(part));
  const spreads = new Map((plain.length ? plain : [...known]).map((part) => [part, spread(part, evidences)]));
  const tells = (part) => spreads.get(part).share > 0 || evidences.length === 1;
  const chosen = [...spreads.keys()]
    .filter((part) => ALWAYS.includes(part) || tells(part))
    .sort((a, b) => ALWAYS.includes(b) - ALWAYS.includes(a) || spreads.get(b).share - spreads.get(a).share)
    .slice(0, NUM_HEADLINES);
  return new Map(chosen.map((part) => [part, spreads.get(part).full]));
}

/** A part's largest value (at least 1: most parts are shares), and how much of it lies between the answers. */
function spread(part, evidences) {
  const values = evidences.map((evidence) => evidence[part] ?? 0);
  const largest = Math.max(...values.map(Math.abs));
  return { full: Math.max(1, largest), share: largest ? (Math.max(...values) - Math.min(...values)) / largest : 0 };
}

/** The bars of an answer's headlines, and all its parts as `details`; an empty text where there is nothing to show. */
export function evidenceOf(answer, headlines, meanings) {
  const parts = Object.entries(answer.evidence);
  if (!parts.length) return { bars: "", details: "" };
  const bars = element("dl", { class: "bars" });
  for (const [part, full] of headlines) {
    if (part in answer.evidence) bars.append(bar(part, answer.evidence[part], full, meanings));
  }
  if (parts.length <= bars.children.length) return { bars, details: "" };
  const details = element("details", {}, element("summary", {}, `All ${parts.length} parts of the evidence`));
  // 50 rows an answer: made when they are looked at.
  details.addEventListener("toggle", () => details.append(table(parts, meanings)), { once: true });
  return { bars, details };
}

function bar(part, value, full, meanings) {
  const line = element("i", { class: value < 0 ? "against" : "for" });
  line.style.width = `${Math.min(1, Math.abs(value) / full) * 100}%`;
  return element(
    "div",
    { title: meanings[part] ?? "" },
    element("dt", {}, PLAIN[part] ?? part.replaceAll("_", " ")),
    element("dd", {}, element("span", { class: "line", "aria-hidden": "true" }, line), number(value)),
  );
}

function number(value) {
  return value.toLocaleString("en", { minimumFractionDigits: 2, maximumFractionDigits: 2 }).replace("-", "−");
}

function table(parts, meanings) {
  const list = element("dl", { class: "parts" });
  for (const [part, value] of parts) {
    const said = element("small", {}, meanings[part] ?? "");
    const name = element("dt", {}, element("code", {}, part), said);
    list.append(element("div", {}, name, element("dd", {}, number(value))));
  }
  return list;
}
