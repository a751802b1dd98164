package main

import (
	"bytes"
	"errors"
	"fmt"

	"github.com/ethereum/go-ethereum/crypto"
	"github.com/ethereum/go-ethereum/p2p"
	"github.com/ethereum/go-ethereum/p2p/enode"
)

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
		self := a.srv.Self()
		return object{"enode": self.URLv4(), "enr": self.String(), "peers": a.srv.PeerCount()}, nil
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
		return nil, l.rw.WriteMsg(p2p.Msg{Code: r.Code, Size: uint32(len(b)), Payload: bytes.NewReader(b)})
	case "disconnect":
		l, err := a.find(r.Peer, r.Cap)
		if err != nil {
			return nil, err
		}
		l.peer.Disconnect(p2p.DiscReason(r.Reason))
		return nil, nil
	case "v4_send":
		return a.sendV4(r)
	case "v4_lookup": // in the server's own table and beyond
		if a.udp == nil {
			return nil, errors.New("no -udp")
		}
		target, err := unhex(r.Target)
		if err != nil {
			return nil, err
		}
		k, err := crypto.UnmarshalPubkey(append([]byte{4}, target...))
		if err != nil {
			return nil, err
		}
		return describeAll(a.udp.LookupPubkey(k)), nil
	case "enr_parse":
		return parseENR(r)
	case "enr_sign":
		return signENR(r)
	case "dns_sign":
		return signTree(r)
	case "dns_resolve":
		return resolveTree(r)
	}
	return nil, fmt.Errorf("unknown cmd %q", r.Cmd)
}
