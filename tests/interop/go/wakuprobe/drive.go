package main

// drive: one connection in the hands of whoever writes commands, one JSON object a line (`{"id", "cmd", ...}`), each
// answered by `{"id", "cmd", "ok", "result"?, "error"?}`. Events between the answers:
//
//	listening  enode (with -listen)
//	up         the Hellos are exchanged: name, caps, snappy
//	packet     every packet of the subprotocol: code, name, size, and status, envelopes with batch, batch with failures,
//	           or raw
//	closed     why: error, and reason when it was a Disconnect
//
// Nothing is sent that was not asked for, but for pings and pongs.

import (
	"bufio"
	"crypto/ecdsa"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"net"
	"os"
	"strings"
	"time"

	"github.com/ethereum/go-ethereum/crypto"
	"github.com/ethereum/go-ethereum/p2p/enode"
	"github.com/ethereum/go-ethereum/rlp"
)

type command struct {
	ID        interface{} `json:"id"`
	Cmd       string      `json:"cmd"`
	Code      uint64      `json:"code"`
	Payload   string      `json:"payload"`   // hex
	Zeros     int         `json:"zeros"`     // bytes behind the payload
	Envelopes []string    `json:"envelopes"` // RLP, hex
	Reason    uint        `json:"reason"`
	order
	update
}

// update is what a Status Update says; what is absent is not said.
type update struct {
	Pow     *float64  `json:"pow"`
	Bloom   *string   `json:"bloom"` // hex
	Light   *bool     `json:"light"`
	Confirm *bool     `json:"confirm"`
	Topics  *[]string `json:"topics"` // hex
}

// order is what an envelope is to be like.
type order struct {
	Topic     string  `json:"topic"` // hex or #name
	Text      string  `json:"text"`
	Size      int     `json:"size"` // of a payload that says nothing, when there is neither a text nor a payload
	N         int     `json:"n"`
	TTL       uint32  `json:"ttl"`
	ExpiresIn *int64  `json:"expires_in"` // seconds; the TTL when absent
	Target    float64 `json:"target"`     // proof of work; 0: none
	Symkey    string  `json:"symkey"`
	Password  string  `json:"password"`
	To        string  `json:"to"`
	Sign      string  `json:"sign"`
}

func cmdDrive(o *opts, listen string) {
	c, err := connect(o, listen)
	if err != nil {
		emitClosed(err)
		return
	}
	emit(M{"event": "up", "name": c.hello.Name, "caps": fmt.Sprint(c.hello.Caps), "snappy": c.hello.Version >= 5, "node": hex.EncodeToString(c.hello.ID)})
	go c.tellPackets()
	go c.keepAlive()
	in := bufio.NewScanner(os.Stdin)
	in.Buffer(nil, 64<<20)
	for in.Scan() {
		var cmd command
		var result interface{}
		err := json.Unmarshal(in.Bytes(), &cmd)
		if err == nil {
			result, err = c.do(&cmd)
		}
		reply := M{"id": cmd.ID, "cmd": cmd.Cmd, "ok": err == nil}
		if result != nil {
			reply["result"] = result
		}
		if err != nil {
			reply["error"] = err.Error()
		}
		emit(reply)
		if cmd.Cmd == "quit" {
			break
		}
	}
	c.close(8)
}

func connect(o *opts, listen string) (*conn, error) {
	if listen == "" {
		return dial(o)
	}
	l, err := net.Listen("tcp", listen)
	die(err)
	a := l.Addr().(*net.TCPAddr)
	if !a.IP.IsLoopback() {
		die(errors.New("loopback only"))
	}
	prv := key(o.nodekey)
	emit(M{"event": "listening", "enode": enode.NewV4(&prv.PublicKey, a.IP, a.Port, 0).URLv4()})
	fd, err := l.Accept()
	if err != nil {
		return nil, err
	}
	l.Close()
	c := newConn(o, fd, prv, nil)
	if _, err := c.enc(); err != nil {
		return nil, err
	}
	if err := c.sayHello(uint64(a.Port)); err != nil {
		return nil, err
	}
	return c, c.fd.SetDeadline(time.Time{})
}

