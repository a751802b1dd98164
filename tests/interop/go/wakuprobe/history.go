package main

// A mailserver's client.

import (
	"bytes"
	"encoding/hex"
	"fmt"
	"os"
	"time"

	"github.com/ethereum/go-ethereum/crypto"
	"github.com/ethereum/go-ethereum/rlp"
)

// cmdHistory: ask a mailserver for archived envelopes (enveloped p2p-request, or -direct MessagesRequest)
func cmdHistory(o *opts, from, to, limit int, direct, all bool, cursorHex string) {
	if o.topics == "" {
		o.topics = "empty" // otherwise the server floods us with its whole pool
	}
	c, err := dial(o)
	die(err)
	die(c.handshake())
	if o.password == "" && o.symkey == "" {
		o.password = "status-offline-inbox"
	}
	sym := o.sym()
	now := int(time.Now().Unix())
	if to == 0 {
		to = now + 60
	}
	if from == 0 {
		from = to - 86400
	}
	bloom := fullBloom()
	var topics [][]byte
	if o.topic != "" {
		t := o.topicOf()
		bloom = t.bloom()
		topics = [][]byte{t[:]}
	}
	cursor, err := hex.DecodeString(cursorHex)
	die(err)
	cpu0 := procCPU(o.pid)
	start := time.Now()
	envs, bytesIn, pages, pkts := 0, 0, 0, 0
	var first time.Duration
	for {
		var reqID []byte
		if direct {
			reqID = crypto.Keccak256([]byte(fmt.Sprint(time.Now().UnixNano())))
			b, err := rlp.EncodeToBytes([]interface{}{reqID, uint32(from), uint32(to), uint32(limit), cursor, bloom, topics})
			die(err)
			die(c.send(126, b))
		} else {
			pl, err := rlp.EncodeToBytes([]interface{}{uint32(from), uint32(to), bloom, topics, uint32(limit), cursor, true})
			die(err)
			e, err := newEnvelope(params{ttl: 50, sym: sym, src: c.key, work: 5 * time.Second, pow: o.target, payload: pl})
			die(err)
			reqID = crypto.Keccak256(e.raw())
			die(c.send(126, e.raw()))
		}
		for {
			m, err := c.read()
			die(err)
			if m.Code == 127 {
				content, _, err := rlp.SplitList(m.b)
				die(err)
				n, err := rlp.CountValues(content)
				die(err)
				envs += n
				bytesIn += len(m.b)
				pkts++
				if first == 0 {
					first = time.Since(start)
				}
				if o.hexdump {
					emit(M{"event": "p2p", "envelopes": describeEnvelopes(o, m.b, nil, nil)})
				}
				continue
			}
			if m.Code == 125 {
				var pl []byte
				die(rlp.DecodeBytes(m.b, &pl))
				if len(pl) < 64 || !bytes.Equal(pl[:32], reqID) {
					emit(M{"event": "complete-other", "raw": hex.EncodeToString(pl), "text": string(pl)})
					if bytes.HasPrefix(pl, []byte("ERROR=")) {
						os.Exit(1)
					}
					continue
				}
				cursor = pl[64:]
				if o.hexdump {
					emit(M{"event": "complete", "request_id": hex.EncodeToString(pl[:32]), "last": hex.EncodeToString(pl[32:64]), "cursor": hex.EncodeToString(cursor)})
				}
				break
			}
		}
		pages++
		if !all || len(cursor) == 0 {
			break
		}
	}
	d := time.Since(start).Seconds()
	emit(M{"event": "history", "envelopes": envs, "bytes": bytesIn, "pages": pages, "packets": pkts, "first_ms": first.Seconds() * 1000, "s": d, "env_per_s": float64(envs) / d, "MB_per_s": float64(bytesIn) / d / 1e6, "server_cpu_s": procCPU(o.pid) - cpu0, "cursor": hex.EncodeToString(cursor)})
	c.close(8)
}
