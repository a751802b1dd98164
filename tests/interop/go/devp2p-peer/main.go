// devp2p-peer: go-ethereum's p2p.Server, discovery v4, EIP-1459 trees and node records behind JSON lines, for tests on loopback.
// Everything comes from the Go module proxy. Subprotocol packets are opaque here: the test decides what they hold.
package main

import (
	"bufio"
	"context"
	"crypto/ecdsa"
	"encoding/hex"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"os"
	"runtime/debug"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/ethereum/go-ethereum/crypto"
	"github.com/ethereum/go-ethereum/p2p"
	"github.com/ethereum/go-ethereum/p2p/discover"
	"github.com/ethereum/go-ethereum/p2p/dnsdisc"
	"github.com/ethereum/go-ethereum/p2p/enode"
	"github.com/ethereum/go-ethereum/p2p/enr"
	"github.com/ethereum/go-ethereum/rlp"
)

type M = map[string]interface{}

var outMu sync.Mutex

func emit(v M) {
	b, err := json.Marshal(v)
	if err != nil {
		b, _ = json.Marshal(M{"event": "marshal_error", "error": err.Error()})
	}
	outMu.Lock()
	os.Stdout.Write(append(b, '\n'))
	outMu.Unlock()
}

func die(err error) {
	if err != nil {
		emit(M{"event": "fatal", "error": err.Error()})
		os.Exit(1)
	}
}

func loopback(addr string) {
	h, _, err := net.SplitHostPort(addr)
	die(err)
	if ip := net.ParseIP(h); ip == nil || !ip.IsLoopback() {
		die(errors.New("loopback only"))
	}
}

func unhex(s string) ([]byte, error) { return hex.DecodeString(strings.TrimPrefix(s, "0x")) }

func nodes(list string) (l []*enode.Node) {
	for _, e := range strings.Split(list, ",") {
		if e = strings.TrimSpace(e); e != "" {
			n, err := enode.Parse(enode.ValidSchemes, e)
			die(err)
			l = append(l, n)
		}
	}
	return
}

func describe(n *enode.Node) M {
	m := M{"id": n.ID().String(), "ip": n.IP().String(), "tcp": n.TCP(), "udp": n.UDP(), "seq": n.Seq(), "text": n.String()}
	if k := n.Pubkey(); k != nil {
		m["pk"] = hex.EncodeToString(crypto.FromECDSAPub(k))
		m["enode"] = n.URLv4()
	}
	return m
}

// live connections: id/capability -> channel
type link struct {
	peer *p2p.Peer
	rw   p2p.MsgReadWriter
	cap  string
	quit chan error
}

type app struct {
	mu    sync.Mutex
	links map[string]*link
	srv   *p2p.Server
	udp   *discover.UDPv4
	key   *ecdsa.PrivateKey
	raw   *rawV4
}

func (a *app) find(id, cap string) (*link, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for k, l := range a.links {
		if strings.HasPrefix(k, id) && (cap == "" || l.cap == cap) {
			return l, nil
		}
	}
	return nil, errors.New("no such peer")
}

func (a *app) protocol(spec string) p2p.Protocol {
	f := strings.FieldsFunc(spec, func(r rune) bool { return r == '/' || r == ':' }) // name/version[:length]
	v, err := strconv.ParseUint(f[1], 10, 32)
	die(err)
	n := uint64(128)
	if len(f) > 2 {
		n, err = strconv.ParseUint(f[2], 10, 32)
		die(err)
	}
	name := f[0] + "/" + f[1]
	return p2p.Protocol{Name: f[0], Version: uint(v), Length: n, Run: func(p *p2p.Peer, rw p2p.MsgReadWriter) error {
		l := &link{p, rw, name, make(chan error, 1)}
		k := p.ID().String() + " " + name
		a.mu.Lock()
		a.links[k] = l
		a.mu.Unlock()
		emit(M{"event": "connect", "peer": p.ID().String(), "pk": hex.EncodeToString(crypto.FromECDSAPub(p.Node().Pubkey())), "cap": name, "name": p.Fullname(), "caps": fmt.Sprint(p.Caps()), "inbound": p.Inbound(), "remote": p.RemoteAddr().String()})
		go func() {
			for {
				m, err := rw.ReadMsg()
				if err != nil {
					l.quit <- err
					return
				}
				b, err := io.ReadAll(m.Payload)
				if err != nil {
					l.quit <- err
					return
				}
				emit(M{"event": "packet", "peer": p.ID().String(), "cap": name, "code": m.Code, "size": m.Size, "payload": hex.EncodeToString(b)})
			}
		}()
		err := <-l.quit
		a.mu.Lock()
		delete(a.links, k)
		a.mu.Unlock()
		return err
	}}
}

