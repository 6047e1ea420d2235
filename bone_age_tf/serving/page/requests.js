const token = new URLSearchParams(location.hash.slice(1)).get("token");

/** The answer to a file's bytes. An error has words for a person. */
export async function send(where, file, query = "") {
  let answer;
  try {
    answer = await fetch(`${where}?${query}`, { method: "POST", headers: headers(), body: file });
  } catch {
    throw new Error("The server on this machine does not answer. Is it still running?");
  }
  if (answer.ok) return answer;
  const said = await answer.json().catch(() => ({}));
  if (answer.status === 401) throw new Error("This server requires a token: open the page's address that it printed when it started.");
  throw new Error(said.error || `The server returned status ${answer.status}.`);
}

const headers = () => (token ? { Authorization: `Bearer ${token}` } : {});
