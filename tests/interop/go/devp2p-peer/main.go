// devp2p-peer: go-ethereum's p2p.Server, discovery v4, EIP-1459 trees and node records behind JSON lines, on loopback.
//
//	{"id": any, "cmd": name, ...}  ->  {"id", "cmd", "ok", "result"?, "error"?}     events: {"event": name, ...}
//
// Commands: info; peers; add_peer, remove_peer (enode); send (peer?, cap?, code, payload); disconnect (peer?, reason);
// v4_send (kind ping|findnode|enr|raw, enode, target, expires_in_s, payload); v4_lookup (target); enr_sign (key, seq,
// pairs); enr_parse (url); dns_sign (key, domain, seq, enrs, links); dns_resolve (url, txt); quit.
// Events: started; connect; packet; disconnect; v4; fatal, the last one.
//
// Subprotocol packets are opaque: whoever drives it decides what they hold. It ends when standard input closes.
package main

import (
	"bufio"
	"crypto/ecdsa"
	"encoding/hex"
	"encoding/json"
	"errors"
	"flag"
	"net"
	"os"
	"runtime/debug"
	"strings"
	"sync"

	"github.com/ethereum/go-ethereum/crypto"
	"github.com/ethereum/go-ethereum/p2p"
	"github.com/ethereum/go-ethereum/p2p/discover"
	"github.com/ethereum/go-ethereum/p2p/enode"
)

// longestLine is enough for a packet of 16 MiB in hexadecimal digits.
const longestLine = 40 << 20

type object = map[string]interface{}

type app struct {
	key   *ecdsa.PrivateKey
	srv   *p2p.Server
	udp   *discover.UDPv4 // nil without -udp
	raw   *rawV4
	mu    sync.Mutex
	links map[string]*link
}

func main() {
	nodekey := flag.String("nodekey", "", "hex node key (random if empty)")
	listen := flag.String("listen", "127.0.0.1:0", "TCP address on loopback")
	udp := flag.String("udp", "", "UDP address on loopback: run discovery v4 there")
	boot := flag.String("boot", "", "discovery v4 boot nodes, comma separated")
	peers := flag.String("peers", "", "static peers, comma separated")
	caps := flag.String("caps", "waku/1", "capabilities: name/version[:length], comma separated")
	name := flag.String("name", "devp2p-peer", "client name")
	maxPeers := flag.Int("maxpeers", 50, "how many peers at most")
	flag.Parse()

	a := &app{key: readKey(*nodekey), links: map[string]*link{}}
	a.srv = &p2p.Server{Config: p2p.Config{
		PrivateKey:  a.key,
		Name:        *name,
		MaxPeers:    *maxPeers,
		NoDiscovery: true,
		ListenAddr:  onLoopback(*listen),
		StaticNodes: parseNodes(*peers),
	}}
	for _, c := range split(*caps) {
		protocol, err := a.protocol(c)
		die(err)
		a.srv.Protocols = append(a.srv.Protocols, protocol)
	}
	die(a.srv.Start())
	if *udp != "" {
		a.udp = a.listenV4(onLoopback(*udp), parseNodes(*boot))
	}
	var err error
	a.raw, err = listenRawV4()
	die(err)
	a.watchDrops()

	started := object{
		"event":  "started",
		"peer":   builtWith(),
		"enode":  a.srv.Self().URLv4(),
		"pk":     publicHex(&a.key.PublicKey),
		"pid":    os.Getpid(),
		"raw_v4": a.raw.c.LocalAddr().String(),
	}
	if a.udp != nil {
		started["v4"] = describe(a.udp.Self())
	}
	emit(started)

	a.serve()
	if a.udp != nil {
		a.udp.Close()
	}
	a.srv.Stop()
}

// serve does one command after the other, until quit or the end of standard input.
func (a *app) serve() {
	lines := bufio.NewScanner(os.Stdin)
	lines.Buffer(nil, longestLine)
	for lines.Scan() {
		var r request
		var result interface{}
		err := json.Unmarshal(lines.Bytes(), &r)
		if err == nil && r.Cmd != "quit" {
			result, err = a.do(r)
		}
		reply := object{"id": r.ID, "cmd": r.Cmd, "ok": err == nil}
		if result != nil {
			reply["result"] = result
		}
		if err != nil {
			reply["error"] = err.Error()
		}
		emit(reply)
		if r.Cmd == "quit" {
			return
		}
	}
	die(lines.Err())
}

var out sync.Mutex

func emit(line object) {
	b, err := json.Marshal(line)
	if err != nil {
		b, _ = json.Marshal(object{"event": "unprintable", "error": err.Error()})
	}
	out.Lock()
	defer out.Unlock()
	if _, err := os.Stdout.Write(append(b, '\n')); err != nil {
		os.Exit(1) // nobody listens any more
	}
}

func die(err error) {
	if err != nil {
		emit(object{"event": "fatal", "error": err.Error()})
		os.Exit(1)
	}
}

// builtWith names the library that this program was built with.
func builtWith() string {
	if info, ok := debug.ReadBuildInfo(); ok {
		for _, m := range info.Deps {
			if m.Path == "github.com/ethereum/go-ethereum" {
				return "go-ethereum " + m.Version
			}
		}
	}
	return "go-ethereum of unknown version"
}

func onLoopback(addr string) string {
	host, _, err := net.SplitHostPort(addr)
	die(err)
	if ip := net.ParseIP(host); ip == nil || !ip.IsLoopback() {
		die(errors.New("loopback only: " + addr))
	}
	return addr
}

func readKey(digits string) *ecdsa.PrivateKey {
	if digits == "" {
		k, err := crypto.GenerateKey()
		die(err)
		return k
	}
	k, err := crypto.HexToECDSA(digits)
	die(err)
	return k
}

func split(list string) []string {
	return strings.FieldsFunc(list, func(r rune) bool { return r == ',' || r == ' ' })
}

func parseNodes(list string) (l []*enode.Node) {
	for _, url := range split(list) {
		n, err := enode.Parse(enode.ValidSchemes, url)
		die(err)
		l = append(l, n)
	}
	return
}

func publicHex(k *ecdsa.PublicKey) string { return hex.EncodeToString(crypto.FromECDSAPub(k)) }

func unhex(s string) ([]byte, error) { return hex.DecodeString(strings.TrimPrefix(s, "0x")) }