// resolver answers TXT questions from a given map; no network.
type resolver map[string]string

func (r resolver) LookupTXT(_ context.Context, name string) ([]string, error) {
	if t, ok := r[strings.TrimSuffix(name, ".")]; ok {
		return []string{t}, nil
	}
	return nil, fmt.Errorf("no TXT record for %s", name)
}

type request struct {
	ID      interface{}            `json:"id"`
	Cmd     string                 `json:"cmd"`
	Peer    string                 `json:"peer"` // node id or the start of it; empty: any
	Cap     string                 `json:"cap"`
	Code    uint64                 `json:"code"`
	Payload string                 `json:"payload"`
	Reason  uint                   `json:"reason"`
	Enode   string                 `json:"enode"`
	Kind    string                 `json:"kind"`
	Target  string                 `json:"target"` // 64-byte public key, hex
	Expires int64                  `json:"expires_in_s"`
	Domain  string                 `json:"domain"`
	Seq     uint                   `json:"seq"`
	Enrs    []string               `json:"enrs"`
	Links   []string               `json:"links"`
	URL     string                 `json:"url"`
	TXT     map[string]string      `json:"txt"`
	Key     string                 `json:"key"`
	Pairs   map[string]interface{} `json:"pairs"`
}

func (a *app) do(r request) (interface{}, error) {
	switch r.Cmd {
	case "info":
		return M{"enode": a.srv.Self().URLv4(), "enr": a.srv.Self().String(), "peers": a.srv.PeerCount()}, nil
	case "peers":
		return a.srv.PeersInfo(), nil
	case "add_peer", "remove_peer":
		n, err := enode.Parse(enode.ValidSchemes, r.Enode)
		if err != nil {
			return nil, err
		}
		if r.Cmd == "add_peer" {
			a.srv.AddPeer(n)
		} else {
			a.srv.RemovePeer(n)
		}
		return nil, nil
	case "send":
		l, err := a.find(r.Peer, r.Cap)
		if err != nil {
			return nil, err
		}
		b, err := unhex(r.Payload)
		if err != nil {
			return nil, err
		}
		return nil, l.rw.WriteMsg(p2p.Msg{Code: r.Code, Size: uint32(len(b)), Payload: strings.NewReader(string(b))})
	case "disconnect":
		l, err := a.find(r.Peer, r.Cap)
		if err != nil {
			return nil, err
		}
		l.peer.Disconnect(p2p.DiscReason(r.Reason))
		return nil, nil
	case "v4_send": // kind: ping | findnode | enr | raw
		return a.v4send(r)
	case "v4_lookup": // the server's own table
		if a.udp == nil {
			return nil, errors.New("no -udp")
		}
		k, err := crypto.UnmarshalPubkey(append([]byte{4}, must(unhex(r.Target))...))
		if err != nil {
			return nil, err
		}
		l := []M{}
		for _, n := range a.udp.LookupPubkey(k) {
			l = append(l, describe(n))
		}
		return l, nil
	case "enr_parse":
		n, err := enode.Parse(enode.ValidSchemes, r.URL)
		if err != nil {
			return nil, err
		}
		b, _ := rlp.EncodeToBytes(n.Record())
		m := describe(n)
		m["rlp"] = hex.EncodeToString(b)
		return m, nil
	case "enr_sign":
		k, err := crypto.HexToECDSA(r.Key)
		if err != nil {
			return nil, err
		}
		var rec enr.Record
		rec.SetSeq(uint64(r.Seq))
		for name, v := range r.Pairs {
			switch v := v.(type) {
			case float64:
				rec.Set(enr.WithEntry(name, uint64(v)))
			case string:
				b, err := unhex(v)
				if err != nil {
					return nil, err
				}
				rec.Set(enr.WithEntry(name, b))
			}
		}
		if err := enode.SignV4(&rec, k); err != nil {
			return nil, err
		}
		n, err := enode.New(enode.ValidSchemes, &rec)
		if err != nil {
			return nil, err
		}
		return describe(n), nil
	case "dns_sign":
		k, err := crypto.HexToECDSA(r.Key)
		if err != nil {
			return nil, err
		}
		var l []*enode.Node
		for _, e := range r.Enrs {
			n, err := enode.Parse(enode.ValidSchemes, e)
			if err != nil {
				return nil, err
			}
			l = append(l, n)
		}
		t, err := dnsdisc.MakeTree(r.Seq, l, r.Links)
		if err != nil {
			return nil, err
		}
		u, err := t.Sign(k, r.Domain)
		if err != nil {
			return nil, err
		}
		return M{"url": u, "txt": t.ToTXT(r.Domain)}, nil
	case "dns_resolve":
		t, err := dnsdisc.NewClient(dnsdisc.Config{Resolver: resolver(r.TXT), Timeout: 5 * time.Second, RateLimit: 1000}).SyncTree(r.URL)
		if err != nil {
			return nil, err
		}
		l := []M{}
		for _, n := range t.Nodes() {
			l = append(l, describe(n))
		}
		return M{"nodes": l, "links": t.Links(), "seq": t.Seq()}, nil
	}
	return nil, fmt.Errorf("unknown cmd %q", r.Cmd)
}

