// An RLPx peer on npm's @ethereumjs/devp2p behind JSON lines: capability waku/1, opaque packets, on loopback.
//
//   commands: add_peer (enode); send (code, payload); quit        events: started, connect, packet, disconnect, error
//
// A command goes to the connection that came up last. It ends when standard input closes. The library takes one byte as
// the message code: nothing above 127 (111 of the capability) can be sent to it.
import { RLPx } from '@ethereumjs/devp2p'
import { Common, Mainnet } from '@ethereumjs/common'
import * as snappyModule from 'snappyjs'
import crypto from 'node:crypto'
import fs from 'node:fs'
import readline from 'node:readline'

const snappy = snappyModule.default ?? snappyModule
const manifest = new URL('node_modules/@ethereumjs/devp2p/package.json', import.meta.url)
const { version } = JSON.parse(fs.readFileSync(manifest))

const hex = (bytes) => Buffer.from(bytes).toString('hex')
const say = (line) => console.log(JSON.stringify(line))

let current = null

// The library's own class of protocols is not exported; it calls this one method of it.
class Waku {
  constructor(version, peer, send) {
    this.peer = peer
    this.send = send
    current = this
    const { clientId: name, capabilities: caps, protocolVersion: p2p } = peer._hello
    say({ event: 'connect', name, caps, p2p, id: hex(peer._remoteId) })
  }
  _handleMessage(code, payload) {
    say({ event: 'packet', code, payload: hex(payload) })
  }
  write(code, payload) {
    // Compressing is left to the protocol.
    const compressed = this.peer._hello.protocolVersion >= 5
    this.send(code, compressed ? snappy.compress(payload) : payload)
  }
}

const rlpx = new RLPx(new Uint8Array(crypto.randomBytes(32)), {
  maxPeers: 5,
  timeout: 5000,
  clientId: new TextEncoder().encode('npm-devp2p'),
  common: new Common({ chain: Mainnet }),
  capabilities: [{ name: 'waku', version: 1, length: 128, constructor: Waku }],
})
rlpx.events.on('peer:removed', (peer, reason, we) => say({ event: 'disconnect', reason, we }))
rlpx.events.on('peer:error', (peer, error) => say({ event: 'error', error: String(error?.message ?? error) }))
rlpx.events.on('error', (error) => say({ event: 'error', error: String(error?.message ?? error) }))

const dial = (enode) => {
  const match = /^enode:\/\/([0-9a-f]{128})@(127\.[0-9.]+):(\d+)/.exec(enode)
  if (!match) throw new Error(`no enode on loopback: ${enode}`)
  const [, id, address, port] = match
  const peer = { id: new Uint8Array(Buffer.from(id, 'hex')), address, tcpPort: Number(port), udpPort: 0 }
  rlpx.connect(peer).catch((error) => say({ event: 'error', error: error.message }))
}

const commands = {
  add_peer: ({ enode }) => dial(enode),
  send: ({ code, payload }) => {
    if (!current) throw new Error('no such peer')
    current.write(code, Buffer.from(payload, 'hex'))
  },
  quit: () => {},
}

rlpx._server.listen(0, '127.0.0.1', () => {
  rlpx._listenPort = rlpx._server.address().port
  const enode = `enode://${hex(rlpx.id)}@127.0.0.1:${rlpx._listenPort}`
  say({ event: 'started', peer: `@ethereumjs/devp2p ${version}`, enode })
})

readline
  .createInterface({ input: process.stdin })
  .on('line', (line) => {
    let request = {}
    try {
      request = JSON.parse(line)
      if (!Object.hasOwn(commands, request.cmd)) throw new Error(`unknown cmd ${request.cmd}`)
      commands[request.cmd](request)
      say({ id: request.id, cmd: request.cmd, ok: true })
    } catch (error) {
      say({ id: request.id, cmd: request.cmd, ok: false, error: String(error.message) })
    }
    if (request.cmd === 'quit') process.exit(0)
  })
  .on('close', () => process.exit(0))
