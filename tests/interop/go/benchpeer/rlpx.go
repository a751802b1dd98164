package main

import (
	"bytes"
	"crypto/rand"
	"errors"
	"net"
	"time"

	"github.com/ethereum/go-ethereum/crypto"
	"github.com/ethereum/go-ethereum/p2p/rlpx"
)

const frameLen = 64 << 10

// handshake is one RLPx handshake with both its sides.
func handshake() func() error {
	dialer, err := crypto.GenerateKey()
	must(err)
	listener, err := crypto.GenerateKey()
	must(err)
	return func() error {
		here, there := net.Pipe()
		defer here.Close()
		defer there.Close()
		accepted := make(chan error, 1)
		go func() {
			_, err := rlpx.NewConn(there, nil).Handshake(listener)
			accepted <- err
		}()
		if _, err := rlpx.NewConn(here, &listener.PublicKey).Handshake(dialer); err != nil {
			return err
		}
		return <-accepted
	}
}

// frames seals a message with one end of a connection and opens it with the other.
func frames(payload []byte) func() error {
	aes, mac := random(32), random(32)
	stream := new(memory)
	end := func() *rlpx.Conn {
		conn := rlpx.NewConn(stream, nil)
		conn.InitWithSecrets(rlpx.Secrets{
			AES: aes, MAC: mac, EgressMAC: crypto.NewKeccakState(), IngressMAC: crypto.NewKeccakState(),
		})
		conn.SetSnappy(true)
		return conn
	}
	writer, reader := end(), end()
	return func() error {
		if _, err := writer.Write(16, payload); err != nil {
			return err
		}
		_, opened, _, err := reader.Read()
		if err == nil && len(opened) != len(payload) {
			err = errors.New("another message came back")
		}
		return err
	}
}

// memory is a stream whose written bytes are read again.
type memory struct{ bytes.Buffer }

func (*memory) Close() error                     { return nil }
func (*memory) LocalAddr() net.Addr              { return nil }
func (*memory) RemoteAddr() net.Addr             { return nil }
func (*memory) SetDeadline(time.Time) error      { return nil }
func (*memory) SetReadDeadline(time.Time) error  { return nil }
func (*memory) SetWriteDeadline(time.Time) error { return nil }

func random(length int) []byte {
	bytes := make([]byte, length)
	_, err := rand.Read(bytes)
	must(err)
	return bytes
}

// text is as dense as prose: words in an order that does not repeat.
func text(length int) []byte {
	words := bytes.Fields([]byte("the quick brown fox jumps over a lazy dog while seven wizards mix potions in old jugs"))
	var text []byte
	for seed := uint32(1); len(text) < length; {
		seed = seed*1664525 + 1013904223
		text = append(append(text, words[int(seed>>16)%len(words)]...), ' ')
	}
	return text[:length]
}

func must(err error) {
	if err != nil {
		panic(err)
	}
}
