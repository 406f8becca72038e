// Uploads files by tus-js-client, all at the same time. The argument is a JSON list of uploads, each an object: "file"
// is the path, "stream" hides its length, "abortAt" aborts it once so many bytes have been accepted, "quiet" once
// nothing has gone for so many milliseconds, "terminate" ends it on the server then, "urls" is the file in which the
// client keeps its URLs; everything else is the client's own options. Prints a JSON list of what became of each.
import { createReadStream } from 'node:fs'
import { PassThrough } from 'node:stream'
import { FileUrlStorage, Upload } from 'tus-js-client'

function upload({ file, stream, abortAt, quiet, terminate, urls, ...options }) {
  const told = { answers: [], began: null, error: null, aborted: false }
  const source = stream ? createReadStream(file).pipe(new PassThrough()) : createReadStream(file)
  return new Promise((resolve) => {
    let timer
    const end = (how) => {
      clearTimeout(timer)
      resolve({ ...told, ...how, url: upload.url })
    }
    const abort = () => {
      told.aborted = true
      upload.abort(Boolean(terminate)).then(() => end({}), (error) => end({ error: String(error) }))
    }
    const upload = new Upload(source, {
      ...options,
      ...(urls ? { urlStorage: new FileUrlStorage(urls) } : {}),
      onAfterResponse: (request, response) => {
        told.answers.push(`${request.getMethod()} ${response.getStatus()}`)
      },
      onProgress: (sent) => {
        told.began ??= sent
        if (quiet && !told.aborted) {
          clearTimeout(timer)
          timer = setTimeout(abort, quiet)
        }
      },
      onChunkComplete: (size, accepted) => {
        if (accepted >= abortAt && !told.aborted) abort()
      },
      onError: (error) => end({ error: String(error) }),
      onSuccess: () => end({}),
    })
    if (!urls) {
      upload.start()
      return
    }
    upload.findPreviousUploads().then((previous) => {
      if (previous.length > 0) upload.resumeFromPreviousUpload(previous[0])
      upload.start()
    })
  })
}

console.log(JSON.stringify(await Promise.all(JSON.parse(process.argv[2]).map(upload))))
