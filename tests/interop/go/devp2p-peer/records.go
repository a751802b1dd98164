package main

// Node records (EIP-778) and the trees of them that the DNS holds (EIP-1459).

import (
	"context"
	"encoding/hex"
	"fmt"
	"strings"
	"time"

	"github.com/ethereum/go-ethereum/crypto"
	"github.com/ethereum/go-ethereum/p2p/dnsdisc"
	"github.com/ethereum/go-ethereum/p2p/enode"
	"github.com/ethereum/go-ethereum/p2p/enr"
	"github.com/ethereum/go-ethereum/rlp"
)

func describe(n *enode.Node) object {
	m := object{
		"id":   n.ID().String(),
		"ip":   n.IP().String(),
		"tcp":  n.TCP(),
		"udp":  n.UDP(),
		"seq":  n.Seq(),
		"text": n.String(),
	}
	if k := n.Pubkey(); k != nil {
		m["pk"], m["enode"] = publicHex(k), n.URLv4()
	}
	if b, err := rlp.EncodeToBytes(n.Record()); err == nil {
		m["rlp"] = hex.EncodeToString(b)
	}
	return m
}

func describeAll(nodes []*enode.Node) []object {
	l := []object{}
	for _, n := range nodes {
		l = append(l, describe(n))
	}
	return l
}

func parseENR(r request) (interface{}, error) {
	n, err := enode.Parse(enode.ValidSchemes, r.URL)
	if err != nil {
		return nil, err
	}
	return describe(n), nil
}

// signENR makes a record of numbers and of byte strings in hexadecimal digits.
func signENR(r request) (interface{}, error) {
	k, err := crypto.HexToECDSA(r.Key)
	if err != nil {
		return nil, err
	}
	var record enr.Record
	record.SetSeq(uint64(r.Seq))
	for name, v := range r.Pairs {
		switch v := v.(type) {
		case float64:
			record.Set(enr.WithEntry(name, uint64(v)))
		case string:
			b, err := unhex(v)
			if err != nil {
				return nil, err
			}
			record.Set(enr.WithEntry(name, b))
		default:
			return nil, fmt.Errorf("pair %q is neither a number nor a string", name)
		}
	}
	if err := enode.SignV4(&record, k); err != nil {
		return nil, err
	}
	n, err := enode.New(enode.ValidSchemes, &record)
	if err != nil {
		return nil, err
	}
	return describe(n), nil
}

func signTree(r request) (interface{}, error) {
	k, err := crypto.HexToECDSA(r.Key)
	if err != nil {
		return nil, err
	}
	var nodes []*enode.Node
	for _, url := range r.Enrs {
		n, err := enode.Parse(enode.ValidSchemes, url)
		if err != nil {
			return nil, err
		}
		nodes = append(nodes, n)
	}
	t, err := dnsdisc.MakeTree(r.Seq, nodes, r.Links)
	if err != nil {
		return nil, err
	}
	url, err := t.Sign(k, r.Domain)
	if err != nil {
		return nil, err
	}
	return object{"url": url, "txt": t.ToTXT(r.Domain)}, nil
}

// resolver answers TXT questions from a given map; no network.
type resolver map[string]string

func (r resolver) LookupTXT(_ context.Context, name string) ([]string, error) {
	if t, ok := r[strings.TrimSuffix(name, ".")]; ok {
		return []string{t}, nil
	}
	return nil, fmt.Errorf("no TXT record for %s", name)
}

func resolveTree(r request) (interface{}, error) {
	config := dnsdisc.Config{Resolver: resolver(r.TXT), Timeout: 5 * time.Second, RateLimit: 1000}
	t, err := dnsdisc.NewClient(config).SyncTree(r.URL)
	if err != nil {
		return nil, err
	}
	return object{"nodes": describeAll(t.Nodes()), "links": t.Links(), "seq": t.Seq()}, nil
}
