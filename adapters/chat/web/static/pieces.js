// Small pieces that the page is made of: asking the server, making and changing elements, what the browser keeps.

const PATIENCE = 20_000;
const trusted = window.trustedTypes
  ? window.trustedTypes.createPolicy("pieria", { createHTML: (html) => html })
  : { createHTML: (html) => html };

export const $ = (id) => document.getElementById(id);

export const keep = {
  get(key) { try { return localStorage.getItem(`pieria.${key}`) || ""; } catch { return ""; } },
  set(key, value) {
    try { value ? localStorage.setItem(`pieria.${key}`, value) : localStorage.removeItem(`pieria.${key}`); } catch { /* private mode */ }
  },
};

// an id that nobody guesses, of 24 characters
export const ids = () => {
  const bytes = crypto.getRandomValues(new Uint8Array(18));
  return btoa(String.fromCharCode(...bytes)).replace(/\+/g, "-").replace(/\//g, "_");
};

// ---- talking to the server

export class Trouble extends Error {
  constructor(sentence, status) { super(sentence); this.status = status; }
}

export async function call(path, body, patience = PATIENCE) {
  let answer;
  try {
    answer = await fetch(path, {
      method: body === undefined ? "GET" : "POST",
      headers: body === undefined ? {} : { "Content-Type": "application/json" },
      body: body === undefined ? undefined : JSON.stringify(body),
      signal: AbortSignal.timeout(patience),
    });
  } catch (error) {
    throw new Trouble(error.name === "TimeoutError" ? "The server did not answer in time." : "The server cannot be reached.", 0);
  }
  const value = await answer.json().catch(() => ({}));
  if (!answer.ok) throw new Trouble(value.error || `The server answered ${answer.status}.`, answer.status);
  return value;
}

// ---- small pieces of the page

export function make(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name === "class") element.className = value;
    else if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else element.setAttribute(name, value);
  }
  element.append(...children);
  return element;
}

export function icon(name) {
  const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
  const use = document.createElementNS("http://www.w3.org/2000/svg", "use");
  use.setAttribute("href", `#i-${name}`);
  svg.setAttribute("aria-hidden", "true");
  svg.append(use);
  return svg;
}

// change only what differs, so that nothing flashes and a selection stays
function morph(old, next) {
  for (let i = 0; i < next.childNodes.length; i++) {
    const a = old.childNodes[i];
    const b = next.childNodes[i];
    if (!a) old.append(b.cloneNode(true));
    else if (a.isEqualNode(b)) continue;
    else if (a.nodeType === Node.TEXT_NODE && b.nodeType === Node.TEXT_NODE) a.data = b.data;
    else if (a.nodeType === Node.ELEMENT_NODE && a.cloneNode(false).isEqualNode(b.cloneNode(false))) morph(a, b);
    else a.replaceWith(b.cloneNode(true));
  }
  while (old.childNodes.length > next.childNodes.length) old.lastChild.remove();
}

export function fill(box, html) {
  const template = document.createElement("template");
  template.innerHTML = trusted.createHTML(html);
  morph(box, template.content);
}

export async function copy(text, button, done) {
  try {
    await navigator.clipboard.writeText(text);
  } catch { // pages on plain http have no clipboard
    const area = make("textarea", { class: "hidden" });
    area.value = text;
    document.body.append(area);
    area.select();
    document.execCommand("copy");
    area.remove();
    button.focus();
  }
  done(true);
  setTimeout(() => done(false), 1600);
}

export function when(at) {
  return at ? new Date(at).toLocaleString([], { dateStyle: "medium", timeStyle: "short" }) : "";
}
