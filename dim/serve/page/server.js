/** Asks the server, with the token where there is one, and says what went wrong in the server's own words. */

const KEPT_AS = "dim-token";
const PATIENCE_MS = 60_000;

let token = "";
try {
  token = sessionStorage.getItem(KEPT_AS) ?? "";
} catch {
  // Storage is blocked: the token then lasts as long as the page.
}

const TITLES = {
  400: "The server cannot read this question.",
  404: "The server does not have this.",
  408: "The question took too long to arrive.",
  413: "This is more than the server takes.",
  415: "The server cannot read this kind of data.",
  422: "The server cannot use this question.",
};

/** What went wrong: `message` is one sentence; expected, found and remedy say the rest. */
export class Trouble extends Error {
  constructor(status, title, { expected, found, remedy }) {
    super(title);
    Object.assign(this, { status, expected, found, remedy });
  }
}

export function useToken(value) {
  token = value;
  try {
    sessionStorage.setItem(KEPT_AS, value);
  } catch {
    // As above.
  }
}

/** The header that the token stands in, where there is one. */
export function authorization() {
  return token ? { Authorization: `Bearer ${token}` } : {};
}

/** The JSON that the server answers; `json` or `form` is posted. Throws Trouble, or AbortError by `signal`. */
export function ask(path, { json, form, signal } = {}) {
  return read("json", path, { json, form, signal });
}

/** A picture of the server as a blob; throws as `ask`. */
export function fetchPicture(url, signal) {
  return read("blob", url, { signal });
}

/** What an `img` can show as its source: the address, or the picture itself where a token is needed to read it. */
export async function pictureSource(url) {
  // The address comes from the server's JSON; a foreign one is not followed.
  if (new URL(url, location.origin).origin !== location.origin) throw new TypeError(`a foreign picture: ${url}`);
  return token ? URL.createObjectURL(await fetchPicture(url)) : below(url);
}

/** An address of the server's JSON from here: a proxy may have the server below a path that it does not know. */
function below(url) {
  const folder = new URL(".", document.baseURI).pathname;
  return url.startsWith("/") && !url.startsWith(folder) ? folder + url.slice(1) : url;
}

async function read(kind, path, options) {
  const response = await send(path, options);
  try {
    return await response[kind]();
  } catch (error) {
    if (options.signal?.aborted) throw error;
    throw unreachable(error);
  }
}

async function send(path, { json, form, signal }) {
  const headers = authorization();
  if (json) headers["Content-Type"] = "application/json";
  const body = json ? JSON.stringify(json) : form;
  const patience = AbortSignal.timeout(PATIENCE_MS);
  let response;
  try {
    const signals = signal ? AbortSignal.any([signal, patience]) : patience;
    response = await fetch(below(path), { method: body ? "POST" : "GET", headers, body, signal: signals });
  } catch (error) {
    if (signal?.aborted) throw error;
    throw unreachable(error);
  }
  if (!response.ok) throw await refusal(response);
  return response;
}

function unreachable(error) {
  const found = error.name === "TimeoutError" ? `none within ${PATIENCE_MS / 1000} seconds` : `none (${error.message})`;
  return new Trouble(0, "The server does not answer.", {
    expected: `an answer from ${location.origin}`,
    found,
    remedy: "Check that it runs (dim serve) and that you are online, then try again.",
  });
}

async function refusal(response) {
  const said = await response.json().catch(() => null);
  const parts = said?.error ?? {
    expected: "an answer of dim",
    found: `status ${response.status} ${response.statusText}`.trim(),
    remedy: "Look into the server's log, then try again.",
  };
  return new Trouble(response.status, titleOf(response), parts);
}

function titleOf(response) {
  if (response.status === 401) {
    return token ? "The server does not accept this token." : "The server asks for a token.";
  }
  if (response.status === 503) {
    const seconds = Number(response.headers.get("Retry-After"));
    const when = seconds > 0 ? `in ${seconds} second${seconds === 1 ? "" : "s"}` : "in a moment";
    return `The server is busy. Try again ${when}.`;
  }
  return TITLES[response.status] ?? "The server failed on this question.";
}
