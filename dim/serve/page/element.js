//: Control characters, signs of direction and what takes no room.
const HIDDEN = /[\p{Cc}\p{Cf}\p{Cs}\p{Zl}\p{Zp}]/gu;
//: What joiners stand behind in scripts that need them, and in emoji. (No class: Chromium 156 finds no emoji by `[…]$`.)
const JOINED = /(?:\p{Lo}|\p{M}|\p{So}|\p{Sk})$/u;

/** The text with what is not seen written out, so that it neither hides nor turns what stands beside it. */
export function visible(text) {
  return text.replace(HIDDEN, (sign, place) => {
    if ("\n\t".includes(sign)) return sign;
    if ("\u200c\u200d".includes(sign) && JOINED.test(text.slice(Math.max(0, place - 2), place))) return sign;
    const code = sign.codePointAt(0).toString(16);
    const [mark, length] = code.length < 3 ? ["x", 2] : code.length < 5 ? ["u", 4] : ["U", 8];
    return `\\${mark}${code.padStart(length, "0")}`;
  });
}

/** An element with attributes and children; a child that is text becomes text, never markup. */
export function element(tag, attributes = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, visible(value));
  made.append(...children.map((child) => (typeof child === "string" ? visible(child) : child)));
  return made;
}
