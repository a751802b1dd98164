// npm's keycard-sdk through pcscd, as a peer that speaks JSON lines.
//
// The commands that all Keycard peers have are listed in tests/interop/README.md. This one has more:
//
//   identify {challenge}                  -> {ca}
//   load_key {private, public?, chain?}   -> key UID
//   pairing_text                          -> the pairing as the library writes it down
//   set_ndef {data}, unpair_others, cash {hash}
//   install {file, data, put_keys}        the applets of a CAP file, with this NDEF record; whether the card gets the keys
//                                         of Keycard's developers -> {blocks}
//
// An error begins with the status word, where the library tells one. It ends when standard input closes.
import fs from 'node:fs'
import readline from 'node:readline'
import sdk from 'keycard-sdk'
import { APDUResponse } from './node_modules/keycard-sdk/dist/apdu-response.js'
import { GlobalPlatformCommandset } from './node_modules/keycard-sdk/dist/global-platform-commandset.js'
import { Service } from './pcsc.mjs'

const manifest = new URL('node_modules/keycard-sdk/package.json', import.meta.url)
const { version } = JSON.parse(fs.readFileSync(manifest))

const hex = (bytes) => Buffer.from(bytes).toString('hex')
const unhex = (digits) => new Uint8Array(Buffer.from(digits, 'hex'))
const say = (line) => console.log(JSON.stringify(line))

// What the library asks of a transport. It keeps the time of each APDU.
class Channel {
  times = []
  isConnected() {
    return this.card !== undefined
  }
  async connect() {
    const service = await Service.connect()
    let why = new Error('no reader')
    for (const reader of await service.readers()) {
      try {
        this.card = await service.card(reader)
        return { reader }
      } catch (error) {
        why = error // no card in it
      }
    }
    throw why
  }
  async disconnect() {
    await this.card?.disconnect()
    this.card = undefined
  }
  async send(command) {
    const begin = performance.now()
    const answer = await this.card.transmit(Buffer.from(command.serialize()))
    this.times.push(performance.now() - begin)
    return new APDUResponse(new Uint8Array(answer))
  }
}

const channel = new Channel()
const card = new sdk.Commandset(channel)

const checked = (answer) => answer.checkOK().data

const signature = (hash, tlv) => {
  const { publicKey, r, s, recId } = new sdk.RecoverableSignature({ hash, tlvData: tlv })
  return { public: hex(publicKey), r: hex(r), s: hex(s), v: recId }
}

const key = (tlv) => {
  const { privateKey, publicKey, chainCode } = sdk.BIP32KeyPair.fromTLV(tlv)
  const shown = (bytes) => (bytes === undefined ? null : hex(bytes))
  return { public: shown(publicKey), private: shown(privateKey), chain: shown(chainCode) }
}

const cash = async (hash) => {
  const applet = new sdk.CashCommandset(channel)
  const info = new sdk.CashApplicationInfo(checked(await applet.select()))
  const about = { key: hex(info.pubKey), version: info.getAppVersionString(), data: hex(info.pubData) }
  return { ...about, ...signature(hash, checked(await applet.sign(hash))) }
}

const install = async (file, ndef, putKeys) => {
  const domain = new GlobalPlatformCommandset(channel)
  let blocks = 0
  checked(await domain.select())
  await domain.openSecureChannel(putKeys)
  await domain.deleteKeycardInstancesAndPackage()
  await domain.loadKeycardPackage(fs.readFileSync(file), (_, total) => (blocks = total))
  checked(await domain.installNDEFApplet(ndef))
  checked(await domain.installKeycardApplet())
  checked(await domain.installCashApplet())
  checked(await domain.installIdentApplet())
  return { blocks }
}

