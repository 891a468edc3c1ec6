// The service's routes. `ask` calls onEvent for each event of the stream.

export class ServiceError extends Error {
  constructor(code, message) {
    super(message);
    this.code = code;
  }
}

export async function models(key) {
  const reply = await send("v1/models", { headers: bearer(key) });
  return (await reply.json()).data;
}

export async function ask(body, key, signal, onEvent) {
  const headers = { "Content-Type": "application/json", ...bearer(key) };
  const reply = await send("v1/chat/completions", { method: "POST", headers, body: JSON.stringify({ ...body, stream: true }), signal });
  const decoder = new TextDecoder();
  let rest = "", done = false;
  for (const reader = reply.body.getReader(); ;) {
    const part = await reader.read().catch((error) => {
      if (error.name === "AbortError") throw error;
      throw new ServiceError("broken", "");
    });
    if (part.done) break;
    const events = (rest + decoder.decode(part.value, { stream: true })).split("\n\n");
    rest = events.pop();
    for (const event of events) {
      const data = event.replace(/^data: /, "");
      if (data === "[DONE]") { done = true; continue; }
      const value = JSON.parse(data);
      if (value.error) throw new ServiceError(value.error.code, value.error.message);
      onEvent(value);
    }
  }
  if (!done) throw new ServiceError("broken", "");
}

export async function feedback(body, key) {
  const headers = { "Content-Type": "application/json", ...bearer(key) };
  await send("v1/feedback", { method: "POST", headers, body: JSON.stringify(body) });
}

export async function files(key) {
  return (await (await send("v1/files", { headers: bearer(key) })).json()).data;
}

// The original of a document, as a download: what is inside was written by others.
export async function save(file, name, key) {
  const reply = await send(`v1/files/${file}/content`, { headers: bearer(key) });
  const link = document.createElement("a");
  link.href = URL.createObjectURL(await reply.blob());
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 60000);
}

// The page of a PDF on which a source stands, its cited sentences marked, as a data: URL.
export async function page(file, place, sentences, key) {
  const headers = { "Content-Type": "application/json", ...bearer(key) };
  const reply = await send(`v1/files/${file}/page`, { method: "POST", headers, body: JSON.stringify({ place, sentences }) });
  const reader = new FileReader();
  reader.readAsDataURL(await reply.blob());
  await new Promise((resolve) => { reader.onload = resolve; });
  return { picture: reader.result, number: reply.headers.get("X-Page"), down: Number(reply.headers.get("X-Mark")) };
}

async function send(path, options) {
  let reply;
  try {
    reply = await fetch(path, options);
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new ServiceError("offline", "");
  }
  if (reply.ok) return reply;
  const error = (await reply.json().catch(() => ({}))).error;
  throw new ServiceError(error?.code ?? "other_error", typeof error === "object" ? error.message : `HTTP ${reply.status}`);
}

const bearer = (key) => (key ? { Authorization: `Bearer ${key}` } : {});
