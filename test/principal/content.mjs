import { createPublicKey, verify } from 'node:crypto'

/** Returns a function that verifies the principal of a request (http.IncomingMessage), and returns its claims. */
export function verifier(url) { // such as http://127.0.0.1:8081/.well-known/keyward/jwks.json
  let known = new Map(), read = 0

  // Reads the keys every five minutes, and earlier if there is a new one.
  async function find(id) {
    const age = Date.now() - read
    if (age > 300_000 || (!known.has(id) && age > 10_000)) {
      const response = await fetch(url)
      if (!response.ok) throw new Error(`keys: ${response.status}`)
      const { keys } = await response.json()
      known = new Map(keys.map((key) => [key.kid, createPublicKey({ key, format: 'jwk' })]))
      read = Date.now()
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
