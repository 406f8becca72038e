// What the page does: uploads a file that it makes itself by Uppy, shows what became of it, and returns that.
import Uppy from '@uppy/core'
import Tus from '@uppy/tus'

function make(size) {
  const bytes = new Uint8Array(size)
  const most = 65536 // that a browser makes at once
  for (let at = 0; at < size; at += most) crypto.getRandomValues(bytes.subarray(at, Math.min(at + most, size)))
  return bytes
}

async function digest(bytes) {
  const found = new Uint8Array(await crypto.subtle.digest('SHA-256', bytes))
  return Array.from(found, (byte) => byte.toString(16).padStart(2, '0')).join('')
}

// "cancelAt" ends the upload on the server once so many bytes have gone; the options are those of the plugin.
window.send = async ({ name, size, cancelAt, ...options }) => {
  const bytes = make(size)
  const answers = []
  const uppy = new Uppy()
  uppy.use(Tus, {
    ...options,
    onAfterResponse: (request, response) => answers.push(`${request.getMethod()} ${response.getStatus()}`),
  })
  uppy.on('upload-progress', (file, progress) => {
    if (progress.bytesUploaded >= cancelAt) uppy.cancelAll()
  })
  uppy.addFile({ name, type: 'application/xml', data: new Blob([bytes]) })
  const { successful, failed } = await uppy.upload()
  const told = {
    answers,
    digest: await digest(bytes),
    urls: successful.map((file) => file.uploadURL),
    errors: failed.map((file) => file.error),
  }
  document.querySelector('output').value = told.errors.length ? 'failed' : 'uploaded'
  return told
}
