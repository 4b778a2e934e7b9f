package adminv1

// JWKSPath is where content servers find the public keys for X-Keyward-Principal, at the integrations' HTTP port.
const JWKSPath = "/.well-known/keyward/jwks.json"
