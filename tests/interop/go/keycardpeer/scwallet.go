package main

import (
	"encoding/hex"
	"errors"
	"fmt"
	"math/big"
	"regexp"
	"time"

	"github.com/ethereum/go-ethereum/accounts"
	"github.com/ethereum/go-ethereum/accounts/scwallet"
	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/core/types"
)

// wallet is go-ethereum's smart card wallet: a hub that finds cards, and the first that it found.
type wallet struct {
	hub  *scwallet.Hub
	card accounts.Wallet
}

func newScwallet() (client, string) { return &wallet{}, "github.com/ethereum/go-ethereum" }

// statusWord finds the two bytes in what scwallet says of them: 63c2 is "Sw=0x63c2", 6a86 "Sw=0x6a86", 6d00 "Sw=0x6d0".
var statusWord = regexp.MustCompile(`Sw=0x([0-9a-f]{2})([0-9a-f]{1,2})$`)

func (w *wallet) do(r request) (any, error) {
	result, err := w.command(r)
	if err == nil {
		return result, nil
	}
	if found := statusWord.FindStringSubmatch(err.Error()); found != nil {
		low := found[2]
		if len(low) == 1 {
			low = "0" + low
		}
		return nil, fmt.Errorf("%s%s: %w", found[1], low, err)
	}
	return nil, err
}

func (w *wallet) command(r request) (any, error) {
	if r.Cmd == "hub" {
		return w.find(r.Folder)
	}
	if w.card == nil {
		return nil, errors.New("no wallet")
	}
	switch r.Cmd {
	case "open":
		return nil, w.card.Open(r.Pass)
	case "close":
		card := w.card
		w.card, w.hub = nil, nil
		return nil, card.Close()
	case "status":
		return w.card.Status()
	case "statuses":
		// Each is one APDU: its time is all that can be seen of them here.
		times := make([]float64, r.Times)
		for i := range times {
			begin := time.Now()
			if _, err := w.card.Status(); err != nil {
				return nil, err
			}
			times[i] = float64(time.Since(begin).Microseconds()) / 1000
		}
		return times, nil
	case "initialize":
		seed, err := unhex(r.Seed)
		if err != nil {
			return nil, err
		}
		return nil, w.card.(*scwallet.Wallet).Initialize(seed)
	case "derive":
		path, err := accounts.ParseDerivationPath(r.Path)
		if err != nil {
			return nil, err
		}
		account, err := w.card.Derive(path, true)
		return object{"address": account.Address.Hex(), "url": account.URL.String()}, err
	case "accounts":
		known := []string{}
		for _, account := range w.card.Accounts() {
			known = append(known, account.Address.Hex())
		}
		return known, nil
	case "sign_text", "sign_data", "sign_transaction":
		return w.sign(r)
	case "unpair":
		return nil, w.card.(*scwallet.Wallet).Unpair([]byte(r.Pin))
	default:
		return nil, errNoSuchCommand
	}
}

// find looks for a card; what is paired is remembered in the folder.
func (w *wallet) find(folder string) (any, error) {
	hub, err := scwallet.NewHub(socket(), scwallet.Scheme, folder)
	if err != nil {
		return nil, err
	}
	found := hub.Wallets()
	if len(found) == 0 {
		return nil, errors.New("it sees no wallet")
	}
	w.hub, w.card = hub, found[0]
	return object{"wallets": len(found), "url": w.card.URL().String()}, nil
}

// sign signs with the account that was derived, and says what was signed.
func (w *wallet) sign(r request) (any, error) {
	known := w.card.Accounts()
	if len(known) == 0 {
		return nil, errors.New("no account was derived")
	}
	data, err := unhex(r.Data)
	if err != nil {
		return nil, err
	}
	switch r.Cmd {
	case "sign_text":
		return hexed(w.card.SignText(known[0], data))
	case "sign_data":
		return hexed(w.card.SignData(known[0], accounts.MimetypeTextPlain, data))
	}
	chain := big.NewInt(1)
	to := common.BytesToAddress(data)
	signed, err := w.card.SignTx(known[0], types.NewTx(&types.DynamicFeeTx{ChainID: chain, To: &to, Gas: 21000}), chain)
	if err != nil {
		return nil, err
	}
	sender, err := types.Sender(types.LatestSignerForChainID(chain), signed)
	return object{"sender": sender.Hex(), "hash": hex.EncodeToString(signed.Hash().Bytes())}, err
}