const commands = {
  connect: () => channel.connect(),
  disconnect: () => channel.disconnect(),
  select: async () => {
    checked(await card.select())
    const info = card.applicationInfo
    return {
      initialised: info.initializedCard,
      version: info.appVersion === undefined ? null : info.getAppVersionString(),
      instance_uid: info.instanceUID === undefined ? null : hex(info.instanceUID),
      key_uid: info.keyUID?.length ? hex(info.keyUID) : null,
      slots: info.freePairingSlots ?? null,
    }
  },
  init: async ({ pin, puk, pairing, pin_tries, puk_tries, duress }) => {
    checked(await card.init(pin, puk, pairing, duress, pin_tries, puk_tries))
  },
  pair: async ({ password }) => {
    await card.autoPair(password)
    const { pairingIndex, pairingKey } = card.getPairing()
    return { index: pairingIndex, key: hex(pairingKey) }
  },
  set_pairing: ({ index, key }) => card.setPairing(new sdk.Pairing(unhex(key), index)),
  pairing_text: () => card.getPairing().toBase64(),
  open: () => card.autoOpenSecureChannel(),
  unpair: async ({ index }) => void checked(await card.unpair(index)),
  unpair_others: () => card.unpairOthers(),
  status: async () => {
    const status = new sdk.ApplicationStatus(checked(await card.getStatus(0)))
    return { pin: status.pinRetryCount, puk: status.pukRetryCount, key: status.hasMasterKey }
  },
  path: async () => hex(checked(await card.getStatus(1))),
  verify_pin: async ({ pin }) => void (await card.verifyPIN(pin)).checkAuthOK(),
  change_pin: async ({ pin }) => void checked(await card.changePIN(pin)),
  change_puk: async ({ puk }) => void checked(await card.changePUK(puk)),
  change_pairing: async ({ password }) => void checked(await card.changePairingPassword(password)),
  unblock: async ({ puk, pin }) => void (await card.unblockPIN(puk, pin)).checkAuthOK(),
  load_seed: async ({ seed }) => hex(checked(await card.loadSeed(unhex(seed)))),
  load_key: async (request) => {
    const part = (name) => (request[name] === undefined ? null : unhex(request[name]))
    return hex(checked(await card.loadKeyPair(part('public'), part('private'), part('chain'))))
  },
  generate_key: async () => hex(checked(await card.generateKey())),
  generate_mnemonic: async ({ words }) => new sdk.Mnemonic(checked(await card.generateMnemonic(words / 3))).indexes,
  remove_key: async () => void checked(await card.removeKey()),
  derive: async ({ path }) => {
    const { data, source } = new sdk.KeyPath(path)
    checked(await card.deriveKey(data, source))
  },
  export: async ({ path, private: secret, extended }) => {
    if (path === undefined) return key(checked(await card.exportCurrentKey(!secret)))
    if (extended) return key(checked(await card.exportExtendedKey(undefined, path, false)))
    return key(checked(await card.exportKey(undefined, !secret, path, false)))
  },
  sign: async ({ hash, path }) => {
    const digest = unhex(hash)
    return signature(digest, checked(await (path ? card.signWithPath(digest, path, false) : card.sign(digest))))
  },
  set_pinless: async ({ path }) => void checked(await card.setPinlessPath(path)),
  sign_pinless: async ({ hash }) => signature(unhex(hash), checked(await card.signPinless(unhex(hash)))),
  identify: async ({ challenge }) => {
    const hash = unhex(challenge)
    return { ca: hex(sdk.Certificate.verifyIdentity(hash, checked(await card.identifyCard(hash)))) }
  },
  get_data: async ({ slot }) => hex(checked(await card.getData(slot))),
  store_data: async ({ slot, data }) => void checked(await card.storeData(unhex(data), slot)),
  set_ndef: async ({ data }) => void checked(await card.setNDEF(unhex(data))),
  install: ({ file, data, put_keys }) => install(file, unhex(data), put_keys),
  cash: ({ hash }) => cash(unhex(hash)),
  reset: async () => void checked(await card.factoryReset()),
  apdus: () => channel.times,
}

const told = (error) => {
  const word = error.retryAttempts === undefined ? error.sw : 0x63c0 | error.retryAttempts
  return `${word ? `${word.toString(16).padStart(4, '0')}: ` : ''}${error.message ?? error}`
}

say({ event: 'started', peer: `keycard-sdk ${version}` })
for await (const line of readline.createInterface({ input: process.stdin })) {
  let request = {}
  let reply
  try {
    request = JSON.parse(line)
    const command = commands[request.cmd]
    if (command === undefined) throw new Error(`no such command: ${request.cmd}`)
    reply = { ok: true, result: (await command(request)) ?? null }
  } catch (error) {
    reply = { ok: false, error: told(error) }
  }
  say({ id: request.id, cmd: request.cmd, ...reply })
}
process.exit(0)
