/** Says what went wrong and what to do, and asks for the token where one is missing. */

import { element } from "./element.js";
import { useToken } from "./server.js";

const at = (id) => document.getElementById(id);

//: What may go well the next time: no answer, too slow, failed, busy.
const PASSING = [0, 408, 500, 503];

/** Shows an error where the answers stand, with a button to do it again where that may help. */
export function say(error, again) {
  const list = element("dl");
  for (const part of ["expected", "found", "remedy"]) {
    if (!error[part]) continue;
    const head = part === "remedy" ? "What to do" : part[0].toUpperCase() + part.slice(1);
    list.append(element("div", {}, element("dt", {}, head), element("dd", { dir: "auto" }, error[part])));
  }
  at("trouble").replaceChildren(element("h2", {}, error.message), list);
  if (PASSING.includes(error.status)) {
    const button = element("button", { type: "button", class: "second" }, "Try again");
    button.addEventListener("click", again);
    at("trouble").append(button);
  }
}

/** Shows the field for the token; `then` is called when there is one. */
export function askForToken(then) {
  const form = at("token-form");
  form.hidden = false;
  form.onsubmit = (event) => {
    event.preventDefault();
    useToken(at("token").value.trim());
    form.hidden = true;
    at("token").value = "";
    then();
  };
  at("token").focus();
}
