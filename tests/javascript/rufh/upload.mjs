// Uploads a file by tus-js-client, as RUFH. The argument is a JSON object: "file" is the path, "stream" hides its length,
// "abortAt" aborts the upload once so many bytes have been accepted, "terminate" ends it on the server then; everything
// else is the client's own options. Prints as JSON what became of it; "accepted" are the offsets that it was told.
import { createReadStream } from 'node:fs'
import { PassThrough } from 'node:stream'
import { Upload } from 'tus-js-client'

const { file, stream, abortAt, terminate, ...options } = JSON.parse(process.argv[2])
const told = { answers: [], accepted: [], began: null, error: null, aborted: false }
const source = stream ? createReadStream(file).pipe(new PassThrough()) : createReadStream(file)

await new Promise((resolve) => {
  const end = (error) => {
    told.error = error ?? null
    resolve()
  }
  const upload = new Upload(source, {
    protocol: 'ietf-draft-05',
    ...options,
    onAfterResponse: (request, response) => {
      told.answers.push(`${request.getMethod()} ${response.getStatus()}`)
      told.url = upload.url
    },
    onProgress: (sent) => {
      told.began ??= sent
    },
    onChunkComplete: (size, accepted) => {
      told.accepted.push(accepted)
      if (!(accepted >= abortAt) || told.aborted) return
      told.aborted = true
      upload.abort(Boolean(terminate)).then(() => end(), (error) => end(String(error)))
    },
    onError: (error) => end(String(error)),
    onSuccess: () => {
      told.url = upload.url
      end()
    },
  })
  upload.start()
})

console.log(JSON.stringify(told))
