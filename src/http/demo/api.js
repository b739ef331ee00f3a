// The one HTTP request the page needs beside the socket: a token.

const HTTP_TIMEOUT_MS = 5000;

/**
 * Gets a token for `userId`. A real app gets it from its own login; `/demo/token` exists in development only.
 * @returns {Promise<{token: string, expiresIn: number}>} the token and its lifetime in seconds
 */
export async function fetchToken(userId) {
  const answer = await fetchJson('/demo/token', {
    method: 'POST',
    headers: { 'Content-Type': 'application/json' },
    body: JSON.stringify({ userId }),
  });
  return { token: answer.token, expiresIn: answer.expiresIn };
}

async function fetchJson(url, options) {
  const response = await fetch(url, { ...options, signal: AbortSignal.timeout(HTTP_TIMEOUT_MS) });
  const answer = await response.json().catch(() => null);
  if (!response.ok || !answer?.success) {
    throw new Error(answer?.error?.message ?? answer?.error ?? `${url} answered ${response.status}`);
  }
  return answer;
}
