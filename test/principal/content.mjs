import { createPublicKey, verify } from 'node:crypto'

/** Returns a function that verifies the principal of a request (http.IncomingMessage), and returns its claims. */
export function verifier(url) { // such as http://127.0.0.1:8081/.well-known/keyward/jwks.json
  let known = new Map(), read = 0, tried = 0, reading
  const stale = () => Date.now() - read > 300_000

  async function readKeys() {
    const response = await fetch(url, { signal: AbortSignal.timeout(5_000) })
    if (!response.ok) throw new Error(`keys: ${response.status}`)
    const { keys } = await response.json()
    known = new Map(keys.map((key) => [key.kid, createPublicKey({ key, format: 'jwk' })]))
    read = Date.now()
  }

  // Reads the keys every five minutes, and earlier if there is a new one, but not more often than every ten seconds.
  async function find(id) {
    if (stale() || !known.has(id)) {
      if (!reading && Date.now() - tried > 10_000) {
        tried = Date.now()
        reading = readKeys().finally(() => { reading = undefined })
      }
      await reading
      if (stale()) throw new Error('the keys could not be read')
    }
    return known.get(id)
  }

  return async function principal(request) {
    const parts = (request.headers['x-keyward-principal'] ?? '').split('.') // two headers are five parts
    if (parts.length !== 3) throw new Error('not one principal')
    const [header, claims] = parts.slice(0, 2).map((part) => JSON.parse(Buffer.from(part, 'base64url')))
    if (header.alg !== 'EdDSA' || header.typ !== 'keyward-principal+jwt') throw new Error('another kind of token')
    const key = await find(header.kid)
    if (!key) throw new Error('unknown key')
    const signed = Buffer.from(`${parts[0]}.${parts[1]}`), signature = Buffer.from(parts[2], 'base64url')
    if (!verify(null, signed, key, signature)) throw new Error('forged')
    const now = Date.now() / 1000
    if (claims.iss !== 'keyward.dev' || claims.aud !== 'keyward.dev/content') throw new Error('not for us')
    if (!(now < claims.exp + 5 && now > claims.iat - 5)) throw new Error('too old')
    return claims
  }
}
