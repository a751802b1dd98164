// Benchpeer does with go-ethereum what the bench does with our code, and prints what each operation costs:
//
//	{"name": "go-ethereum 1.17.10, cgo", "figures": {"handshake": microseconds, ...}}
//
// A figure is CPU time of this process by getrusage (user and system, all threads, the garbage collector included) divided
// by the number of operations: the cheapest of several rounds, because what else runs on the machine only ever adds.
package main

import (
	"encoding/json"
	"fmt"
	"math"
	"os"
	"runtime/debug"
	"strings"
	"syscall"
	"time"
)

const (
	rounds = 100
	round  = 20 * time.Millisecond
)

func main() {
	figures := map[string]float64{}
	for name, operation := range map[string]func() func() error{
		"handshake":               handshake,
		"frame-random":            func() func() error { return frames(random(frameLen)) },
		"frame-text":              func() func() error { return frames(text(frameLen)) },
		"envelope-decode-400":     func() func() error { return envelopeDecode(short()) },
		"envelope-decode-558":     func() func() error { raw, _, _ := sealed(); return envelopeDecode(raw) },
		"envelope-open-symmetric": envelopeOpen,
	} {
		figure, err := cost(operation())
		if err != nil {
			fmt.Fprintf(os.Stderr, "%s: %v\n", name, err)
			os.Exit(1)
		}
		figures[name] = figure
	}
	json.NewEncoder(os.Stdout).Encode(map[string]any{"name": name(), "figures": figures})
}

// cost returns the CPU time of one call in microseconds.
func cost(call func() error) (float64, error) {
	calls := 1
	for {
		spent, err := timed(calls, call)
		if err != nil {
			return 0, err
		}
		if spent >= round/2 {
			break
		}
		calls *= int(min(max(round/max(spent, 1), 2), 100))
	}
	cheapest := time.Duration(math.MaxInt64)
	for range rounds {
		spent, err := timed(calls, call)
		if err != nil {
			return 0, err
		}
		cheapest = min(cheapest, spent)
	}
	return float64(cheapest.Nanoseconds()) / 1e3 / float64(calls), nil
}

func timed(calls int, call func() error) (time.Duration, error) {
	start := cpu()
	for range calls {
		if err := call(); err != nil {
			return 0, err
		}
	}
	return cpu() - start, nil
}

func cpu() time.Duration {
	var usage syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &usage); err != nil {
		panic(err)
	}
	return time.Duration(usage.Utime.Nano() + usage.Stime.Nano())
}

func name() string {
	version, settings := "?", "pure Go"
	if info, ok := debug.ReadBuildInfo(); ok {
		for _, dependency := range info.Deps {
			if dependency.Path == "github.com/ethereum/go-ethereum" {
				version = strings.TrimPrefix(dependency.Version, "v")
			}
		}
		for _, setting := range info.Settings {
			if setting.Key == "CGO_ENABLED" && setting.Value == "1" {
				settings = "cgo"
			}
		}
	}
	return fmt.Sprintf("go-ethereum %s, %s", version, settings)
}
