// Terminates an upload by tus-js-client. The arguments are its URL and the client's options as JSON; prints null, or
// the error.
import { Upload } from 'tus-js-client'

const [url, options] = process.argv.slice(2)
console.log(JSON.stringify(await Upload.terminate(url, JSON.parse(options)).then(() => null, String)))
