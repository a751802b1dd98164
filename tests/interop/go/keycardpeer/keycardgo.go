package main

import (
	"encoding/hex"
	"errors"
	"fmt"
	"os"

	keycard "github.com/status-im/keycard-go"
	"github.com/status-im/keycard-go/apdu"
	"github.com/status-im/keycard-go/globalplatform"
	"github.com/status-im/keycard-go/io"
	"github.com/status-im/keycard-go/types"
)

// keycardGo is keycard-go on a card in a reader.
type keycardGo struct {
	reader *reader
	plain  *io.NormalChannel
	set    *keycard.CommandSet
}

func newKeycardGo() (client, string) {
	reader := &reader{}
	plain := io.NewNormalChannel(reader)
	return &keycardGo{reader: reader, plain: plain, set: keycard.NewCommandSet(plain)},
		"github.com/status-im/keycard-go"
}

func (k *keycardGo) do(r request) (any, error) {
	result, err := k.command(r)
	var status *apdu.ErrBadResponse
	var pin *keycard.WrongPINError
	var puk *keycard.WrongPUKError
	switch {
	case errors.As(err, &status):
		return nil, fmt.Errorf("%04x: %w", status.Sw, err)
	case errors.As(err, &pin):
		return nil, fmt.Errorf("63c%x: %w", pin.RemainingAttempts, err)
	case errors.As(err, &puk):
		return nil, fmt.Errorf("63c%x: %w", puk.RemainingAttempts, err)
	case errors.Is(err, keycard.ErrNoAvailablePairingSlots):
		return nil, fmt.Errorf("6a84: %w", err)
	}
	return result, err
}

func (k *keycardGo) command(r request) (any, error) {
	set := k.set
	switch r.Cmd {
	case "connect":
		name, err := k.reader.connect()
		return object{"reader": name}, err
	case "disconnect":
		return nil, k.reader.disconnect()
	case "select":
		if err := set.Select(); err != nil {
			return nil, err
		}
		return describe(set.ApplicationInfo), nil
	case "init":
		return nil, set.Init(keycard.NewSecrets(r.Pin, r.Puk, r.Pairing))
	case "pair":
		if err := set.Pair(r.Pass); err != nil {
			return nil, err
		}
		return object{"index": set.PairingInfo.Index, "key": hex.EncodeToString(set.PairingInfo.Key)}, nil
	case "set_pairing":
		key, err := unhex(r.Key)
		if err == nil {
			set.SetPairingInfo(key, int(r.Index))
		}
		return nil, err
	case "open":
		return nil, set.OpenSecureChannel()
	case "unpair":
		return nil, set.Unpair(r.Index)
	case "status":
		status, err := set.GetStatusApplication()
		if err != nil {
			return nil, err
		}
		return object{"pin": status.PinRetryCount, "puk": status.PUKRetryCount, "key": status.KeyInitialized}, nil
	case "path":
		status, err := set.GetStatusKeyPath()
		if err != nil {
			return nil, err
		}
		return status.Path, nil
	case "verify_pin":
		return nil, set.VerifyPIN(r.Pin)
	case "change_pin":
		return nil, set.ChangePIN(r.Pin)
	case "change_puk":
		return nil, set.ChangePUK(r.Puk)
	case "change_pairing":
		return nil, set.ChangePairingSecret(r.Pass)
	case "unblock":
		return nil, set.UnblockPIN(r.Puk, r.Pin)
	case "load_seed":
		seed, err := unhex(r.Seed)
		if err != nil {
			return nil, err
		}
		return hexed(set.LoadSeed(seed))
	case "generate_key":
		return hexed(set.GenerateKey())
	case "generate_mnemonic":
		return set.GenerateMnemonic(r.Words / 3)
	case "remove_key":
		return nil, set.RemoveKey()
	case "derive":
		return nil, set.DeriveKey(r.Path)
	case "export":
		private, public, err := set.ExportKey(r.Path != "", false, !r.Private, r.Path)
		if err != nil {
			return nil, err
		}
		return object{"private": hex.EncodeToString(private), "public": hex.EncodeToString(public)}, nil
	case "sign":
		hash, err := unhex(r.Hash)
		if err != nil {
			return nil, err
		}
		if r.Path == "" {
			return signature(set.Sign(hash))
		}
		return signature(set.SignWithPath(hash, r.Path))
	case "set_pinless":
		return nil, set.SetPinlessPath(r.Path)
	case "sign_pinless":
		hash, err := unhex(r.Hash)
		if err != nil {
			return nil, err
		}
		return signature(set.SignPinless(hash))
	case "get_data":
		return hexed(set.GetData(r.Slot))
	case "store_data":
		data, err := unhex(r.Data)
		if err != nil {
			return nil, err
		}
		return nil, set.StoreData(r.Slot, data)
	case "install":
		return install(k.plain, r)
	case "cash":
		return cash(k.plain, r.Hash)
	case "reset":
		// The library has no such command.
		answer, err := k.plain.Send(apdu.NewCommand(0x80, 0xfd, 0xaa, 0x55, nil))
		if err == nil && !answer.IsOK() {
			err = apdu.NewErrBadResponse(answer.Sw, "factory reset")
		}
		return nil, err
	case "apdus":
		return k.reader.times, nil
	default:
		return nil, errNoSuchCommand
	}
}

