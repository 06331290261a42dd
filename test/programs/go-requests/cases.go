package main

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"requests/garbage"
	"runtime"
	"runtime/debug"
	"runtime/pprof"
	"strconv"
	"strings"
	"time"
)

const (
	largest  = 96 // labels of a map that is read for sure
	caseTime = 25 * time.Millisecond
	wait     = 300 * time.Millisecond
)

type labelCase struct {
	Number int               `json:"number"`
	Name   string            `json:"name"`
	Labels map[string]string `json:"labels"`
}

// cases runs one set of labels after the other, each below digit functions that spell
// its number, as soon as there is a line to read; a line of the report is one of them.
func cases(path string) {
	bufio.NewReader(os.Stdin).ReadString('\n')
	runtime.GOMAXPROCS(2)
	debug.SetGCPercent(20)
	for start := time.Now(); time.Since(start) < wait; {
		outside(100)
	}
	file, err := os.Create(path)
	if err != nil {
		panic(err)
	}
	var number int
	try := func(name string, pairs ...string) {
		number++
		labels := map[string]string{}
		for i := 0; i < len(pairs); i += 2 {
			labels[pairs[i]] = pairs[i+1]
		}
		pprof.Do(context.Background(), pprof.Labels(pairs...), func(context.Context) { hold(number) })
		line, _ := json.Marshal(labelCase{number, name, labels})
		fmt.Fprintln(file, string(line))
	}
	// Of maps every number: they overflow, and are growing, at some.
	for count := 3; count <= largest; count++ {
		if count > 40 && count%3 != 0 {
			continue
		}
		pairs := others("k", count-3)
		pairs = append(pairs, "a", strconv.Itoa(count), "zz", "last")
		try("labels", append(pairs, "trace_id", fmt.Sprintf("%032x", number+1))...)
	}
	for length := 1; length <= 32; length++ {
		try("keys", strings.Repeat("x", length), "of "+strconv.Itoa(length), "xxxxxxxx!", "not wanted")
	}
	for _, length := range []int{1, 3, 4, 5, 8, 12, 13, 47, 48, 63, 64, 65, 127, 255, 256, 257, 511, 512} {
		try("values", "long", strings.Repeat("v", length), "a", "short")
	}
	for _, length := range []int{1025, 4096, 100000} {
		try("too long", "long", strings.Repeat("v", length), "a", "short")
	}
	try("ids last", "a", strings.Repeat("v", 500), "long", strings.Repeat("v", 500),
		"span_id", fmt.Sprintf("%016x", 7), "trace_id", fmt.Sprintf("%032x", 7))
	try("not UTF-8", "a", "\xff\xfe\x80", "zz", "\xe2\x82")
	try("empty", "a", "", "zz", "last")
	if !garbage.IsMap() {
		try("too many", append(others("k", 500), "a", "first")...)
	}
	names, addresses := garbage.All()
	for i, name := range names {
		number++
		garbage.Set(addresses[i])
		hold(number)
		garbage.Set(0)
		line, _ := json.Marshal(labelCase{number, "garbage: " + name, nil})
		fmt.Fprintln(file, string(line))
	}
	file.Close()
}

//go:noinline
func hold(number int) {
	for start := time.Now(); time.Since(start) < caseTime; {
		spell(number, digits, 20)
	}
}

// forever computes on two threads with so many labels, a trace and a span among them.
func forever(count int) {
	runtime.GOMAXPROCS(2)
	if count > 0 {
		pairs := append(others("k", count-2), "trace_id", fmt.Sprintf("%032x", 1), "span_id", fmt.Sprintf("%016x", 1))
		labelled(context.Background(), pairs...)
	}
	for i := 0; i < 2; i++ {
		go func() {
			for {
				spell(0, digits, 100)
			}
		}()
	}
	select {}
}
