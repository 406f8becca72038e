// Uploads a file by node's own client, and shows the answers, interim ones first. The argument is a JSON object: "url",
// "method", "headers" and "file"; "waits" is whether the body waits for the first answer. Prints a JSON list of answers.
import { createReadStream } from 'node:fs'
import * as http from 'node:http'
import * as https from 'node:https'

const { url, method, headers, file, waits } = JSON.parse(process.argv[2])
const answers = []

await new Promise((resolve, reject) => {
  const request = (url.startsWith('https:') ? https : http).request(url, { method, headers })
  const send = () => createReadStream(file).pipe(request)
  const note = (answer) => answers.push({ status: answer.statusCode, headers: answer.headers })
  request.on('information', (answer) => {
    note(answer)
    if (waits && answers.length === 1) send()
  })
  request.on('response', (answer) => {
    note(answer)
    answer.resume()
    answer.on('end', resolve)
  })
  request.on('error', reject)
  if (waits) request.flushHeaders()
  else send()
})

console.log(JSON.stringify(answers))
