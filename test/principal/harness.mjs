// A content server that says what it makes of X-Keyward-Principal, with the keys at the URL of its argument. It prints its port. For POST with a
// number of milliseconds it lets time pass.
import { createServer } from 'node:http'
import { text } from 'node:stream/consumers'
import { verifier } from './content.mjs'

const clock = Date.now
let passed = 0
Date.now = () => clock() + passed

const principal = verifier(process.argv[2])
const server = createServer(async (req, res) => {
  if (req.method === 'POST') {
    passed += Number(await text(req))
    res.end()
    return
  }
  const result = await principal(req).then((claims) => ({ claims }), (error) => ({ error: error.message }))
  res.end(JSON.stringify(result))
})
server.listen(0, '127.0.0.1', () => console.log(server.address().port))
