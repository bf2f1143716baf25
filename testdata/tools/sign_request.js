// The signature is the HMAC-SHA256 of the canonical request, with a key derived
// from the secret and the day; the payload counts by its hash.
const { createHash, createHmac } = require('crypto')
const querystring = require('node:querystring')

const { method, path, query, body, time } = parameters
const secret = parameters.secret ?? credentials.signingSecret
if (!secret) throw new Error('give the credential signingSecret')

const sorted = Object.fromEntries(Object.entries(query).sort(([a], [b]) => (a < b ? -1 : 1)))
const payload = Buffer.from(body, 'utf8')
const hash = createHash('sha256').update(payload).digest('hex')
const canonical = [method, path, querystring.stringify(sorted), hash, time].join('\n')

const day = createHmac('sha256', secret).update(time.slice(0, 10)).digest()
const signature = createHmac('sha256', day).update(canonical).digest('base64url')

return {
  headers: { 'X-Content-SHA256': hash, 'X-Signed-At': time, Authorization: `HMAC ${signature}` },
  bytes: payload.length,
}