// built names the library that this program was built with.
func built() string {
	if info, ok := debug.ReadBuildInfo(); ok {
		for _, m := range info.Deps {
			if m.Path == "github.com/ethereum/go-ethereum" {
				return "go-ethereum " + m.Version
			}
		}
	}
	return "go-ethereum of unknown version"
}

func must(b []byte, err error) []byte {
	if err != nil {
		return nil
	}
	return b
}

func main() {
	nodekey := flag.String("nodekey", "", "hex node key (random if empty)")
	listen := flag.String("listen", "127.0.0.1:0", "TCP address on loopback")
	udp := flag.String("udp", "", "UDP address on loopback: run discovery v4 there")
	boot := flag.String("boot", "", "discovery v4 boot nodes")
	peers := flag.String("peers", "", "comma separated static peers")
	caps := flag.String("caps", "waku/1", "capabilities: name/version[:length], comma separated")
	name := flag.String("name", "devp2p-peer", "client name")
	maxPeers := flag.Int("maxpeers", 50, "max peers")
	flag.Parse()
	loopback(*listen)
	a := &app{links: map[string]*link{}}
	var err error
	if *nodekey == "" {
		a.key, err = crypto.GenerateKey()
	} else {
		a.key, err = crypto.HexToECDSA(*nodekey)
	}
	die(err)
	a.srv = &p2p.Server{Config: p2p.Config{PrivateKey: a.key, Name: *name, MaxPeers: *maxPeers, NoDiscovery: true, ListenAddr: *listen, NAT: nil, StaticNodes: nodes(*peers)}}
	for _, c := range strings.Split(*caps, ",") {
		if c != "" {
			a.srv.Protocols = append(a.srv.Protocols, a.protocol(c))
		}
	}
	die(a.srv.Start())
	if *udp != "" {
		loopback(*udp)
		ua, err := net.ResolveUDPAddr("udp4", *udp)
		die(err)
		c, err := net.ListenUDP("udp4", ua)
		die(err)
		db, err := enode.OpenDB("")
		die(err)
		ln := enode.NewLocalNode(db, a.key)
		ln.SetStaticIP(net.IPv4(127, 0, 0, 1))
		ln.SetFallbackUDP(c.LocalAddr().(*net.UDPAddr).Port)
		a.udp, err = discover.ListenV4(c, ln, discover.Config{PrivateKey: a.key, Bootnodes: nodes(*boot)})
		die(err)
	}
	rk, err := crypto.GenerateKey()
	die(err)
	rc, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	die(err)
	a.raw = &rawV4{rc, rk}
	go a.raw.loop()
	ev := make(chan *p2p.PeerEvent, 64)
	sub := a.srv.SubscribeEvents(ev)
	defer sub.Unsubscribe()
	go func() {
		for e := range ev {
			if e.Type == p2p.PeerEventTypeDrop {
				emit(M{"event": "disconnect", "peer": e.Peer.String(), "reason": e.Error})
			}
		}
	}()
	st := M{"event": "started", "peer": built(), "enode": a.srv.Self().URLv4(), "pk": hex.EncodeToString(crypto.FromECDSAPub(&a.key.PublicKey)), "pid": os.Getpid(), "raw_v4": rc.LocalAddr().String()}
	if a.udp != nil {
		st["v4"] = describe(a.udp.Self())
	}
	emit(st)
	sc := bufio.NewScanner(os.Stdin)
	sc.Buffer(nil, 64<<20)
	for sc.Scan() {
		var r request
		var res interface{}
		err := json.Unmarshal(sc.Bytes(), &r)
		if err == nil && r.Cmd != "quit" {
			res, err = a.do(r)
		}
		o := M{"id": r.ID, "cmd": r.Cmd, "ok": err == nil}
		if res != nil {
			o["result"] = res
		}
		if err != nil {
			o["error"] = err.Error()
		}
		emit(o)
		if r.Cmd == "quit" {
			break
		}
	}
	if a.udp != nil {
		a.udp.Close()
	}
	a.srv.Stop()
}
