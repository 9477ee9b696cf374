/** Sends what stands in a form of this page to the server, with the token of this tab, and shows what it answers. */

import { element } from "../page/element.js";
import { authorization, useToken } from "../page/server.js";

const token = document.getElementById("token");
token?.addEventListener("change", () => useToken(token.value.trim()));

for (const form of document.querySelectorAll("form.try")) {
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    const shown = form.querySelector("output");
    shown.replaceChildren("…");
    shown.replaceChildren(...(await answer(form).catch((error) => [`The server does not answer: ${error.message}`])));
  });
}

/** What the server answers to a form, as elements. */
async function answer(form) {
  const { method, path, type } = form.dataset;
  const fields = new FormData(form);
  const address = path.slice(1).replace(/{(\w+)}/g, (_, name) => encodeURIComponent(fields.get(name)));
  const options = { method, headers: authorization() };
  if (type === "multipart/form-data") {
    options.body = filled(fields);
  } else if (type) {
    options.headers["Content-Type"] = type;
    options.body = fields.get("body");
  }
  const start = performance.now();
  const response = await fetch(address, options);
  const content = await contentOf(response);
  const said = `${response.status} ${response.statusText}, ${Math.round(performance.now() - start)} ms`;
  return [element("p", {}, said), content];
}

/** A form without the fields that nothing was written into. */
function filled(fields) {
  const body = new FormData();
  for (const [name, value] of fields) {
    if (value instanceof File ? value.size : value) body.append(name, value);
  }
  return body;
}

async function contentOf(response) {
  const type = response.headers.get("Content-Type") ?? "";
  if (type.startsWith("image/")) {
    return element("img", { src: URL.createObjectURL(await response.blob()), alt: "What the server answers" });
  }
  const text = await response.text();
  return element("pre", { tabindex: "0" }, type.startsWith("application/json") ? indented(text) : text);
}

function indented(text) {
  try {
    return JSON.stringify(JSON.parse(text), null, 2);
  } catch {
    return text; // a proxy's
  }
}
