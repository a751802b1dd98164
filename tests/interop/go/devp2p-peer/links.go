package main

// Connections: one link for each capability that is shared with a peer.

import (
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"

	"github.com/ethereum/go-ethereum/p2p"
)

// codes is how many message codes a capability takes that does not say.
const codes = 128

type link struct {
	peer *p2p.Peer
	rw   p2p.MsgReadWriter
	cap  string
}

// protocol reads name/version[:length].
func (a *app) protocol(spec string) (p2p.Protocol, error) {
	f := strings.FieldsFunc(spec, func(r rune) bool { return r == '/' || r == ':' })
	if len(f) != 2 && len(f) != 3 {
		return p2p.Protocol{}, fmt.Errorf("not name/version[:length]: %q", spec)
	}
	version, err := strconv.ParseUint(f[1], 10, 32)
	if err != nil {
		return p2p.Protocol{}, err
	}
	length := uint64(codes)
	if len(f) == 3 {
		if length, err = strconv.ParseUint(f[2], 10, 32); err != nil {
			return p2p.Protocol{}, err
		}
	}
	name := f[0] + "/" + f[1]
	run := func(p *p2p.Peer, rw p2p.MsgReadWriter) error { return a.run(&link{p, rw, name}) }
	return p2p.Protocol{Name: f[0], Version: uint(version), Length: length, Run: run}, nil
}

// run tells what comes until the connection ends.
func (a *app) run(l *link) error {
	id := l.peer.ID().String()
	key := id + " " + l.cap
	a.mu.Lock()
	a.links[key] = l
	a.mu.Unlock()
	defer func() {
		a.mu.Lock()
		delete(a.links, key)
		a.mu.Unlock()
	}()
	emit(object{
		"event":   "connect",
		"peer":    id,
		"pk":      publicHex(l.peer.Node().Pubkey()),
		"cap":     l.cap,
		"name":    l.peer.Fullname(),
		"caps":    fmt.Sprint(l.peer.Caps()),
		"inbound": l.peer.Inbound(),
		"remote":  l.peer.RemoteAddr().String(),
	})
	for {
		m, err := l.rw.ReadMsg()
		if err != nil {
			return err
		}
		payload, err := io.ReadAll(m.Payload) // 16 MiB at most, by the protocol
		if err != nil {
			return err
		}
		emit(object{
			"event":   "packet",
			"peer":    id,
			"cap":     l.cap,
			"code":    m.Code,
			"size":    m.Size,
			"payload": hex.EncodeToString(payload),
		})
	}
}

// find returns a link to the peer whose id begins so, or to any.
func (a *app) find(id, cap string) (*link, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for key, l := range a.links {
		if strings.HasPrefix(key, id) && (cap == "" || l.cap == cap) {
			return l, nil
		}
	}
	return nil, errors.New("no such peer")
}

// watchDrops tells of the end of every connection that a subprotocol ran on.
func (a *app) watchDrops() {
	events := make(chan *p2p.PeerEvent, 64)
	a.srv.SubscribeEvents(events)
	go func() {
		for e := range events {
			if e.Type == p2p.PeerEventTypeDrop {
				emit(object{"event": "disconnect", "peer": e.Peer.String(), "reason": e.Error})
			}
		}
	}()
}
