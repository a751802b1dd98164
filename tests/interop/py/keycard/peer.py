"""PyPI's keycard (secure channels 1 and 2) through pyscard and pcscd, as a peer that speaks JSON lines.

The commands that all Keycard peers have are listed in tests/interop/README.md. This one has more:

    trust {ca}                                  the authority whose cards it opens, instead of the production one
    identify {challenge}                        -> {ca}             3.1 and 3.2
    challenge {length}                          -> bytes
    export, sign {.., stay}                     whether the key becomes the current one
    load_lee {seed}                             -> key UID          4.0
    lee {path}                                  -> what the library says
    raw {ins, p1, p2, data}                     -> bytes            through the channel, past the library's own parsing
    bip85 {path, length}, ecdh {public, path}   -> bytes            4.0
    schnorr {hash, path, tweak?}                -> {public, r, s}
    sign_pinless {hash}, set_pinless {path}
    send {apdu}                                 -> answer with its status word, outside the channel

An error begins with the status word, where the library tells one. It ends when standard input closes.
"""

import importlib.metadata
import json
import sys
import time

from keycard import constants
from keycard.apdu import APDUResponse
from keycard.exceptions import APDUError
from keycard.keycard import KeyCard
from keycard.pairing import Pairing
from keycard.parsing.keypath import KeyPath
from keycard.transport import Transport
from smartcard.System import readers


class Reader(Transport):
    """The first reader that has a card; it keeps the time of each APDU."""

    def __init__(self):
        super().__init__()
        self.times = []

    def connect(self, index=0):
        why = "no reader"
        for reader in readers():
            connection = reader.createConnection()
            try:
                connection.connect()
            except Exception as error:  # no card in it
                why = f"{reader}: {error}"
                continue
            self.connection = connection
            return str(reader)
        raise RuntimeError(why)

    def send_apdu(self, apdu):
        begin = time.perf_counter()
        answer = super().send_apdu(apdu)
        self.times.append((time.perf_counter() - begin) * 1000)
        return APDUResponse(mended(bytes(answer.data)), answer.status_word)


def mended(answer):
    """Applet 4.0 writes a length that is one too small over its template, and the library refuses that."""
    at = 2 if answer[:2] == b"\xa4\x81" else 1
    if answer[:1] == b"\xa4" and len(answer) - at - 1 == answer[at] + 1:
        return answer[:at] + bytes([answer[at] + 1]) + answer[at + 1 :]
    return answer


class Card(KeyCard):
    """The library's card; it notes the last status word from inside the channel, of which some calls keep only a part."""

    status_word = None

    def send_secure_apdu(self, ins, p1=0x00, p2=0x00, data=b""):
        try:
            return super().send_secure_apdu(ins, p1, p2, data)
        except APDUError as error:
            self.status_word = error.sw
            raise


def hexed(value):
    return None if value is None else bytes(value).hex()


def signature(result):
    return {"public": hexed(result.public_key), "r": result.r.hex(), "s": result.s.hex(), "v": result.recovery_id}


