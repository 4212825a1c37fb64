// Requests to the server of this page. The token is in the fragment of the address, which browsers send nowhere; it is
// kept for a reload of this tab, and taken out of the address, so that it is in no history.
const given = new URLSearchParams(location.hash.slice(1)).get("token");
if (given) {
  sessionStorage.setItem("token", given);
  history.replaceState(null, "", location.pathname);
}
const token = given ?? sessionStorage.getItem("token") ?? "";

export class RequestError extends Error {
  constructor(status, message) {
    super(message);
    this.status = status;
  }
}

async function request(path, options = {}) {
  let response;
  try {
    response = await fetch(path, { ...options, headers: { "x-review-token": token, ...options.headers } });
  } catch {
    throw new RequestError(0, "The server has ended: start `review` again. What was saved is kept.");
  }
  const text = await response.text();
  if (response.ok) return JSON.parse(text);
  let message = text;
  try {
    message = JSON.parse(text).error;
  } catch {
    // A refusal is plain text.
  }
  throw new RequestError(response.status, message);
}

export const getJson = (path) => request(path);

export const postJson = (path, value) =>
  request(path, { method: "POST", body: JSON.stringify(value), headers: { "content-type": "application/json" } });

// An image element cannot send headers, so the token is in the query. The server writes no log of addresses.
export const pictureUrl = (size, number) => `/picture/${size}/${number}?token=${encodeURIComponent(token)}`;
