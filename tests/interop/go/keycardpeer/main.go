// keycardpeer: two Keycard clients of others behind JSON lines, through pcscd without its library.
//
//	keycardpeer keycard-go      github.com/status-im/keycard-go: the commands of all Keycard peers (tests/interop/README.md)
//	keycardpeer scwallet        go-ethereum's accounts/scwallet: hub, open, close, status, initialize, derive, sign, unpair
//
//	{"id": any, "cmd": name, ...}  ->  {"id", "cmd", "ok", "result"?, "error"?}
//
// An error begins with the status word, where the client tells one. It ends when standard input closes.
package main

import (
	"bufio"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"runtime/debug"
)

type object = map[string]any

type request struct {
	ID      any    `json:"id"`
	Cmd     string `json:"cmd"`
	Folder  string `json:"folder"`
	Pin     string `json:"pin"`
	Puk     string `json:"puk"`
	Pairing string `json:"pairing"`
	Pass    string `json:"password"`
	Key     string `json:"key"`
	Index   uint8  `json:"index"`
	Seed    string `json:"seed"`
	Path    string `json:"path"`
	Private bool   `json:"private"`
	Hash    string `json:"hash"`
	Words   int    `json:"words"`
	Slot    uint8  `json:"slot"`
	Data    string `json:"data"`
	Times   int    `json:"times"`
	File    string `json:"file"`
}

// client does one command.
type client interface {
	do(request) (any, error)
}

func main() {
	clients := map[string]func() (client, string){"keycard-go": newKeycardGo, "scwallet": newScwallet}
	begin := clients[argument()]
	if begin == nil {
		fmt.Fprintln(os.Stderr, "usage: keycardpeer keycard-go|scwallet")
		os.Exit(2)
	}
	c, module := begin()
	emit(object{"event": "started", "peer": builtWith(module)})

	lines := bufio.NewScanner(os.Stdin)
	for lines.Scan() {
		var r request
		var result any
		err := json.Unmarshal(lines.Bytes(), &r)
		if err == nil {
			result, err = attempt(c, r)
		}
		reply := object{"id": r.ID, "cmd": r.Cmd, "ok": err == nil, "result": result}
		if err != nil {
			reply["error"] = err.Error()
		}
		emit(reply)
	}
}

// attempt turns a panic of a client into its answer: they index what a card says without a look at its length.
func attempt(c client, r request) (result any, err error) {
	defer func() {
		if panicked := recover(); panicked != nil {
			err = fmt.Errorf("panic: %v", panicked)
		}
	}()
	return c.do(r)
}

func argument() string {
	if len(os.Args) != 2 {
		return ""
	}
	return os.Args[1]
}

func builtWith(module string) string {
	info, ok := debug.ReadBuildInfo()
	if ok {
		for _, dependency := range info.Deps {
			if dependency.Path == module {
				return module + " " + dependency.Version
			}
		}
	}
	return module + " of an unknown version"
}

func emit(line object) {
	b, err := json.Marshal(line)
	if err != nil {
		b, _ = json.Marshal(object{"id": line["id"], "ok": false, "error": err.Error()})
	}
	fmt.Println(string(b))
}

func unhex(s string) ([]byte, error) { return hex.DecodeString(s) }

var errNoSuchCommand = errors.New("no such command")
