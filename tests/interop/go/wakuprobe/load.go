package main

// Load: envelopes through a relay, and connections to it, with what they cost.

import (
	"bytes"
	"errors"
	"fmt"
	"math"
	"os"
	"sort"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/ethereum/go-ethereum/crypto"
	"github.com/ethereum/go-ethereum/rlp"
)

func procCPU(pid int) float64 {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0
	}
	f := strings.Fields(string(b[bytes.LastIndexByte(b, ')')+1:]))
	u, _ := strconv.ParseFloat(f[11], 64)
	s, _ := strconv.ParseFloat(f[12], 64)
	return (u + s) / 100
}

func procRSS(pid int) int {
	b, _ := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	for _, l := range strings.Split(string(b), "\n") {
		if strings.HasPrefix(l, "VmRSS") {
			n, _ := strconv.Atoi(strings.Fields(l)[1])
			return n
		}
	}
	return 0
}

// cmdLoad: A -> relay -> B
func cmdLoad(o *opts) {
	if o.topic == "" {
		o.topic = "aabbccdd"
	}
	oa, ob := *o, *o
	oa.topics, oa.nodekey, ob.nodekey = "empty", "", ""
	if o.topics == "" && o.bloom == "full" {
		ob.topics = ""
	}
	if o.proto == "shh" {
		oa.bloom = strings.Repeat("00", 64)
	}
	a, err := dial(&oa)
	die(err)
	die(a.handshake())
	b, err := dial(&ob)
	die(err)
	die(b.handshake())
	t := time.Now()
	envs := o.makeEnvelopes(o.n)
	seal := time.Since(t)
	var total int
	want := make(map[string]int, o.n)
	var pkts [][]byte
	for i := 0; i < len(envs); i += o.batch {
		j := i + o.batch
		if j > len(envs) {
			j = len(envs)
		}
		p, err := rlp.EncodeToBytes(envs[i:j])
		die(err)
		pkts = append(pkts, p)
		for k := i; k < j; k++ {
			want[string(crypto.Keccak256(envs[k].raw()))] = k
		}
	}
	for _, p := range pkts {
		total += len(p)
	}
	go func() { // drain A
		for {
			if _, err := a.read(); err != nil {
				return
			}
		}
	}()
	sent := make([]int64, len(envs))
	lat := make([]float64, 0, len(envs))
	done := make(chan error, 1)
	cpu0, rss0 := 0.0, 0
	if o.pid > 0 {
		cpu0, rss0 = procCPU(o.pid), procRSS(o.pid)
	}
	self0 := procCPU(os.Getpid())
	got, dup, packets := 0, 0, 0
	var last time.Time
	go func() {
		for got < len(envs) {
			m, err := b.read()
			if err != nil {
				done <- err
				return
			}
			if m.Code != 1 {
				continue
			}
			now := time.Now()
			packets++
			// hash each element without decoding fields
			content, _, err := rlp.SplitList(m.b)
			if err != nil {
				done <- err
				return
			}
			for len(content) > 0 {
				_, _, rest, err := rlp.Split(content)
				if err != nil {
					done <- err
					return
				}
				el := content[:len(content)-len(rest)]
				content = rest
				h := string(crypto.Keccak256(el))
				k, ok := want[h]
				if !ok {
					continue
				}
				if k < 0 {
					dup++
					continue
				}
				want[h] = -1
				got++
				lat = append(lat, float64(now.UnixNano()-atomic.LoadInt64(&sent[k]))/1e6)
			}
			last = now
		}
		done <- nil
	}()
	start := time.Now()
	idx := 0
	for i, p := range pkts {
		if o.rate > 0 {
			due := start.Add(time.Duration(float64(i*o.batch) / o.rate * 1e9))
			if d := time.Until(due); d > 0 {
				time.Sleep(d)
			}
		}
		now := time.Now().UnixNano()
		for k := 0; k < o.batch && idx < len(envs); k++ {
			atomic.StoreInt64(&sent[idx], now)
			idx++
		}
		if err := a.send(1, p); err != nil {
			emit(M{"event": "send_error", "error": err.Error(), "packet": i})
			break
		}
	}
	sendDur := time.Since(start)
	var rerr error
	select {
	case rerr = <-done:
	case <-time.After(60 * time.Second):
		rerr = errors.New("timeout waiting for B")
	}
	dur := last.Sub(start)
	sort.Float64s(lat)
	q := func(f float64) float64 {
		if len(lat) == 0 {
			return -1
		}
		return math.Round(lat[int(f*float64(len(lat)-1))]*100) / 100
	}
	res := M{"event": "load", "n": o.n, "received": got, "dup": dup, "payload_size": o.size, "envelope_bytes": total, "batch": o.batch, "target": o.target, "ttl": o.ttl, "rate": o.rate,
		"seal_s": seal.Seconds(), "seal_per_s": float64(o.n) / seal.Seconds(), "send_s": sendDur.Seconds(), "total_s": dur.Seconds(),
		"env_per_s": float64(got) / dur.Seconds(), "MB_per_s": float64(total) * float64(got) / float64(o.n) / dur.Seconds() / 1e6, "B_packets": packets,
		"latency_ms": M{"min": q(0), "p50": q(.5), "p90": q(.9), "p99": q(.99), "max": q(1)}, "probe_cpu_s": procCPU(os.Getpid()) - self0}
	if o.pid > 0 {
		res["relay_cpu_s"], res["relay_rss_kib"], res["relay_rss0_kib"] = procCPU(o.pid)-cpu0, procRSS(o.pid), rss0
		res["relay_cpu_us_per_env"] = (procCPU(o.pid) - cpu0) / float64(o.n) * 1e6
	}
	if rerr != nil {
		res["error"] = rerr.Error()
	}
	emit(res)
	a.close(8)
	b.close(8)
}

