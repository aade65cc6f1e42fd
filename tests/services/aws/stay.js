// kinesalite ends when a client dies in mid-request. A server would not.
process.on('uncaughtException', error => {
  if (error.code !== 'ECONNRESET' && error.message !== 'aborted') throw error
})