def do(card, request):
    def given(name):
        return bytes.fromhex(request[name])

    match request["cmd"]:
        case "connect":
            return {"reader": card.transport.connect()}
        case "disconnect":
            card.transport.disconnect()
        case "trust":
            card.ca_public_keys = [given("ca")]
        case "select":
            info = card.select()
            return {
                "initialised": info.is_initialized,
                "version": f"{info.version_major}.{info.version_minor}" if info.version_major else None,
                "instance_uid": hexed(info.instance_uid),
                "key_uid": hexed(info.key_uid) or None,
                "slots": info.free_pairing_slots,
                "tries": info.pin_retries,
                "certificate": hexed(info.identity_certificate),
            }
        case "init":
            card.init(
                request["pin"],
                request["puk"],
                request.get("pairing"),
                pin_retries=request.get("pin_tries"),
                puk_retries=request.get("puk_tries"),
                alt_pin=request.get("duress"),
            )
        case "pair":
            mode = constants.PairingMode[request.get("mode", "any").upper()]
            pairing = card.pair(request["password"], mode)
            return {"index": pairing.slot, "key": pairing.key.hex()}
        case "set_pairing":
            card.pairing = Pairing(request["index"], given("key"))
        case "open":
            card.open_secure_channel()
        case "unpair":
            card.unpair(request["index"])
        case "status":
            status = card.status
            return {"pin": status["pin_retry_count"], "puk": status["puk_retry_count"], "key": status["initialized"]}
        case "verify_pin":
            if not card.verify_pin(request["pin"]):
                raise RuntimeError("wrong PIN")
        case "change_pin":
            card.change_pin(request["pin"])
        case "change_puk":
            card.change_puk(request["puk"])
        case "change_pairing":
            card.change_pairing_secret(request["password"])
        case "unblock":
            card.unblock_pin(request["puk"], request["pin"])
        case "load_seed":
            return card.load_key(constants.LoadKeyType.BIP39_SEED, bip39_seed=given("seed")).hex()
        case "load_lee":
            return card.load_key(constants.LoadKeyType.LEE_SEED, bip39_seed=given("seed")).hex()
        case "load_key":
            kind = constants.LoadKeyType.EXTENDED_ECC if "chain" in request else constants.LoadKeyType.ECC
            parts = {name: given(name) if name in request else None for name in ("public", "private", "chain")}
            loaded = card.load_key(
                kind, public_key=parts["public"], private_key=parts["private"], chain_code=parts["chain"]
            )
            return loaded.hex()
        case "generate_key":
            return card.generate_key().hex()
        case "generate_mnemonic":
            return card.generate_mnemonic(request["words"] // 3)
        case "remove_key":
            card.remove_key()
        case "derive":
            card.derive_key(request["path"])
        case "path":
            return b"".join(part.to_bytes(4, "big") for part in card.get_key_path).hex()
        case "export":
            if request.get("path") is None:
                key = card.export_current_key(public_only=not request["private"])
            else:
                path = KeyPath(request["path"])
                key = card.export_key(
                    constants.DerivationOption.DERIVE,
                    public_only=not request["private"],
                    keypath=path.data,
                    make_current=request.get("stay", False),
                    source=path.source,
                )
            return {"public": hexed(key.public_key), "private": hexed(key.private_key), "chain": hexed(key.chain_code)}
        case "sign":
            if request.get("path") is None:
                return signature(card.sign(given("hash")))
            return signature(card.sign_with_path(given("hash"), request["path"], request.get("stay", False)))
        case "schnorr":
            tweak = given("tweak") if "tweak" in request else None
            return signature(
                card.sign_with_path(
                    given("hash"), request["path"], algorithm=constants.SigningAlgorithm.SCHNORR_BIP340, tweak=tweak
                )
            )
        case "set_pinless":
            card.set_pinless_path(request["path"])
        case "sign_pinless":
            return signature(card.sign_pinless(given("hash")))
        case "identify":
            return {"ca": card.ident(given("challenge")).hex()}
        case "challenge":
            return card.get_challenge(request["length"]).hex()
        case "lee":
            return {name: value.hex() for name, value in vars(card.export_lee(request["path"])).items()}
        case "bip85":
            return card.export_bip85(request["path"], request["length"]).hex()
        case "ecdh":
            return card.ecdh(given("public"), request["path"]).hex()
        case "get_data":
            return card.get_data(constants.StorageSlot(request["slot"])).hex()
        case "store_data":
            card.store_data(given("data"), constants.StorageSlot(request["slot"]))
        case "raw":
            data = KeyPath(request["path"]).data if "path" in request else given("data")
            return card.send_secure_apdu(request["ins"], request["p1"], request["p2"], data).hex()
        case "send":
            answer = card.send_raw_apdu(given("apdu"))
            return answer.data.hex() + f"{answer.status_word:04x}"
        case "reset":
            card.factory_reset()
        case "apdus":
            return card.transport.times
        case other:
            raise ValueError(f"no such command: {other}")
    return None


def say(line):
    print(json.dumps(line), flush=True)


def version(package):
    return f"{package} {importlib.metadata.version(package)}"


def main():
    say({"event": "started", "peer": f"{version('keycard')}, {version('pyscard')}"})
    card = Card(Reader())
    for line in sys.stdin:
        request = {}
        try:
            request = json.loads(line)
            card.status_word = None
            reply = {"ok": True, "result": do(card, request)}
        except Exception as error:  # whatever it is, the other side has to hear of it
            word = getattr(error, "sw", None) or card.status_word
            told = f"{word:04x}: " if word else ""
            reply = {"ok": False, "error": f"{told}{type(error).__name__}: {error}"}
        say({"id": request.get("id"), "cmd": request.get("cmd"), **reply})


main()
