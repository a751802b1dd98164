// pcscd's own protocol on its socket, as much as one client with one card needs: the library's native module wants a
// compiler and headers.
//
//   message   size u32 | command u32 | structure           structures are in host order, and answered by themselves filled in
//   transmit  a structure, then the command; answered by the structure, then the answer
import net from 'node:net'

const VERSION = 0x11
const ESTABLISH = 0x01
const READERS = 0x12
const CONNECT = 0x04
const DISCONNECT = 0x06
const TRANSMIT = 0x09

const READER = { name: 128, size: 184, most: 16 }
const ANSWER = 65536
const SHARED = 2
const ANY_PROTOCOL = 3
const RESET = 1

export class Service {
  // Connects to pcscd where its own library would.
  static async connect(path = process.env.PCSCLITE_CSOCK_NAME || '/run/pcscd/pcscd.comm') {
    const service = new Service()
    service.socket = net.connect(path)
    service.socket.on('data', (bytes) => service.#came(bytes))
    for (const end of ['error', 'close']) service.socket.on(end, (why) => service.#ended(why))
    await service.#call(VERSION, words(4, 4, 0), 12, 8)
    service.context = (await service.#call(ESTABLISH, words(2, 0, 0), 12, 8)).readUInt32LE(4)
    return service
  }

  async readers() {
    const states = await this.#call(READERS, Buffer.alloc(0), READER.size * READER.most)
    const names = []
    for (let at = 0; at < states.length; at += READER.size) {
      names.push(states.toString('utf8', at, at + READER.name).replace(/\0.*$/s, ''))
    }
    return names.filter((name) => name !== '')
  }

  // Returns a card in the reader of this name.
  async card(name) {
    const reader = Buffer.alloc(READER.name)
    reader.write(name)
    const request = Buffer.concat([words(this.context), reader, words(SHARED, ANY_PROTOCOL, 0, 0, 0)])
    const answer = await this.#call(CONNECT, request, request.length, request.length - 4)
    return new Card(this, answer.readUInt32LE(140), answer.readUInt32LE(144))
  }

  async disconnect(card) {
    await this.#call(DISCONNECT, words(card.handle, RESET, 0), 12, 8)
    this.socket.destroy()
  }

  async transmit(card, command) {
    const request = words(card.handle, card.protocol, 8, command.length, 0, 0, ANSWER, 0)
    const answer = await this.#call(TRANSMIT, request, request.length, request.length - 4, command)
    return this.#read(answer.readUInt32LE(24))
  }

  pending = Buffer.alloc(0)
  wanted = null

  async #call(command, structure, length, status, then = Buffer.alloc(0)) {
    this.socket.write(Buffer.concat([words(structure.length, command), structure, then]))
    const answer = await this.#read(length)
    const code = status === undefined ? 0 : answer.readUInt32LE(status)
    if (code !== 0) throw new Error(`pcscd: 0x${code.toString(16)}`)
    return answer
  }

  #read(length) {
    return new Promise((resolve, reject) => {
      this.wanted = { length, resolve, reject }
      this.#came(Buffer.alloc(0))
    })
  }

  #came(bytes) {
    this.pending = Buffer.concat([this.pending, bytes])
    const { wanted } = this
    if (wanted === null) return
    if (this.ended) wanted.reject(this.ended)
    else if (this.pending.length >= wanted.length) {
      this.wanted = null
      wanted.resolve(this.pending.subarray(0, wanted.length))
      this.pending = this.pending.subarray(wanted.length)
    }
  }

  #ended(why) {
    this.ended ??= new Error(`pcscd: ${why?.message ?? 'closed'}`)
    this.wanted?.reject(this.ended)
  }
}

export class Card {
  constructor(service, handle, protocol) {
    Object.assign(this, { service, handle, protocol })
  }
  transmit(command) {
    return this.service.transmit(this, command)
  }
  disconnect() {
    return this.service.disconnect(this)
  }
}

function words(...values) {
  const bytes = Buffer.alloc(4 * values.length)
  values.forEach((value, i) => bytes.writeUInt32LE(value >>> 0, 4 * i))
  return bytes
}
