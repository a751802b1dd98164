package main

// Load: envelopes through a relay to any number of listeners, and connections to it, with what they cost. Everything is
// sealed before the clock starts.

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"sort"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/ethereum/go-ethereum/crypto"
	"github.com/ethereum/go-ethereum/rlp"
)

// procCPU: seconds of all threads, to the nanosecond where the kernel has scheduler statistics, in ticks otherwise.
// A thread that ends takes its share with it, so the tick counter, which keeps it, is the lower bound.
func procCPU(pid int) float64 {
	ticks := 0.0
	if b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid)); err == nil {
		f := strings.Fields(string(b[bytes.LastIndexByte(b, ')')+1:]))
		u, _ := strconv.ParseFloat(f[11], 64)
		s, _ := strconv.ParseFloat(f[12], 64)
		ticks = (u + s) / 100
	}
	ns := 0.0
	tasks, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/schedstat", pid))
	for _, t := range tasks {
		if b, err := os.ReadFile(t); err == nil {
			if f := strings.Fields(string(b)); len(f) > 0 {
				n, _ := strconv.ParseFloat(f[0], 64)
				ns += n
			}
		}
	}
	if s := ns / 1e9; s > ticks-0.1 {
		return s
	}
	return ticks
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

// batches: Messages packets of -batch envelopes each, and the names of the envelopes.
func (o *opts) batches(envs []*envelope) (pkts [][]byte, names map[string]int) {
	names = make(map[string]int, len(envs))
	for i := 0; i < len(envs); i += o.batch {
		j := min(i+o.batch, len(envs))
		p, err := rlp.EncodeToBytes(envs[i:j])
		die(err)
		pkts = append(pkts, p)
		for k := i; k < j; k++ {
			names[string(crypto.Keccak256(envs[k].raw()))] = k
		}
	}
	return pkts, names
}

// each: every element of a Messages packet, fields unread.
func each(packet []byte, f func(el []byte)) error {
	content, _, err := rlp.SplitList(packet)
	for err == nil && len(content) > 0 {
		var rest []byte
		if _, _, rest, err = rlp.Split(content); err == nil {
			f(content[:len(content)-len(rest)])
			content = rest
		}
	}
	return err
}

// receive: every envelope of the Messages packets that come, until f has had enough.
func (c *conn) receive(f func(el []byte) (enough bool)) error {
	for {
		m, err := c.read()
		if err != nil {
			return err
		}
		enough := false
		if m.Code == 1 {
			if err := each(m.b, func(el []byte) { enough = f(el) || enough }); err != nil {
				return err
			}
		}
		if enough {
			return nil
		}
	}
}

func (c *conn) drain() {
	for {
		if _, err := c.read(); err != nil {
			return
		}
	}
}

func join(o opts) *conn {
	c, err := dial(&o)
	die(err)
	die(c.handshake())
	return c
}

