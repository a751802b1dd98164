package main

// What goes into envelopes, and what comes out of them.

import (
	"bytes"
	"crypto/ecdsa"
	"encoding/binary"
	"encoding/hex"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/ethereum/go-ethereum/crypto"
	"github.com/ethereum/go-ethereum/rlp"
)

func describeEnvelopes(o *opts, b []byte, sym []byte, priv *ecdsa.PrivateKey) []M {
	var envs []*envelope
	if err := rlp.DecodeBytes(b, &envs); err != nil {
		var one envelope
		if rlp.DecodeBytes(b, &one) == nil {
			envs = []*envelope{&one}
		} else {
			return []M{{"error": err.Error()}}
		}
	}
	var r []M
	for _, e := range envs {
		x := M{"hash": e.hash(), "expiry": e.Expiry, "ttl": e.TTL, "topic": e.Topic.String(), "data_len": len(e.Data), "nonce": e.Nonce, "pow": e.pow()}
		m := e.open(sym, priv)
		if m != nil {
			x["payload"] = hex.EncodeToString(m.payload)
			x["payload_text"] = strconv.QuoteToASCII(string(m.payload))
			x["padding_len"] = len(m.padding)
			if m.src != nil {
				x["src"] = hex.EncodeToString(crypto.FromECDSAPub(m.src))
			}
		}
		r = append(r, x)
	}
	return r
}

func (o *opts) makeEnvelopes(n int) []*envelope {
	sym := o.sym()
	var dst *ecdsa.PublicKey
	if o.to != "" {
		b, err := hex.DecodeString(strings.TrimPrefix(o.to, "0x"))
		die(err)
		dst, err = crypto.UnmarshalPubkey(b)
		die(err)
	}
	var src *ecdsa.PrivateKey
	if o.sign != "" {
		src = key(o.sign)
	}
	if sym == nil && dst == nil {
		sym = bytes.Repeat([]byte{7}, 32)
	}
	envs := make([]*envelope, n)
	var wg sync.WaitGroup
	workers := 2
	for w := 0; w < workers; w++ {
		wg.Add(1)
		go func(w int) {
			defer wg.Done()
			for i := w; i < n; i += workers {
				p := []byte(o.payload)
				if o.payload == "" {
					p = make([]byte, o.size)
					copy(p, []byte("wakuprobe"))
					if o.size >= 24 {
						binary.BigEndian.PutUint64(p[16:], uint64(i))
					}
				}
				mp := params{ttl: uint32(o.ttl), sym: sym, dst: dst, src: src, topic: o.topicOf(), work: time.Duration(o.work) * time.Second, pow: o.target, payload: p}
				if o.noSeal {
					mp.pow = 0
				}
				var err error
				envs[i], err = newEnvelope(mp)
				die(err)
			}
		}(w)
	}
	wg.Wait()
	return envs
}
