// Reads lists of headers X-Keyward-Principal, each of a request, and prints what the content server makes of them.
import { createServer } from 'node:http'
import { request } from 'node:http'
import { text } from 'node:stream/consumers'
import { verifier } from './content.mjs'

const { url, requests } = JSON.parse(await text(process.stdin))
const principal = verifier(url)
const server = createServer(async (req, res) => {
  const result = await principal(req).then((claims) => ({ claims }), (error) => ({ error: error.message }))
  res.end(JSON.stringify(result))
})
await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve))
const results = []
for (const lines of requests) {
  results.push(await new Promise((resolve, reject) => {
    const headers = lines.flatMap((line) => ['X-Keyward-Principal', line])
    const req = request({ port: server.address().port, host: '127.0.0.1', agent: false, headers: ['Host', 'content', ...headers] }, (res) => {
      text(res).then((body) => resolve(JSON.parse(body)), reject)
    })
    req.on('error', reject)
    req.end()
  }))
}
server.close()
process.stdout.write(JSON.stringify(results))
