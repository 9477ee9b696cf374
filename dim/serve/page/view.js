/** What the pages have in common: who answers, what went wrong, and the place of the answers in the window. */

import { element } from "./element.js";
import { ask, Trouble } from "./server.js";
import { askForToken, say } from "./trouble.js";

const at = (id) => document.getElementById(id);

/** What the server says of itself, which the page's head tells, too. */
export async function nameServer() {
  const about = await ask("about");
  const { name, entities, version } = about;
  const count = element("span", {}, `${entities.toLocaleString("en")} ${entities === 1 ? "entity" : "entities"}`);
  at("about").replaceChildren(element("strong", { dir: "auto" }, name), " ", count);
  at("about").title = `dim ${version}`;
  return about;
}

/** Says what went wrong where the answers stand, with a way to do it `again`; `focus` comes before, after a token. */
export function tell(error, again, focus) {
  say(error, again);
  if (error.status === 401) {
    askForToken(() => {
      focus();
      again();
    });
  } else {
    bringIntoView(at("answers"));
  }
  if (!(error instanceof Trouble)) throw error;
}

/** Scrolls to what is shown, where the top of it is not seen. */
export function bringIntoView(shown) {
  const { top } = shown.getBoundingClientRect();
  if (top >= 0 && top <= innerHeight * 0.6) return;
  const isCalm = matchMedia("(prefers-reduced-motion: reduce)").matches;
  shown.scrollIntoView({ behavior: isCalm ? "auto" : "smooth" });
}
