package main

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"encoding/binary"
	"errors"
	"math"
	"math/bits"

	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/crypto"
	"github.com/ethereum/go-ethereum/rlp"
)

// envelope is [expiry, ttl, topic, data, nonce] of 6/WAKU1.
type envelope struct {
	Expiry uint32
	TTL    uint32
	Topic  [4]byte
	Data   []byte
	Nonce  uint64
}

const payloadLen = 400

// sealed returns an envelope with a signed payload, padded to 512 bytes, and what opens it.
func sealed() (raw []byte, key cipher.AEAD, signer []byte) {
	identity, err := crypto.GenerateKey()
	must(err)
	plain := append([]byte{4 | 2, payloadLen & 0xff, payloadLen >> 8}, random(payloadLen)...)
	plain = append(plain, random(512-len(plain)-crypto.SignatureLength)...)
	signature, err := crypto.Sign(crypto.Keccak256(plain), identity)
	must(err)
	block, err := aes.NewCipher(random(32))
	must(err)
	key, err = cipher.NewGCM(block)
	must(err)
	nonce := random(key.NonceSize())
	data := append(key.Seal(nil, nonce, append(plain, signature...), nil), nonce...)
	raw, err = rlp.EncodeToBytes(&envelope{1_600_000_000, 10, [4]byte{1, 2, 3, 4}, data, 0x41a5})
	must(err)
	return raw, key, crypto.FromECDSAPub(&identity.PublicKey)
}

// short returns an envelope of 400 bytes.
func short() []byte {
	raw, err := rlp.EncodeToBytes(&envelope{1_600_000_000, 10, [4]byte{1, 2, 3, 4}, random(380), 0x41a5})
	must(err)
	return raw
}

// envelopeDecode reads an envelope, names it by its hash and works out its proof of work.
func envelopeDecode(raw []byte) func() error {
	return func() error {
		var e envelope
		if err := rlp.DecodeBytes(raw, &e); err != nil {
			return err
		}
		if e.hash() == (common.Hash{}) || e.pow() < 0 {
			return errors.New("no hash, or no work")
		}
		return nil
	}
}

func (e *envelope) hash() common.Hash {
	raw, _ := rlp.EncodeToBytes(e)
	return crypto.Keccak256Hash(raw)
}

func (e *envelope) pow() float64 {
	short, _ := rlp.EncodeToBytes([]any{e.Expiry, e.TTL, e.Topic, e.Data})
	hash := crypto.Keccak256(binary.BigEndian.AppendUint64(short, e.Nonce))
	zeros := 0
	for i := 0; i < len(hash); i += 8 {
		word := binary.BigEndian.Uint64(hash[i:])
		zeros += bits.LeadingZeros64(word)
		if word != 0 {
			break
		}
	}
	return math.Pow(2, float64(zeros)) / float64(len(short)) / float64(e.TTL)
}

// envelopeOpen decrypts an envelope's data and recovers its signer.
func envelopeOpen() func() error {
	raw, key, signer := sealed()
	var e envelope
	must(rlp.DecodeBytes(raw, &e))
	return func() error {
		split := len(e.Data) - key.NonceSize()
		plain, err := key.Open(nil, e.Data[split:], e.Data[:split], nil)
		if err != nil {
			return err
		}
		body := plain[:len(plain)-crypto.SignatureLength]
		recovered, err := crypto.SigToPub(crypto.Keccak256(body), plain[len(body):])
		if err != nil {
			return err
		}
		if !bytes.Equal(crypto.FromECDSAPub(recovered), signer) {
			return errors.New("another signer")
		}
		return nil
	}
}