func emitClosed(err error) {
	x := M{"event": "closed", "error": err.Error()}
	var d disconnected
	if errors.As(err, &d) {
		x["reason"] = uint(d)
	}
	emit(x)
}

func (c *conn) tellPackets() {
	priv := c.o.opener()
	for {
		m, err := c.read()
		if err != nil {
			emitClosed(err)
			return
		}
		x := M{"event": "packet", "code": m.Code, "name": codeNames[m.Code], "size": len(m.b), "t": time.Now().UnixMicro()}
		switch m.Code {
		case 0, 22:
			x["status"] = describeStatus(c.o, m.b)
		case 1, 127:
			x["batch"] = "0x" + hex.EncodeToString(crypto.Keccak256(m.b))
			x["envelopes"] = describeRaw(c.o, m.b, c.o.sym(), priv)
		case 11, 12:
			batch, failures, err := readConfirmation(m)
			if err != nil {
				x["error"] = err.Error()
			}
			x["batch"], x["failures"] = "0x"+hex.EncodeToString(batch[:]), failures
		default:
			x["raw"] = hex.EncodeToString(m.b)
		}
		emit(x)
	}
}

// readConfirmation reads a Batch Ack, a bare hash, or a Message Response of version 1.
func readConfirmation(m msg) (batch [32]byte, failures []M, err error) {
	if m.Code == 11 {
		err = rlp.DecodeBytes(m.b, &batch)
		return batch, failures, err
	}
	var r struct {
		Version  uint
		Response struct {
			Batch    [32]byte
			Failures []struct {
				Hash [32]byte
				Code uint
				Text string
			}
		}
	}
	if err = rlp.DecodeBytes(m.b, &r); err == nil && r.Version != 1 {
		err = fmt.Errorf("version %d", r.Version)
	}
	for _, f := range r.Response.Failures {
		failures = append(failures, M{"hash": "0x" + hex.EncodeToString(f.Hash[:]), "code": f.Code, "text": f.Text})
	}
	return r.Response.Batch, failures, err
}

// shownBytes is how long an envelope may be to be told in full.
const shownBytes = 64 << 10

// describeRaw adds to each envelope the bytes that came, and the hash of those.
func describeRaw(o *opts, b []byte, sym []byte, priv *ecdsa.PrivateKey) []M {
	l := describeEnvelopes(o, b, sym, priv)
	content, _, err := rlp.SplitList(b)
	for i := 0; err == nil && len(content) > 0 && i < len(l); i++ {
		var rest []byte
		if _, _, rest, err = rlp.Split(content); err != nil {
			break
		}
		raw := content[:len(content)-len(rest)]
		l[i]["hash"] = "0x" + hex.EncodeToString(crypto.Keccak256(raw))
		if len(raw) <= shownBytes {
			l[i]["rlp"] = hex.EncodeToString(raw)
		}
		content = rest
	}
	return l
}

func (c *conn) keepAlive() {
	for {
		time.Sleep(10 * time.Second)
		c.wmu.Lock()
		err := c.write(2, []byte{0xc0})
		c.wmu.Unlock()
		if err != nil {
			return
		}
	}
}