// cmdLoad: one sender -> relay -> listeners
func cmdLoad(o *opts) {
	if o.topic == "" {
		o.topic = "aabbccdd"
	}
	none, all := *o, *o
	none.topics, none.nodekey, all.nodekey = "empty", "", ""
	if o.proto == "shh" {
		none.bloom = strings.Repeat("00", 64)
	}
	if o.nTopics > 0 {
		topics := []string{strings.TrimPrefix(o.topicOf().String(), "0x")}
		for i := 1; i < o.nTopics; i++ {
			var t [4]byte
			binary.BigEndian.PutUint32(t[:], uint32(i)*2654435761)
			topics = append(topics, fmt.Sprintf("%x", t))
		}
		all.topics = strings.Join(topics, ",")
	}
	a := join(none)
	go a.drain()
	var listeners []*conn
	for i := 0; i < o.listeners; i++ {
		listeners = append(listeners, join(all))
	}
	for i := 0; i < o.idle; i++ {
		go join(none).drain()
	}
	if o.prefill > 0 {
		die(fill(o, a, listeners))
	}

	t := time.Now()
	envs := o.makeEnvelopes(o.n)
	seal := time.Since(t)
	pkts, want := o.batches(envs)
	total := 0
	for _, p := range pkts {
		total += len(p)
	}
	sent := make([]int64, len(envs))
	lat := make([]float64, 0, len(envs))
	// What was sent before and still lies in the pool goes to a listener that comes; it is not ours to count.
	var got, dup, packets int64
	var last time.Time
	done := make(chan error, len(listeners))
	cpu0, rss0 := 0.0, 0
	if o.pid > 0 {
		cpu0, rss0 = procCPU(o.pid), procRSS(o.pid)
	}
	self0 := procCPU(os.Getpid())
	for i, l := range listeners {
		go func() {
			if i > 0 {
				n := 0
				done <- l.receive(func(el []byte) bool { n++; return n >= len(envs) })
				return
			}
			for int(atomic.LoadInt64(&got)) < len(envs) {
				m, err := l.read()
				if err != nil {
					done <- err
					return
				}
				if m.Code != 1 {
					continue
				}
				now := time.Now()
				packets++
				err = each(m.b, func(el []byte) {
					h := string(crypto.Keccak256(el))
					k, ok := want[h]
					switch {
					case !ok:
					case k < 0:
						dup++
					default:
						want[h] = -1
						atomic.AddInt64(&got, 1)
						lat = append(lat, float64(now.UnixNano()-atomic.LoadInt64(&sent[k]))/1e6)
					}
				})
				if err != nil {
					done <- err
					return
				}
				last = now
			}
			done <- nil
		}()
	}
	start := time.Now()
	idx := 0
	var rerr error
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
			rerr = fmt.Errorf("packet %d: %w", i, err)
			break
		}
	}
	sendDur := time.Since(start)
	deadline := time.After(60 * time.Second)
	for range listeners {
		select {
		case err := <-done:
			rerr = errors.Join(rerr, err)
		case <-deadline:
			rerr = errors.Join(rerr, errors.New("timeout waiting for the listeners"))
		}
	}
	cpu, rss := 0.0, 0
	if o.pid > 0 {
		cpu, rss = procCPU(o.pid)-cpu0, procRSS(o.pid)
	}
	self := procCPU(os.Getpid()) - self0
	if len(listeners) == 0 || rerr != nil {
		last = time.Now()
	}
	dur := last.Sub(start)
	sort.Float64s(lat)
	q := func(f float64) float64 {
		if len(lat) == 0 {
			return -1
		}
		return math.Round(lat[int(f*float64(len(lat)-1))]*1000) / 1000
	}
	res := M{"event": "load", "n": o.n, "received": got, "dup": dup, "payload_size": o.size, "envelope_bytes": total, "batch": o.batch, "target": o.target, "ttl": o.ttl, "rate": o.rate,
		"listeners": o.listeners, "idle": o.idle, "ntopics": o.nTopics, "prefill": o.prefill,
		"seal_s": seal.Seconds(), "seal_per_s": float64(o.n) / seal.Seconds(), "send_s": sendDur.Seconds(), "total_s": dur.Seconds(),
		"env_per_s": float64(got) / dur.Seconds(), "MB_per_s": float64(total) * float64(got) / float64(o.n) / dur.Seconds() / 1e6, "B_packets": packets,
		"latency_ms": M{"min": q(0), "p50": q(.5), "p90": q(.9), "p99": q(.99), "max": q(1)}, "probe_cpu_s": self}
	if o.pid > 0 {
		res["relay_cpu_s"], res["relay_rss_kib"], res["relay_rss0_kib"] = cpu, rss, rss0
		res["relay_cpu_us_per_env"] = cpu / float64(o.n) * 1e6
	}
	if rerr != nil {
		res["error"] = rerr.Error()
	}
	emit(res)
	for _, l := range listeners {
		l.close(8)
	}
	a.close(8)
}

// fill: -prefill envelopes into the pool, in packets of 100; returns when every listener has them.
func fill(o *opts, a *conn, listeners []*conn) error {
	o2 := *o
	o2.batch = 100
	o2.size = 256
	done := make(chan error, len(listeners))
	for _, l := range listeners {
		go func() {
			n := 0
			done <- l.receive(func([]byte) bool { n++; return n >= o.prefill })
		}()
	}
	rss0 := procRSS(o.pid)
	for left := o.prefill; left > 0; left -= 10000 {
		pkts, _ := o2.batches(o2.makeEnvelopes(min(left, 10000)))
		for _, p := range pkts {
			if err := a.send(1, p); err != nil {
				return err
			}
		}
	}
	deadline := time.After(60 * time.Second)
	for range listeners {
		select {
		case err := <-done:
			if err != nil {
				return err
			}
		case <-deadline:
			return errors.New("timeout waiting for the listeners to have the pool")
		}
	}
	if o.pid > 0 {
		emit(M{"event": "filled", "n": o.prefill, "relay_rss0_kib": rss0, "relay_rss_kib": procRSS(o.pid)})
	}
	return nil
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