func describe(info *types.ApplicationInfo) object {
	said := object{"initialised": info.Initialized, "instance_uid": nil, "key_uid": nil, "version": nil, "slots": nil}
	if info.Initialized {
		said["instance_uid"] = hex.EncodeToString(info.InstanceUID)
		said["version"] = fmt.Sprintf("%d.%d", info.Version[0], info.Version[1])
		said["slots"] = info.AvailableSlots[0]
		if len(info.KeyUID) > 0 {
			said["key_uid"] = hex.EncodeToString(info.KeyUID)
		}
	}
	return said
}

// install puts the applets of a CAP file on the card: what was there is deleted.
func install(plain types.Channel, r request) (any, error) {
	file, err := os.Open(r.File)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	ndef, err := unhex(r.Data)
	if err != nil {
		return nil, err
	}
	domain := globalplatform.NewCommandSet(plain)
	blocks := 0
	steps := []func() error{
		domain.Select,
		domain.OpenSecureChannel,
		domain.DeleteKeycardInstancesAndPackage,
		func() error { return domain.LoadKeycardPackage(file, func(_, total int) { blocks = total }) },
		func() error { return domain.InstallNDEFApplet(ndef) },
		domain.InstallKeycardApplet,
		domain.InstallCashApplet,
	}
	for number, step := range steps {
		if err := step(); err != nil {
			return nil, fmt.Errorf("step %d: %w", number+1, err)
		}
	}
	status, err := domain.GetStatus()
	if err != nil {
		return nil, err
	}
	return object{"blocks": blocks, "life_cycle": status.LifeCycle()}, nil
}

// cash selects the Cash applet and has it sign.
func cash(plain types.Channel, digits string) (any, error) {
	hash, err := unhex(digits)
	if err != nil {
		return nil, err
	}
	set := keycard.NewCashCommandSet(plain)
	if err := set.Select(); err != nil {
		return nil, err
	}
	signed, err := signature(set.Sign(hash))
	if err != nil {
		return nil, err
	}
	info := set.CashApplicationInfo
	signed["key"] = hex.EncodeToString(info.PublicKey)
	signed["data"] = hex.EncodeToString(info.PublicData)
	signed["version"] = fmt.Sprintf("%d.%d", info.Version[0], info.Version[1])
	return signed, nil
}

func signature(s *types.Signature, err error) (object, error) {
	if err != nil {
		return nil, err
	}
	return object{
		"public": hex.EncodeToString(s.PubKey()), "v": s.V(),
		"r": hex.EncodeToString(s.R()), "s": hex.EncodeToString(s.S()),
	}, nil
}

func hexed(b []byte, err error) (any, error) { return hex.EncodeToString(b), err }