// cmdHandshakes: N full connections (TCP + RLPx + Hello + status) against the enode
func cmdHandshakes(o *opts) {
	var ok, bad int64
	var mu sync.Mutex
	var rl, full []float64
	cpu0 := procCPU(o.pid)
	self0 := procCPU(os.Getpid())
	start := time.Now()
	var next int64
	var wg sync.WaitGroup
	for w := 0; w < o.conns; w++ {
		wg.Add(1)
		go func() {
			defer wg.Done()
			for atomic.AddInt64(&next, 1) <= int64(o.n) {
				t := time.Now()
				oo := *o
				c, err := dial(&oo)
				if err == nil {
					if o.version != 99 {
						err = c.handshakeOnce()
					}
					c.close(8)
				}
				if err != nil {
					if atomic.AddInt64(&bad, 1) <= 3 {
						emit(M{"event": "error", "error": err.Error()})
					}
					continue
				}
				atomic.AddInt64(&ok, 1)
				mu.Lock()
				rl = append(rl, float64(c.t["rlpx_us"].(int64)))
				full = append(full, float64(time.Since(t).Microseconds()))
				mu.Unlock()
			}
		}()
	}
	wg.Wait()
	d := time.Since(start).Seconds()
	sort.Float64s(rl)
	sort.Float64s(full)
	q := func(l []float64, f float64) float64 {
		if len(l) == 0 {
			return -1
		}
		return l[int(f*float64(len(l)-1))]
	}
	emit(M{"event": "handshakes", "ok": ok, "failed": bad, "s": d, "per_s": float64(ok) / d, "conns": o.conns, "rlpx_us_p50": q(rl, .5), "rlpx_us_p99": q(rl, .99), "full_us_p50": q(full, .5), "full_us_p99": q(full, .99),
		"relay_cpu_s": procCPU(o.pid) - cpu0, "probe_cpu_s": procCPU(os.Getpid()) - self0})
}

func (c *conn) handshakeOnce() error {
	if err := c.send(0, c.o.statusPacket()); err != nil {
		return err
	}
	m, err := c.read()
	if err == nil && m.Code != 0 {
		err = fmt.Errorf("code %d", m.Code)
	}
	return err
}
