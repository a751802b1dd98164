// A third RLPx peer on npm's @ethereumjs/devp2p: JSON lines, capability waku/1, opaque packets (own code, 60 lines).
// usage: node peer.mjs <port|0> [enode]     commands: {"cmd":"send","code":0,"payload":"hex"} {"cmd":"quit"}
import { RLPx } from '@ethereumjs/devp2p'
import * as snappyNs from 'snappyjs'
import { Common, Mainnet } from '@ethereumjs/common'
import readline from 'node:readline'
import fs from 'node:fs'
import crypto from 'node:crypto'
const { version } = JSON.parse(fs.readFileSync(new URL('node_modules/@ethereumjs/devp2p/package.json', import.meta.url)))
const snappy = snappyNs.default ?? snappyNs
const hex = (b) => Buffer.from(b).toString('hex')
const emit = (o) => console.log(JSON.stringify(o))
let current = null
class Waku { // the library's Protocol class is not exported; only _handleMessage is called on it
  constructor(version, peer, send) {
    this._peer = peer
    this._send = send
    current = this
    const h = peer._hello
    emit({ event: 'connect', name: h.clientId, caps: h.capabilities, p2p: h.protocolVersion, id: hex(peer._remoteId) })
  }
  v5() { return this._peer._hello?.protocolVersion >= 5 }
  _handleMessage(code, data) {
    emit({ event: 'packet', code, payload: hex(data) })
  }
  sendRaw(code, b) { this._send(code, this.v5() ? snappy.compress(b) : b) }
}
const key = process.env.NODEKEY ? Buffer.from(process.env.NODEKEY, 'hex') : crypto.randomBytes(32)
const rlpx = new RLPx(new Uint8Array(key), {
  maxPeers: 5, timeout: 5000, clientId: new TextEncoder().encode('npm-devp2p'), common: new Common({ chain: Mainnet }),
  capabilities: [{ name: 'waku', version: 1, length: 128, constructor: Waku }],
})
rlpx.events.on('peer:removed', (p, reason, we) => emit({ event: 'disconnect', reason, we }))
rlpx.events.on('peer:error', (p, e) => emit({ event: 'peer_error', error: String(e?.message ?? e) }))
rlpx.events.on('error', (e) => emit({ event: 'error', error: String(e?.message ?? e) }))
const started = (port) => emit({ event: 'started', peer: `@ethereumjs/devp2p ${version}`, id: hex(rlpx.id), enode: `enode://${hex(rlpx.id)}@127.0.0.1:${port}` })
rlpx._server.listen(Number(process.argv[2] ?? 0), '127.0.0.1', () => { rlpx._listenPort = rlpx._server.address().port; started(rlpx._listenPort) })
const dial = (e) => {
  const m = /^enode:\/\/([0-9a-f]{128})@([^:]+):(\d+)/.exec(e)
  rlpx.connect({ id: new Uint8Array(Buffer.from(m[1], 'hex')), address: m[2], tcpPort: Number(m[3]), udpPort: 0 }).catch((x) => emit({ event: 'error', error: x.message }))
}
if (process.argv[3]) dial(process.argv[3])
readline.createInterface({ input: process.stdin }).on('line', (l) => {
  const r = JSON.parse(l)
  try {
    if (r.cmd === 'send') current.sendRaw(r.code, Buffer.from(r.payload, 'hex'))
    else if (r.cmd === 'add_peer') dial(r.enode)
    emit({ id: r.id, cmd: r.cmd, ok: true })
  } catch (e) { emit({ id: r.id, cmd: r.cmd, ok: false, error: String(e.message) }) }
  if (r.cmd === 'quit') process.exit(0)
}).on('close', () => process.exit(0))
