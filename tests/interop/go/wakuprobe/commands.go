package main

// The commands that make one connection, or take some.

import (
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"time"

	"github.com/ethereum/go-ethereum/crypto"
	"github.com/ethereum/go-ethereum/p2p/enode"
	"github.com/ethereum/go-ethereum/rlp"
)

var codeNames = map[uint64]string{
	0:   "status",
	1:   "messages",
	2:   "pow-requirement",
	3:   "bloom-filter",
	4:   "rate-limits",
	11:  "batch-ack",
	12:  "message-response",
	20:  "rate-limit",
	21:  "topic-interest",
	22:  "status-update",
	123: "p2p-sync-request",
	124: "p2p-sync-response",
	125: "p2p-request-complete",
	126: "p2p-request",
	127: "p2p-message",
}

// handshake sends our status and reads the remote's.
func (c *conn) handshake() error {
	t := time.Now()
	if err := c.send(0, c.o.statusPacket()); err != nil {
		return err
	}
	for {
		m, err := c.read()
		if err != nil {
			return err
		}
		if m.Code == 0 {
			c.status = m.b
			c.t["status_us"] = time.Since(t).Microseconds()
			break
		}
		return fmt.Errorf("code %d before status", m.Code)
	}
	go func() {
		for {
			time.Sleep(10 * time.Second)
			c.wmu.Lock()
			err := c.write(2, []byte{0xc0})
			c.wmu.Unlock()
			if err != nil {
				return
			}
		}
	}()
	return nil
}

func cmdStatus(o *opts) {
	c, err := dial(o)
	die(err)
	err = c.handshake()
	r := M{"event": "status", "remote_name": c.hello.Name, "remote_caps": fmt.Sprint(c.hello.Caps), "p2p_version": c.hello.Version, "listen_port": c.hello.ListenPort, "snappy": c.hello.Version >= 5, "timing": c.t, "ours": hex.EncodeToString(o.statusPacket())}
	if err != nil {
		r["error"] = err.Error()
	} else {
		r["status"] = describeStatus(o, c.status)
	}
	emit(r)
	c.close(8)
}

// printLoop prints what comes until the connection ends.
func (c *conn) printLoop() {
	sym := c.o.sym()
	priv := c.o.opener()
	for {
		m, err := c.read()
		if err != nil {
			emit(M{"event": "closed", "error": err.Error()})
			return
		}
		x := M{"event": "packet", "code": m.Code, "name": codeNames[m.Code], "size": len(m.b), "t": time.Now().UnixNano() / 1000}
		switch m.Code {
		case 1, 127, 126:
			x["envelopes"] = describeEnvelopes(c.o, m.b, sym, priv)
		case 0, 22:
			x["status"] = describeStatus(c.o, m.b)
		default:
			x["raw"] = hex.EncodeToString(m.b)
		}
		if c.o.hexdump {
			x["raw"] = hex.EncodeToString(m.b)
		}
		emit(x)
	}
}

func cmdListen(o *opts) {
	go endWithStdin()
	c, err := dial(o)
	die(err)
	die(c.handshake())
	emit(M{"event": "connected", "remote_name": c.hello.Name, "caps": fmt.Sprint(c.hello.Caps), "status": describeStatus(o, c.status), "timing": c.t})
	if o.secs > 0 {
		go func() { time.Sleep(time.Duration(o.secs) * time.Second); c.close(8); os.Exit(0) }()
	}
	c.printLoop()
}

func cmdSend(o *opts) {
	c, err := dial(o)
	die(err)
	die(c.handshake())
	go c.printLoop()
	t := time.Now()
	envs := o.makeEnvelopes(o.n)
	emit(M{"event": "sealed", "n": o.n, "ms": time.Since(t).Milliseconds()})
	for i := 0; i < len(envs); i += o.batch {
		j := i + o.batch
		if j > len(envs) {
			j = len(envs)
		}
		b, err := rlp.EncodeToBytes(envs[i:j])
		die(err)
		die(c.send(1, b))
	}
	for i, e := range envs {
		if i < 20 {
			b, _ := rlp.EncodeToBytes(e)
			x := M{"event": "sent", "hash": e.hash(), "topic": e.Topic.String(), "pow": e.pow(), "nonce": e.Nonce, "expiry": e.Expiry, "size": len(b)}
			if o.hexdump {
				x["rlp"] = hex.EncodeToString(b)
			}
			emit(x)
		}
	}
	s := o.secs
	if s == 0 {
		s = 1
	}
	time.Sleep(time.Duration(s) * time.Second)
	c.close(8)
}

// cmdServe: accept inbound RLPx connections and print what the dialer sends
func cmdServe(o *opts, listen string) {
	go endWithStdin()
	prv := key(o.nodekey)
	l, err := net.Listen("tcp", listen)
	die(err)
	a := l.Addr().(*net.TCPAddr)
	if !a.IP.IsLoopback() {
		die(errors.New("loopback only"))
	}
	emit(M{"event": "listening", "enode": enode.NewV4(&prv.PublicKey, a.IP, a.Port, 0).URLv4()})
	if o.secs > 0 {
		go func() { time.Sleep(time.Duration(o.secs) * time.Second); os.Exit(0) }()
	}
	for {
		fd, err := l.Accept()
		die(err)
		go func() {
			c := newConn(o, fd, prv, nil)
			pk, err := c.enc()
			if err != nil {
				emit(M{"event": "error", "stage": "rlpx", "remote": fd.RemoteAddr().String(), "error": err.Error()})
				return
			}
			err = c.sayHello(uint64(a.Port))
			if err != nil {
				emit(M{"event": "error", "stage": "hello", "node": hex.EncodeToString(crypto.FromECDSAPub(pk)), "error": err.Error()})
				return
			}
			_ = c.fd.SetDeadline(time.Time{})
			if err := c.handshake(); err != nil {
				emit(M{"event": "error", "stage": "status", "remote_name": c.hello.Name, "caps": fmt.Sprint(c.hello.Caps), "error": err.Error()})
				return
			}
			emit(M{"event": "connected", "node": hex.EncodeToString(crypto.FromECDSAPub(pk)), "remote_name": c.hello.Name, "caps": fmt.Sprint(c.hello.Caps), "p2p_version": c.hello.Version, "listen_port": c.hello.ListenPort, "status": describeStatus(o, c.status)})
			if o.n > 1 || o.payload != "" {
				for _, e := range o.makeEnvelopes(o.n) {
					b, err := rlp.EncodeToBytes([]*envelope{e})
					die(err)
					if c.send(1, b) != nil {
						break
					}
				}
			}
			c.printLoop()
		}()
	}
}

// endWithStdin ends a command that would run for ever when whoever started it is gone.
func endWithStdin() {
	_, _ = io.Copy(io.Discard, os.Stdin)
	os.Exit(0)
}
