package main

import (
	"errors"
	"os"
	"strings"
	"time"

	pcsc "github.com/gballet/go-libpcsclite"
)

// reader is the first reader that has a card, for clients that ask no more than bytes for bytes.
type reader struct {
	context *pcsc.Client
	card    *pcsc.Card
	times   []float64 // milliseconds of each APDU
}

// socket is where pcscd is, as its own library finds out.
func socket() string {
	if path := os.Getenv("PCSCLITE_CSOCK_NAME"); path != "" {
		return path
	}
	return "/run/pcscd/pcscd.comm"
}

func (r *reader) connect() (string, error) {
	context, err := pcsc.EstablishContext(socket(), pcsc.ScopeSystem)
	if err != nil {
		return "", err
	}
	names, err := context.ListReaders()
	if err != nil {
		return "", err
	}
	err = errors.New("no reader")
	for _, name := range names {
		var card *pcsc.Card
		// Names come with the zeros that fill them up, and are wanted so.
		if card, err = context.Connect(name, pcsc.ShareShared, pcsc.ProtocolAny); err == nil {
			r.context, r.card = context, card
			return strings.TrimRight(name, "\x00"), nil
		}
	}
	return "", err
}

func (r *reader) disconnect() error {
	if r.card == nil {
		return nil
	}
	card, context := r.card, r.context
	r.card, r.context = nil, nil
	return errors.Join(card.Disconnect(pcsc.ResetCard), context.ReleaseContext())
}

func (r *reader) Transmit(command []byte) ([]byte, error) {
	if r.card == nil {
		return nil, errors.New("not connected")
	}
	begin := time.Now()
	answer, _, err := r.card.Transmit(command)
	r.times = append(r.times, float64(time.Since(begin).Microseconds())/1000)
	return answer, err
}
