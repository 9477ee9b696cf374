/** Places in a text: JavaScript counts UTF-16 units, the server characters; and words, by which bounds move. */

/** The place in characters of a place in UTF-16 units. */
export function inCharacters(text, place) {
  let count = 0;
  for (let at = 0; at < place; count += 1) at += text.codePointAt(at) > 0xffff ? 2 : 1;
  return count;
}

/** Spans in UTF-16 units of spans in characters, ascending by their start; other fields stay. */
export function inUnits(text, spans) {
  const unitOf = [];
  let unit = 0;
  for (const character of text) {
    unitOf.push(unit);
    unit += character.length;
  }
  unitOf.push(unit);
  return spans.map((span) => ({ ...span, start: unitOf[span.start], end: unitOf[span.end] }));
}

/** The words of a text, in any script, as spans. */
export function wordsOf(text) {
  const segments = new Intl.Segmenter(undefined, { granularity: "word" }).segment(text);
  const words = [];
  for (const { segment, index } of segments) {
    if (segment.trim()) words.push({ start: index, end: index + segment.length });
  }
  return words;
}

/** The span with one bound a word earlier (-1) or later (1); null where it would be empty or leave the text. */
export function moved(words, { start, end }, bound, step) {
  const places = words.map((word) => word[bound]);
  const now = bound === "start" ? start : end;
  const place = step > 0 ? places.find((each) => each > now) : places.findLast((each) => each < now);
  if (place === undefined) return null;
  const span = bound === "start" ? { start: place, end } : { start, end: place };
  return span.start < span.end ? span : null;
}

/** The span without blanks at its ends; null where nothing is left. */
export function trimmed(text, start, end) {
  const part = text.slice(start, end);
  const left = start + part.length - part.trimStart().length;
  const right = end - (part.length - part.trimEnd().length);
  return left < right ? { start: left, end: right } : null;
}
