// Asking the server. Addresses are relative, so that the page works under any prefix of a proxy.

const KEY = "towermill-api-key";

export class Refused extends Error {
  constructor(status, detail) {
    super(detail);
    this.status = status;
  }
}

export function setKey(key) {
  sessionStorage.setItem(KEY, key);
}

// Whole numbers beyond 2^53, such as ids, stay the text that they are: JavaScript would round them.
export function parse(text) {
  return JSON.parse(text, (_, value, context) =>
    typeof value === "number" && Number.isInteger(value) && !Number.isSafeInteger(value)
      ? (context?.source ?? value)
      : value,
  );
}

export async function ask(path, parameters = {}) {
  const query = new URLSearchParams(parameters).toString();
  const key = sessionStorage.getItem(KEY);
  const answer = await fetch(query ? `${path}?${query}` : path, {
    headers: key ? { "X-API-Key": key } : {},
  });
  const content = await answer.text().then(parse).catch(() => ({}));
  if (!answer.ok) {
    throw new Refused(answer.status, content.detail || `The server answered ${answer.status}.`);
  }
  return content;
}