func (c *conn) do(cmd *command) (interface{}, error) {
	payload, err := hex.DecodeString(strings.TrimPrefix(cmd.Payload, "0x"))
	if err != nil {
		return nil, err
	}
	payload = append(payload, make([]byte, cmd.Zeros)...)
	switch cmd.Cmd {
	case "status": // ours, as the flags say
		return nil, c.send(0, c.o.statusPacket())
	case "update": // a Status Update with what the command says
		b, err := cmd.update.packet(c.o.version)
		if err != nil {
			return nil, err
		}
		return nil, c.send(22, b)
	case "send": // any packet
		return nil, c.send(cmd.Code, payload)
	case "raw": // a payload that is not compressed here: what is sent may claim anything
		c.wmu.Lock()
		defer c.wmu.Unlock()
		c.SetSnappy(false)
		defer c.SetSnappy(c.hello.Version >= 5 && c.o.p2pVersion >= 5)
		return nil, c.write(baseLen+cmd.Code, payload)
	case "bytes": // on the stream, past the frames
		c.wmu.Lock()
		defer c.wmu.Unlock()
		_, err := c.fd.Write(payload)
		return nil, err
	case "seal":
		return c.o.seal(&cmd.order, payload)
	case "messages": // envelopes in one packet
		if cmd.Code == 0 {
			cmd.Code = 1
		}
		var l []rlp.RawValue
		for _, e := range cmd.Envelopes {
			b, err := hex.DecodeString(strings.TrimPrefix(e, "0x"))
			if err != nil {
				return nil, err
			}
			l = append(l, b)
		}
		b, err := rlp.EncodeToBytes(l)
		if err != nil {
			return nil, err
		}
		return M{"batch": "0x" + hex.EncodeToString(crypto.Keccak256(b)), "size": len(b)}, c.send(cmd.Code, b)
	case "disconnect":
		b, err := rlp.EncodeToBytes([]uint{cmd.Reason})
		if err != nil {
			return nil, err
		}
		c.wmu.Lock()
		defer c.wmu.Unlock()
		return nil, c.write(1, b)
	case "quit":
		return nil, nil
	}
	return nil, fmt.Errorf("unknown cmd %q", cmd.Cmd)
}

// seal makes envelopes; what the order leaves open is as the flags say.
func (o *opts) seal(r *order, payload []byte) ([]M, error) {
	oo := *o
	if r.Topic != "" {
		oo.topic = r.Topic
	}
	if r.Symkey != "" || r.Password != "" {
		oo.symkey, oo.password = r.Symkey, r.Password
	}
	if r.To != "" {
		oo.to = r.To
	}
	if r.Sign != "" {
		oo.sign = r.Sign
	}
	if r.TTL == 0 {
		r.TTL = 50
	}
	if r.Text == "" {
		r.Text = string(payload)
	}
	oo.payload, oo.size, oo.ttl, oo.noSeal, oo.target = r.Text, r.Size, uint(r.TTL), true, 0
	l := []M{}
	for _, e := range oo.makeEnvelopes(max(r.N, 1)) {
		if r.ExpiresIn != nil {
			e.Expiry = uint32(time.Now().Unix() + *r.ExpiresIn)
		}
		if err := e.seal(r.Target, time.Duration(o.work)*time.Second); err != nil {
			return nil, err
		}
		raw := e.raw()
		l = append(l, M{"hash": e.hash(), "rlp": hex.EncodeToString(raw), "size": len(raw), "data_len": len(e.Data), "pow": e.pow(), "topic": e.Topic.String(), "expiry": e.Expiry})
	}
	return l, nil
}

func (u *update) packet(version uint) ([]byte, error) {
	type any = interface{}
	l := []any{}
	put := func(key uint64, value any) {
		if version == 0 {
			l = append(l, []any{fmt.Sprint(key), value})
		} else {
			l = append(l, []any{key, value})
		}
	}
	if u.Pow != nil {
		put(0, math.Float64bits(*u.Pow))
	}
	if u.Bloom != nil {
		b, err := hex.DecodeString(*u.Bloom)
		if err != nil {
			return nil, err
		}
		put(1, b)
	}
	if u.Light != nil {
		put(2, *u.Light)
	}
	if u.Confirm != nil {
		put(3, *u.Confirm)
	}
	if u.Topics != nil {
		topics := []topic{}
		for _, t := range *u.Topics {
			b, err := hex.DecodeString(t)
			if err != nil {
				return nil, err
			}
			topics = append(topics, bytesToTopic(b))
		}
		put(5, topics)
	}
	return rlp.EncodeToBytes(l)
}
